"""The parts of the hot path, each as a small case for ``make bench-micro``.

A case is a function that prepares everything and returns ``run(count)``, which does the work ``count`` times. Cases
use public
or test interfaces only, and import what they need inside, so that one that does not fit an older revision says so
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from benchmarks.micro_parse import EHLO_REPLY, HEADER, LINE, repeated

Run = Callable[[int], object]
NOW: Final = 1_795_000_000_000_000


def repeat(call: Callable[[], object]) -> Run:
    """Calls it ``count`` times."""

    def run(count: int) -> None:
        for _ in range(count):
            call()

    return run


def line_split() -> Run:
    from relay._fastparse import split_line

    return repeat(lambda: split_line(b"MAIL FROM:<user@example.org> SIZE=1000\r\n"))


def address_parse() -> Run:
    from relay.mail._paths import parse_path

    return repeat(lambda: parse_path("MAIL", b"FROM:<user@example.org> SIZE=1000"))


def content_scan() -> Run:
    from relay._fastparse import ContentScanner

    content = repeated(LINE, 65536)
    return repeat(lambda: ContentScanner().feed(content))


def header_scan() -> Run:
    from relay._fastparse import parse_header

    return repeat(lambda: parse_header(HEADER))


def reply_parse() -> Run:
    from relay.delivery._replies import parse_reply

    return repeat(lambda: parse_reply(EHLO_REPLY))


def mime_scan() -> Run:
    from relay._mime import scan

    part = b"--bound\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + LINE * 200
    content = b'Content-Type: multipart/mixed; boundary="bound"\r\n\r\n' + part * 5 + b"--bound--\r\n"
    return repeat(lambda: scan(content))


def record_encode() -> Run:
    from relay.mail.envelope import Client, Envelope
    from relay.spool._record import pack_run, record_size

    client = Client("192.0.2.7", "client.example.org", "ESMTP", "", "", "mx")
    recipients = (b"somebody@relay.test",)
    envelope = Envelope("0123456789ABC", NOW, b"someone@example.org", recipients, 0, 1200, "S123", client)
    content = [b"r" * 150, b"c" * 1024]

    def encode() -> object:
        packed = envelope.pack()
        return pack_run([(packed, content, b"", record_size(packed, b"", content), None)], b"m" * 8, 1, 1, 1, 0, 1)

    return repeat(encode)


def envelope_decode() -> Run:
    from relay.mail.envelope import Client, Envelope, unpack

    client = Client("192.0.2.7", "client.example.org", "ESMTP", "", "", "mx")
    packed = Envelope(
        "0123456789ABC", NOW, b"someone@example.org", (b"somebody@relay.test",), 0, 1200, "S123", client
    ).pack()
    return repeat(lambda: unpack(packed))


def scheduler_step() -> Run:
    """add + take + done of one recipient in a group that runs."""
    from benchmarks import micro_queue
    from relay.mail.next_hop import NextHop
    from relay.mail.outcome import delivered
    from relay.mail.queue_id import encode
    from relay.queue.entry import Entry

    queue = micro_queue.scheduler()
    group = queue.group("smtp://h:25", NextHop("smtp", "h", 25))
    outcomes = [delivered("2.0.0", "ok", next_hop="h[192.0.2.1]:25")]
    at = micro_queue.NOW
    queue.add(Entry(1, 0, 0, 1500, encode(1), at, group, None, 1), at)
    connection = micro_queue.opened(queue, "smtp://h:25")
    before: Any = queue.take(connection, at)

    def run(count: int) -> None:
        nonlocal before
        for number in range(1, count + 1):
            queue.add(Entry(1, number >> 14, number, 1500, encode(number << 22), at, group, None, 1), at)
            entry = queue.take(connection, at)
            queue.done(connection, before, outcomes, at, 0.5)
            before = entry

    return run


def _session(buffers: Iterable[bytes]) -> Run:
    from benchmarks.micro_session import NullLog, NullSpool
    from relay.smtp import Session
    from tests.smtp.stand import Stand, tell

    stand = Stand(spool=NullSpool(), log=NullLog(), max_commands=100_000_000)
    session = Session(stand.service)
    session.open("192.0.2.1", 1, stand.now)
    session.receive(b"EHLO client.example\r\n", stand.now)

    def message() -> None:
        for buffer in buffers:
            session.receive(buffer, stand.now)
        tell([stand.spool.waiter])
        session.take_output()

    return repeat(message)


def session_pipelined() -> Run:
    """One message of 1 KiB through the server session in two buffers."""
    from benchmarks.micro_session import WAYS

    return _session(WAYS["pipelined"])


def session_lock_step() -> Run:
    """The same in four."""
    from benchmarks.micro_session import WAYS

    return _session(WAYS["lock-step"])


def _rcpt(recipient: bytes) -> Run:
    from relay.smtp import Session
    from tests.smtp.stand import Stand

    stand = Stand(max_commands=100_000_000, max_recipients=100_000)
    session = Session(stand.service)
    session.open("192.0.2.1", 1, stand.now)
    command = b"RCPT TO:<%b>\r\n" % recipient

    session.take_output()
    session.receive(b"EHLO client.example\r\n", stand.now)
    session.receive(b"MAIL FROM:<a@elsewhere.example>\r\n", stand.now)
    assert session.receive(command, stand.now).startswith(b"250 ")
    return repeat(lambda: session.receive(command, stand.now))


def rcpt_of_an_account() -> Run:
    """RCPT for an account, through the server session."""
    return _rcpt(b"anna@local.test")


def rcpt_of_a_relay_domain() -> Run:
    """RCPT for an address at a relay domain, which the next hop knows."""
    return _rcpt(b"anyone@relay.test")


def client_session() -> Run:
    """One message through the client session, pipelined."""
    from benchmarks import micro_client

    client, source = micro_client.begun()

    def run(count: int) -> None:
        source.left = count
        for _ in range(count):
            client.receive(micro_client.REPLIES)
        micro_client.check(source)

    return run


def log_line() -> Run:
    from benchmarks.micro_lines import WHOLE
    from relay.telemetry.lines import TRANSACTION

    return repeat(lambda: TRANSACTION.build(NOW, WHOLE))


CASES: Final[dict[str, tuple[Callable[[], Run], int]]] = {
    "line split": (line_split, 3000),
    "address parse": (address_parse, 3000),
    "content scan, 64 KiB": (content_scan, 300),
    "header scan": (header_scan, 2000),
    "reply parse, 5 lines": (reply_parse, 3000),
    "MIME scan, 5 parts, 76 KiB": (mime_scan, 200),
    "record encode": (record_encode, 2000),
    "envelope decode": (envelope_decode, 2000),
    "scheduler step": (scheduler_step, 2000),
    "server session, pipelined": (session_pipelined, 1000),
    "server session, lock-step": (session_lock_step, 1000),
    "RCPT of an account": (rcpt_of_an_account, 3000),
    "RCPT of a relay domain": (rcpt_of_a_relay_domain, 3000),
    "client session": (client_session, 2000),
    "log line": (log_line, 2000),
}
"""Name -> how it is prepared, and how often it is run under valgrind (a hundred times slower than bare)."""
