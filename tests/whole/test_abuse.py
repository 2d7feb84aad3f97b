"""The attacker on port 25: each abuse meets its bound and its reply, and memory stays flat (I5, I10)."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.needs import need
from tests.support.sink import Sink
from tests.support.source import Source

MIB = 1 << 20


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    limits = (
        '[smtp]\ncommand_timeout = "3s"\ndata_rate_grace = "2s"\nmin_data_rate = "1KiB"\n'
        'max_connections_per_client = 20000\nmax_message_size = "2MiB"\n'
    )
    with Sink() as sink, Appliance(tmp_path_factory.mktemp("abuse"), sink.port, more=limits) as appliance:
        yield appliance


def memory(relay: Appliance) -> int:
    """Octets of anonymous memory of all smtp workers."""
    total = 0
    for pid, name in relay.workers().items():
        if "smtp" in name:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1]) * 1024
    return total


def connect(relay: Appliance) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", relay.smtp_port), timeout=30)
    assert peer.recv(200).startswith(b"220 ")
    return peer


def begin(peer: socket.socket) -> None:
    """EHLO, MAIL, RCPT, DATA, all accepted."""
    commands = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<x@relay.test>\r\nDATA\r\n"
    for group, last in ((b"EHLO a.test\r\n", b"250 "), (commands, b"354 ")):
        peer.sendall(group)
        answer = b""
        while last not in answer:
            answer += peer.recv(1000)
            assert answer


def read_to_end(peer: socket.socket) -> bytes:
    """Everything until the server closes."""
    octets = b""
    try:
        while part := peer.recv(65536):
            octets = (octets + part)[-100_000:]
    except ConnectionResetError:
        pass
    return octets


def send_all(peer: socket.socket, octets: bytes) -> None:
    """Sends until all is out or the server has had enough."""
    with contextlib.suppress(OSError):
        peer.sendall(octets)


def test_an_endless_line_is_refused_and_costs_no_memory(relay: Appliance) -> None:
    """RFC 5321 4.5.3.1.4."""
    before = memory(relay)
    with connect(relay) as peer:
        for _ in range(64):
            send_all(peer, b"A" * MIB)
        send_all(peer, b"\r\nQUIT\r\n")
        answer = read_to_end(peer)
    assert answer.startswith(b"500 5."), answer[:200]
    assert memory(relay) - before < 8 * MIB


def test_a_hundred_thousand_recipients_meet_452(relay: Appliance) -> None:
    """RFC 5321 4.5.3.1.10."""
    before = memory(relay)
    with connect(relay) as peer:
        peer.sendall(b"EHLO a.test\r\n")
        peer.recv(1000)
        peer.sendall(b"MAIL FROM:<a@b.test>\r\n")
        batch = b"".join(b"RCPT TO:<user%d@relay.test>\r\n" % number for number in range(1000))
        answers = b""
        peer.settimeout(0.01)
        for _ in range(100):
            left = memoryview(batch)
            while left:
                try:
                    left = left[peer.send(left) :]
                except TimeoutError:
                    pass
                except OSError:
                    left = left[:0]
                try:
                    answers = (answers + peer.recv(1 << 20))[-50_000:]
                except (TimeoutError, OSError):
                    continue
    assert b"\r\n452 4.5.3 " in answers or b"421 4.7.0" in answers, answers[-300:]
    assert memory(relay) - before < 8 * MIB


def test_binary_garbage_is_answered_and_ended(relay: Appliance) -> None:
    before = memory(relay)
    for _ in range(20):
        with connect(relay) as peer:
            for _ in range(16):
                send_all(peer, os.urandom(65536))
            answer = read_to_end(peer)
            assert answer[:1] in (b"4", b"5", b"")
            assert b"Traceback" not in answer
    assert memory(relay) - before < 16 * MIB


def test_an_http_request_is_told_what_this_port_is(relay: Appliance) -> None:
    with connect(relay) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: mail.example\r\nUser-Agent: x\r\n\r\n")
        answer = read_to_end(peer)
    assert answer[:1] in (b"4", b"5")
    assert b"SMTP" in answer
    assert answer.count(b"\r\n") == 1, "one reply, then the end"


def test_a_silent_client_gets_421_and_its_place_back(relay: Appliance) -> None:
    """RFC 5321 4.5.3.2.7."""
    with connect(relay) as peer:
        began = time.monotonic()
        assert read_to_end(peer).startswith(b"421 4.4.2 ")
        assert time.monotonic() - began < 10


def test_a_slow_sender_of_content_is_ended(relay: Appliance) -> None:
    with connect(relay) as peer:
        begin(peer)
        answer = b""
        peer.settimeout(0.5)
        began = time.monotonic()
        while time.monotonic() - began < 20 and b"421" not in answer:
            send_all(peer, b"x\r\n")
            try:
                answer += peer.recv(1000)
            except TimeoutError:
                continue
        assert b"421 4.4.2 " in answer, answer


def test_a_request_that_was_put_into_a_web_program_sends_nothing(relay: Appliance) -> None:
    """A client that reads no reply: all in one write, and the same in two (RFC 2920 3.1)."""
    hello, rest = (
        b"EHLO a.test\r\n",
        b"MAIL FROM:<a@b.test>\r\nRCPT TO:<x@relay.test>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n",
    )
    for groups in ((hello + rest,), (hello, rest)):
        with connect(relay) as peer:
            answer = b""
            for group in groups:
                peer.sendall(group)
                while len(groups) > 1 and group == hello and b"250 " not in answer:
                    answer += peer.recv(1000)
            answer += read_to_end(peer)
        assert answer.splitlines()[-1].startswith(b"554 5.5.1 Wait for the reply to "), answer


def test_more_than_the_announced_size_is_refused_while_reading(relay: Appliance) -> None:
    """RFC 1870 6.3."""
    before = memory(relay)
    with connect(relay) as peer:
        begin(peer)
        for _ in range(300):
            send_all(peer, (b"y" * 70 + b"\r\n") * 1000)
        send_all(peer, b".\r\nQUIT\r\n")
        answer = read_to_end(peer)
    assert b"552 5.3.4 " in answer, answer
    assert memory(relay) - before < 8 * MIB
    wait_for(lambda: not list((relay.data / "spool").glob("**/large/*")), 5, "nothing of it left on the disk")


def test_ten_thousand_idle_sessions_are_held(tmp_path: Path) -> None:
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need(hard >= wanted + 500, f"only {hard} descriptors per process")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 500), hard))
    peers: list[socket.socket] = []
    limits = "[smtp]\nmax_connections_per_client = 20000\n"
    with Sink() as sink, Appliance(tmp_path, sink.port, more=limits) as relay:
        try:
            before = memory(relay)
            address = ("127.0.0.1", relay.smtp_port)
            for _ in range(wanted):
                peers.append(socket.create_connection(address, timeout=30))  # noqa: PERF401 - closed if one fails
            for peer in peers:
                assert peer.recv(200).startswith(b"220 ")
            each = (memory(relay) - before) / wanted
            print(f"{each:.0f} octets of worker memory for each of {wanted} idle sessions")
            assert each < 4096
            assert relay.metrics()['relay_smtp_sessions_open{kind="mx"}'] == wanted
            source = Source(relay.smtp_port, sessions=2, messages=20)
            source.start()
            source.join(20)
            for peer in peers[::100]:
                peer.sendall(b"NOOP\r\n")
                assert peer.recv(200).startswith(b"250 ")
        finally:
            for peer in peers:
                peer.close()
        wait_for(lambda: relay.metrics()['relay_smtp_sessions_open{kind="mx"}'] == 0, 20, "all sessions gone")


def test_a_worker_without_descriptors_says_so_and_accepts_again_when_there_are_some(tmp_path: Path) -> None:
    """I10: who cannot be accepted waits in the kernel; nothing spins and nobody is lost."""
    trouble = "connections not accepted"
    with Sink() as sink, Appliance(tmp_path, sink.port, smtp_workers=1, expects=(trouble,)) as appliance:
        pid = next(pid for pid, name in appliance.workers().items() if "smtp" in name)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        taken = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
        free = next(number for number in range(len(taken) + 1) if number not in taken)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, limits[1]))
        with socket.create_connection(("127.0.0.1", appliance.smtp_port), timeout=30) as peer:
            wait_for(lambda: any(line.get("event") == trouble for line in appliance.events()), 30, trouble)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            assert peer.recv(200).startswith(b"220 ")
        cause = next(line["cause"] for line in appliance.events() if line.get("event") == trouble)
        assert "Too many open files" in cause
