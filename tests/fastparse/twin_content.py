"""Twins of the content scan, of (un)stuffing, of the header section scan, the reply scan and the log text."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.fastparse.twin_commands import first_fault


class Content(NamedTuple):
    end: int
    """Offset past the end of data; -1 while there is none."""
    dots: bool
    dots_left: bool
    eight_bit: bool
    fault: str
    line_length: int
    longest_line: int


def scan_content(octets: bytes) -> Content:
    """All that has arrived of a content."""
    # The CRLF of the DATA command counts as the first half of CRLF.CRLF.
    end = (b"\r\n" + octets).find(b"\r\n.\r\n")
    end = end + 3 if end >= 0 else -1
    seen = octets if end < 0 else octets[:end]
    *finished, last = (seen if end < 0 else octets[: end - 3]).split(b"\r\n")
    dotted = [line for line in finished if line.startswith(b".")]
    # What begins with a dot and may still turn out to be the end of data is no dotted line yet.
    if last.startswith(b".") and last not in {b".", b".\r"}:
        dotted.append(last)
    fault = first_fault(seen)
    return Content(
        end,
        bool(dotted),
        any(line.startswith(b"..") for line in dotted),
        any(octet > 127 for octet in seen),
        fault,
        length(last),
        max([0, *map(length, finished)]),
    )


def scan_chunk(octets: bytes) -> tuple[bool, bool, bool, bool, str, int, int]:
    """All that has arrived of a content in chunks, as ContentScanner.result() has it."""
    *finished, last = octets.split(b"\r\n")
    return (
        False,
        False,
        any(line.startswith(b".") for line in [*finished, last]),
        any(octet > 127 for octet in octets),
        first_fault(octets),
        len(last),
        max([0, *map(len, finished)]),
    )


def length(line: bytes) -> int:
    return len(line) - line.startswith(b".")


def unstuff(content: bytes) -> bytes:
    return b"\r\n".join([line[1:] if line.startswith(b".") else line for line in content.split(b"\r\n")])


def stuff(content: bytes) -> bytes:
    return b"\r\n".join([b"." + line if line.startswith(b".") else line for line in content.split(b"\r\n")])


class Header(NamedTuple):
    end: int
    body: int
    fields: int
    received: int
    delivered_to: int
    names: frozenset[str]
    malformed: bool


NAMES = {
    "date", "message-id", "from", "to", "cc", "bcc", "sender", "subject", "return-path", "mime-version", "content-type",
}  # fmt: skip


def parse_header(content: bytes) -> Header:
    """Line by line."""
    at = 0
    names: list[str] = []
    malformed = False
    body = -1
    for line in re.findall(rb"(?s:.*?\r\n|.+\Z)", content):
        if line == b"\r\n":
            body = at + 2
            break
        field = re.match(rb"([!-9;-~]+)[ \t]*:", line)
        if field is not None:
            names.append(field[1].decode().lower())
        elif not (line[:1] in {b" ", b"\t"} and names):
            malformed = True
            break
        at += len(line)
    return Header(
        at,
        at if body < 0 else body,
        len(names),
        names.count("received"),
        names.count("delivered-to"),
        frozenset(NAMES & set(names)),
        malformed,
    )


REPLY_LIMIT = 32768
REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
STATUS = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")


class Reply(NamedTuple):
    after: int
    fault: str = ""
    code: int = 0
    status: str = ""
    text: bytes = b""
    texts: bytes = b""


def split_status(code: bytes, text: bytes) -> tuple[str, bytes]:
    found = STATUS.match(text)
    if found is None or (text[:1] + code[:1]) not in {b"22", b"44", b"45", b"54", b"55"}:
        return "", text
    status = ".".join(str(int(number)) for number in found[1].split(b"."))
    return status, text if status in {"4.0.0", "5.0.0"} else text[found.end() :]


def parse_reply(octets: bytes) -> Reply:
    """The reply at the start of ``octets``."""
    after = 0
    texts: list[bytes] = []
    first_status = first_code = b""
    status = ""
    for line in re.findall(rb"(?s:[^\n]*\n|[^\n]+\Z)", octets):
        after += len(line)
        if after > REPLY_LIMIT:
            return Reply(-2, "too-long")
        if not line.endswith(b"\n"):
            break
        if not line.endswith(b"\r\n") or b"\0" in line:
            return Reply(-2, "bare-lf")
        found = REPLY_LINE.fullmatch(line[:-2])
        if found is None:
            return Reply(-2, "syntax")
        if first_code and found[1] != first_code:
            return Reply(-2, "code-changed")
        status, text = split_status(found[1], found[3] or b"")
        if not first_code:
            first_code, first_status = found[1], status.encode()
        texts.append(text)
        if found[2] != b"-":
            joined = b" ".join([text for text in texts if text])
            return Reply(after, "", int(first_code), status or first_status.decode(), text, joined)
    return Reply(-1)
