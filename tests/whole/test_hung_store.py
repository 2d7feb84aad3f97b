"""Sessions whose work hangs, in the real appliance: others log in and read, and the peer is told.

What hangs: the test holds the lock on the uid log of a mailbox, as a program would that stands still.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port, wait_for
from tests.support.sink import Sink

MALLORY, ALICE = "mallory@local.test", "alice@local.test"
PASSWORD = "correct horse battery"
LISTENERS = """
[readers]
job_timeout = "3s"
{listeners}

"""
LISTENER = (
    '[[listener]]\nname = "{kind}"\nkind = "{kind}"\naddress = "127.0.0.1"\nport = {port}\nplaintext_login = true\n'
)


class Served(Appliance):
    def __init__(self, root: Path, sink_port: int) -> None:
        self.ports = {"imap": free_port(), "pop3": free_port()}
        listeners = "".join(LISTENER.format(kind=kind, port=port) for kind, port in self.ports.items())
        super().__init__(root, sink_port, more=LISTENERS.format(listeners=listeners))

    def connect(self, kind: str) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.ports[kind]), 20)
        client.settimeout(20)
        read(client, b"\r\n")
        return client

    def imap(self, account: str) -> socket.socket:
        client = self.connect("imap")
        client.sendall(f'a LOGIN {account} "{PASSWORD}"\r\n'.encode())
        assert b"a OK" in read(client, b"a OK")
        return client

    def fill(self, account: str) -> None:
        """One message, which has its UID."""
        self.send(account)
        wait_for(lambda: self.stored(account), 20, self.tail)
        with self.imap(account) as client:
            client.sendall(b"b SELECT INBOX\r\n")
            assert b"b OK" in read(client, b"b OK")


def read(client: socket.socket, until: bytes) -> bytes:
    """What comes up to the line in which ``until`` stands, or to the end."""
    octets = b""
    while until not in octets or not octets.endswith(b"\r\n"):
        piece = client.recv(65536)
        if not piece:
            break
        octets += piece
    return octets


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Served]:
    with Sink() as sink:
        appliance = Served(tmp_path, sink.port)
        appliance.add_account(MALLORY)
        appliance.add_account(ALICE)
        with appliance:
            for account in (MALLORY, ALICE):
                appliance.fill(account)
            yield appliance


@pytest.fixture
def locked(relay: Served) -> Iterator[None]:
    descriptor = os.open(relay.data / "mail" / "local.test" / "mallory" / "relay-uids", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@pytest.mark.usefixtures("locked")
def test_one_account_whose_work_hangs_keeps_nobody_else_from_logging_in_and_is_told(relay: Served) -> None:
    hung = [relay.imap(MALLORY) for _ in range(12)]
    for client in hung:
        client.sendall(b"b SELECT INBOX\r\nc NOOP\r\n")
    with relay.imap(ALICE) as alice:
        alice.sendall(b"b SELECT INBOX\r\n")
        assert b"b OK" in read(alice, b"b OK")
        alice.sendall(b"c FETCH 1 ENVELOPE\r\n")
        assert b"c OK" in read(alice, b"c OK")
    with relay.connect("pop3") as alice:
        alice.sendall(f"USER {ALICE}\r\nPASS {PASSWORD}\r\n".encode())
        assert b"+OK 1 message" in read(alice, b"messages")
    for client in hung:
        answer = read(client, b"c OK")
        assert b"\r\nb NO [" in b"\r\n" + answer
        assert b"LIMIT" in answer or b"UNAVAILABLE" in answer
        assert b"c OK" in answer, "the session goes on"
        client.close()
    with relay.connect("pop3") as mallory:
        mallory.sendall(f"USER {MALLORY}\r\nPASS {PASSWORD}\r\n".encode())
        assert b"-ERR [SYS/TEMP]" in read(mallory, b"-ERR")


@pytest.mark.usefixtures("locked")
def test_hanging_up_frees_the_threads(relay: Served) -> None:
    """Sessions that hang up again and again, with work that waits, leave nothing behind."""
    for _ in range(16):
        client = relay.imap(MALLORY)
        client.sendall(b"b SELECT INBOX\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    with relay.imap(ALICE) as alice:
        alice.sendall(b"b SELECT INBOX\r\n")
        assert b"b OK" in read(alice, b"b OK")
    wait_for(lambda: relay.metrics()['relay_store_threads{state="busy"}'] == 0, 20, "threads that are free")
    samples = relay.metrics()
    assert samples["relay_store_waiting_jobs"] == 0
    assert samples['relay_store_threads{state="lost"}'] == 0
    assert samples['relay_store_stopped_jobs_total{cause="gone"}'] > 0
