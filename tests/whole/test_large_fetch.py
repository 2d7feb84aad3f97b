"""A message of 100 MiB read over IMAP from the running appliance: the worker's memory stays flat, and a part of it
costs no more reading than that part."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.interop.readers import ADDRESS, PASSWORD, Readers

MIB = 1 << 20
HEAD = b"From: zoe@example.org\nSubject: large\nContent-Type: application/octet-stream\n\n"
LINES = 100 * MIB // 64
MOST_GROWTH = 24 * MIB


def line(number: int) -> bytes:
    """64 octets in the file, 65 on the wire."""
    return b"%063d\n" % number


class Client:
    """Reads answers without holding them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream: BinaryIO = self.socket.makefile("rb")
        self.stream.readline()
        self.command(f'a LOGIN {ADDRESS} "{PASSWORD}"')
        self.command("a SELECT INBOX")

    def command(self, words: str) -> tuple[int, str, bytes]:
        """How many octets the literal has that it brings, their digest, and the first 100."""
        self.socket.sendall(words.encode() + b"\r\n")
        size, digest, first = 0, hashlib.sha256(), b""
        while not (said := self.stream.readline()).startswith(b"a "):
            assert said, "the connection has ended"
            if said.endswith(b"}\r\n"):
                left = size = int(said[said.rindex(b"{") + 1 : -3])
                while left:
                    piece = self.stream.read(min(left, MIB))
                    assert piece, "the connection has ended"
                    first = first or piece[:100]
                    digest.update(piece)
                    left -= len(piece)
        assert said.startswith(b"a OK"), said
        return size, digest.hexdigest(), first

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


def peak(pid: int) -> int:
    """The most memory that the process has ever had at once, in octets."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def read_octets(pid: int) -> int:
    """Octets that the process has read in all."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Readers]:
    relay = Readers(tmp_path)
    relay.fill(1)
    with (relay.maildir / "new" / "1700000001.large.other").open("wb") as file:
        file.write(HEAD)
        file.writelines(line(number) for number in range(LINES))
    with relay:
        yield relay


def test_a_message_of_100_mib_leaves_the_worker_flat_and_its_parts_are_read_once(appliance: Readers) -> None:
    head = HEAD.replace(b"\n", b"\r\n")
    whole = hashlib.sha256(head)
    for number in range(LINES):
        whole.update(line(number)[:-1] + b"\r\n")
    client = Client(appliance.imap_port)
    client.command("a FETCH 1 BODY.PEEK[]")
    workers = [pid for pid, title in appliance.workers().items() if "mailbox" in title]
    before = {pid: peak(pid) for pid in workers}

    assert client.command("a FETCH 2 BODY.PEEK[]")[:2] == (len(head) + 65 * LINES, whole.hexdigest())

    middle = len(head) + 65 * (LINES // 2)
    had_read = sum(map(read_octets, workers))
    for part in range(8):
        size, _, first = client.command(f"a FETCH 2 BODY.PEEK[]<{middle + part * 65 * 10000}.{65 * 10000}>")
        assert (size, first[:65]) == (65 * 10000, line(LINES // 2 + part * 10000)[:-1] + b"\r\n")
    assert sum(map(read_octets, workers)) - had_read < 16 * MIB

    grown = {pid: peak(pid) - before[pid] for pid in workers}
    assert workers
    assert max(grown.values()) < MOST_GROWTH
    client.close()
