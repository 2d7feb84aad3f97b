"""One function per parser: fails when the compiled parser and its twin differ on ``octets``, however they are cut.

Used by the hypothesis tests, by the replay of the corpus and by the fuzz targets (tests/fuzz).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from relay import _fastparse
from relay.delivery import _replies
from relay.mail import _paths
from relay.smtp import _parameters
from tests.fastparse import twin_commands, twin_content, twin_paths

ALL_CUTS_BELOW: Final = 300
"""Octets; longer input is cut in a few places only, to keep one check quick."""


def cuts(octets: bytes) -> Iterator[list[bytes]]:
    """Ways to cut ``octets``: whole, at every octet, one octet at a time."""
    yield [octets]
    step = 1 if len(octets) < ALL_CUTS_BELOW else len(octets) // 16
    for at in range(1, len(octets), step):
        yield [octets[:at], octets[at:]]
    yield [octets[at : at + 1] for at in range(len(octets))]


def prefixes(octets: bytes) -> Iterator[bytes]:
    step = 1 if len(octets) < ALL_CUTS_BELOW else len(octets) // 16
    for at in range(0, len(octets), step):
        yield octets[:at]


def lines(octets: bytes) -> None:
    for prefix in prefixes(octets):
        assert _fastparse.split_line(prefix) == twin_commands.split_line(prefix)
    start = 0
    while True:
        after, fault = _fastparse.split_line(octets, start)
        expected, expected_fault = twin_commands.split_line(octets[start:])
        assert (after, fault) == (expected + start if expected >= 0 else -1, expected_fault)
        if after < 0:
            return
        start = after


def command(octets: bytes) -> None:
    assert _fastparse.parse_command(octets) == twin_commands.parse_command(octets)


def path(octets: bytes) -> None:
    for verb in ("MAIL", "RCPT"):
        found = twin_paths.Path(*_paths.parse_path(verb, octets))
        assert found == twin_paths.parse_path(verb, octets)
        if found.address and "postmaster" not in found.flags:
            # What envelopes keep is an address itself, already in its shortest form.
            again = twin_paths.Path(*_paths.parse_mailbox(found.address))
            assert (again.error, again.address) == ("", found.address)
        lenient = twin_paths.Path(*_paths.parse_path(verb, octets, lenient=True))
        assert lenient == twin_paths.parse_path(verb, octets, lenient=True)
        assert found.error or lenient == found, "leniency changes nothing that is right"


def mailbox(octets: bytes) -> None:
    assert twin_paths.Path(*_paths.parse_mailbox(octets)) == twin_paths.parse_mailbox(octets)


def host(octets: bytes) -> None:
    assert _paths.parse_host(octets) == twin_paths.parse_host(octets)


def params(octets: bytes) -> None:
    assert _parameters.parse_params(octets) == twin_commands.parse_params(octets)
    assert _fastparse.parse_decimal(octets) == twin_commands.parse_decimal(octets)


def xtext(octets: bytes) -> None:
    assert _parameters.has_only_xtext(octets) == twin_commands.has_only_xtext(octets)


def feed(scanner: _fastparse.ContentScanner, pieces: list[bytes]) -> int:
    """Feeds pieces until the end of data; its offset from the start of all, or -1."""
    before = 0
    for piece in pieces:
        after = scanner.feed(piece)
        if after >= 0:
            return before + after
        before += len(piece)
    return -1


def content(octets: bytes) -> None:
    for prefix in [*prefixes(octets), octets]:
        expected = twin_content.scan_content(prefix)
        for pieces in cuts(prefix) if prefix is octets else [[prefix]]:
            scanner = _fastparse.ContentScanner()
            end = feed(scanner, pieces)
            found = scanner.result()
            assert (end, *found[1:]) == expected
            assert found[0] == (end >= 0)


def chunk(octets: bytes) -> None:
    for pieces in cuts(octets):
        scanner = _fastparse.ContentScanner()
        for piece in pieces:
            scanner.feed_chunk(piece)
        assert scanner.result() == twin_content.scan_chunk(octets)


def dots(octets: bytes) -> None:
    assert _fastparse.unstuff(octets) == twin_content.unstuff(octets)
    stuffed = _fastparse.stuff(octets)
    assert stuffed == twin_content.stuff(octets)
    assert _fastparse.unstuff(stuffed) == octets
    for pieces in cuts(octets):
        stuffer = _fastparse.Stuffer()
        assert b"".join([stuffer.feed(piece) for piece in pieces]) == stuffed
    end = twin_content.scan_content(octets).end
    if end >= 0:
        for pieces in cuts(octets[:end]):
            unstuffer = _fastparse.Unstuffer()
            assert b"".join([unstuffer.feed(piece) for piece in pieces]) == twin_content.unstuff(octets[: end - 3])


def header(octets: bytes) -> None:
    assert twin_content.Header(*_fastparse.parse_header(octets)) == twin_content.parse_header(octets)


def reply(octets: bytes) -> None:
    for prefix in [*prefixes(octets), octets]:
        found = twin_content.Reply(*_replies.parse_reply(prefix))
        assert found == twin_content.parse_reply(prefix)
    after = _replies.parse_reply(octets)[0]
    if after > 0:
        expected = [line[4:] for line in octets[:after].split(b"\r\n")[:-1]]
        assert _replies.reply_lines(octets[:after]) == expected


PARSERS: Final[dict[str, Callable[[bytes], None]]] = {
    "lines": lines,
    "command": command,
    "path": path,
    "mailbox": mailbox,
    "host": host,
    "params": params,
    "xtext": xtext,
    "content": content,
    "chunk": chunk,
    "dots": dots,
    "header": header,
    "reply": reply,
}
"""All of them by name: the fuzz targets, and the folders of tests/corpus."""
