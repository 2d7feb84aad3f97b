"""Sections of a message (RFC 9051 6.4.5.1): ``1.2.MIME``, ``HEADER.FIELDS (To)``, and where in the message they are.

Pure: from the structure of a message to a span of its octets. A header's chosen fields are no span; they are picked
out of the header's octets by ``pick``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.imap._tokens import Tokens
from relay.imap.completion import Bad
from relay.imap.grammar import listed
from relay.mailbox.vocabulary import Part

MAX_DEPTH: Final = 100
_FIELD: Final = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+\n?+(?:[ \t][^\n]*+\n?+)*+)", re.MULTILINE)
"""A field: its name, and its value with its folds. Where a line begins nothing is looked at twice."""
Span = tuple[int, int]


class Section(NamedTuple):
    """What stands between the brackets of ``BODY[...]``."""

    path: tuple[int, ...] = ()
    text: bytes = b""
    """HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME, or nothing."""
    fields: tuple[bytes, ...] = ()
    """In lower case."""

    @property
    def picks(self) -> bool:
        """Whether fields are chosen from the span."""
        return self.text.startswith(b"HEADER.FIELDS")

    @property
    def is_whole(self) -> bool:
        """Whether it is the message itself."""
        return not self.path and not self.text

    def label(self) -> bytes:
        """As it stands in the response."""
        words = [b"%d" % number for number in self.path]
        if self.text:
            words.append(self.text)
        label = b".".join(words)
        return label + b" (" + b" ".join(field.upper() for field in self.fields) + b")" if self.picks else label

    def span(self, parts: Sequence[Part], size: int) -> Span | None:
        """Where it is in the message of ``size`` octets; None when there is no such part."""
        if self.is_whole:
            return 0, size
        number = part_number(parts, self.path)
        if number is None:
            return None
        part = parts[number]
        if self.text == b"MIME":
            return part.header_start, part.body_start
        if self.text and self.path:
            if part.kind != "message":
                return None
            part = parts[number + 1]
        if self.text == b"TEXT" or not self.text:
            return part.body_start, part.end
        return part.header_start, part.body_start

    def pick(self, header: bytes) -> bytes:
        """The fields of ``header`` that are wanted, and the empty line."""
        is_wanted = self.text == b"HEADER.FIELDS"
        wanted = set(self.fields)
        picked = [m[0] for m in _FIELD.finditer(header) if (m[1].lower() in wanted) == is_wanted]
        if picked and not picked[-1].endswith(b"\n"):
            picked.append(b"\r\n")
        return b"".join(picked) + b"\r\n"


def values_by_name(header: bytes) -> dict[bytes, list[bytes]]:
    """The values of all fields, by name in lower case."""
    values: dict[bytes, list[bytes]] = {}
    for found in _FIELD.finditer(header):
        values.setdefault(found[1].lower(), []).append(found[2].strip())
    return values


def values_of(header: bytes, name: bytes) -> list[bytes]:
    """The values of the fields ``name`` (in lower case), with their folds."""
    return [found[2].strip() for found in _FIELD.finditer(header) if found[1].lower() == name]


def part_number(parts: Sequence[Part], path: Sequence[int]) -> int | None:
    """The number of the part at ``path`` (RFC 9051 6.4.5.1); 0, the message itself, for an empty path."""
    number, is_message = 0, True
    for place in path:
        if not is_message and parts[number].kind == "message":
            number, is_message = number + 1, True
        part = parts[number]
        if part.kind == "multipart":
            child = _child(parts, number, place)
            if child is None:
                return None
            number = child
        elif not is_message or place != 1:
            return None
        is_message = False
    return number


def _child(parts: Sequence[Part], number: int, place: int) -> int | None:
    child = number + 1
    for _ in range(place - 1):
        if child >= parts[number].after:
            return None
        child = parts[child].after
    return child if child < parts[number].after else None


def section(tokens: Tokens, *, is_binary: bool = False) -> Section:
    """``[1.2.HEADER.FIELDS (A B)]`` with its brackets; ``is_binary``: numbers alone (RFC 3516)."""
    tokens.expect(ord("["))
    path: list[int] = []
    text = b""
    fields: tuple[bytes, ...] = ()
    while not tokens.skip(ord("]")):
        if path and not tokens.skip(ord(".")):
            raise Bad(f"a section looks like 1.2.TEXT (octet {tokens.at})")
        if 48 <= tokens.peek() <= 57:
            path.append(tokens.number())
            if not path[-1] or len(path) > MAX_DEPTH:
                raise Bad("there is no such part")
            continue
        text = b"" if is_binary else tokens.word()
        if text not in {b"HEADER", b"HEADER.FIELDS", b"HEADER.FIELDS.NOT", b"TEXT", b"MIME"} or (
            text == b"MIME" and not path
        ):
            raise Bad("a section is HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME or numbers of parts")
        if text.startswith(b"HEADER.FIELDS"):
            tokens.space()
            fields = tuple(name.lower() for name in listed(tokens, tokens.astring))
            if not fields:
                raise Bad("no field is named")
        tokens.expect(ord("]"))
        break
    return Section(tuple(path), text, fields)


def section_of(octets: bytes) -> Section | None:
    """A section without brackets, from an URL; None for what is none."""
    try:
        return section(Tokens(b"[" + octets + b"]"))
    except Bad:
        return None
