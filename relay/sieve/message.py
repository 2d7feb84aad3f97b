"""A message as a script sees it: header fields, decoded and edited; its body when it is asked for.

Theory: most scripts look at a few fields of a message that has forty. A field is found by a search for its name in the
header section in lower case; no list of fields is made, unless the section is edited (RFC 5293) and must be.
Encoded words are decoded only where there is ``=?``. What was looked up is remembered until the next edit.

Not here: parts of the body (body.py), addresses (addresses.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from relay.mail import charsets, encoded_words
from relay.sieve import limits

_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\n]*\n(?=[ \t]))*[^\n]*(?:\n|\Z))")
_VALUE_LIMIT: Final = 65_536


class MessageView:
    """One message for one run of a script."""

    def __init__(self, header: bytes, size: int, content: Callable[[], bytes] | None = None) -> None:
        """``header``: the header section, CRLF or LF lines, with or without the empty line. ``size``: octets of the
        whole message. ``content``: gives the whole content, or its first ``BODY_OCTETS``; asked at most once."""
        self._section = b"\n" + _cut(header)
        self._lower: bytes | None = None
        self._fields: list[tuple[bytes, bytes]] | None = None
        self._by_name: dict[bytes, list[bytes]] = {}
        """The edited fields; empty: not known yet."""
        self._known: dict[str, list[str]] = {}
        self._load = content
        self._content: bytes | None = None
        self.size = size
        self.is_edited = False

    @property
    def header_octets(self) -> int:
        """Octets of the header section that came."""
        return len(self._section)

    def values(self, name: str) -> list[str]:
        """The values of all fields ``name``, top first: unfolded, decoded, outer white space removed (RFC 5228
        2.4.2.2)."""
        lower = name.lower()
        known = self._known.get(lower)
        if known is None:
            known = self._known[lower] = [decoded(value) for value in self.raw_values(lower)]
        return known

    def raw_values(self, name: str) -> list[bytes]:
        """The same as they are, folds and all."""
        try:
            wanted = name.lower().encode("ascii")
        except UnicodeEncodeError:
            return []
        if self._fields is not None:
            if not self._by_name:
                for field, value in self._fields:
                    self._by_name.setdefault(field.lower(), []).append(value)
            return self._by_name.get(wanted, [])
        if self._lower is None:
            self._lower = self._section.lower()
        found: list[bytes] = []
        mark = b"\n" + wanted
        at = self._lower.find(mark)
        while at >= 0:
            match = _FIELD.match(self._section, at + 1)
            if match is not None and len(match[1]) == len(wanted):
                found.append(match[2])
            at = self._lower.find(mark, at + len(mark))
        return found

    def add(self, name: str, value: str, *, last: bool) -> None:
        """Adds a field in front or at the end (RFC 5293 4); ``value`` is put into encoded words where it must be."""
        field = (name.encode(), encoded(name, value))
        fields = self._editable(name)
        fields.insert(len(fields) if last else 0, field)

    def remove(self, name: str, matches: Callable[[list[str]], list[bool]]) -> int:
        """Removes the fields ``name`` that ``matches`` picks among all of that name; how many there were (RFC 5293
        5)."""
        fields = self._editable(name)
        wanted = name.lower().encode("ascii", "replace")
        places = [place for place, (field, _) in enumerate(fields) if field.lower() == wanted]
        chosen = matches([decoded(fields[place][1]) for place in places])
        gone = {place for place, is_chosen in zip(places, chosen, strict=True) if is_chosen}
        fields[:] = [field for place, field in enumerate(fields) if place not in gone]
        return len(gone)

    def header(self) -> bytes:
        """The header section as it is now, CRLF lines, without the empty line."""
        if self._fields is None:
            return self._section[1:]
        return b"".join(name + b":" + value for name, value in self._fields)

    def content(self) -> bytes:
        """The content, its header section as it came; empty when nobody can give it."""
        if self._content is None:
            self._content = self._load()[: limits.BODY_OCTETS] if self._load is not None else b""
        return self._content

    def _editable(self, name: str) -> list[tuple[bytes, bytes]]:
        """All fields, of which those of ``name`` are about to change."""
        if self._fields is None:
            self._fields = list(_fields(self._section[1:]))
        self._known.pop(name.lower(), None)
        self._by_name = {}
        self.is_edited = True
        return self._fields


def _cut(header: bytes) -> bytes:
    header = header[: limits.HEADER_OCTETS]
    for empty in (b"\r\n\r\n", b"\n\n"):
        end = header.find(empty)
        if end >= 0:
            header = header[: end + len(empty) // 2]
    return header


def _fields(section: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of each field, with its end; lines that are no field are left out. A search for the next field
    from every octet of such a line would take quadratic time."""
    at = 0
    while at < len(section):
        match = _FIELD.match(section, at)
        if match is not None:
            yield match[1], match[2] if match[2].endswith(b"\n") else match[2] + b"\r\n"
            at = match.end()
        else:
            at = section.find(b"\n", at) + 1 or len(section)


def decoded(value: bytes) -> str:
    """A field value as text: unfolded, encoded words decoded (RFC 2047); octets that mean nothing become U+FFFD."""
    return encoded_words.decode(value[:_VALUE_LIMIT]).strip(" \t\r\n")


to_text = charsets.decode
"""Octets in a charset that a message names; where it is not known, as UTF-8."""


def encoded(name: str, value: str) -> bytes:
    """A field's value with its end, folded, non-ASCII in encoded words (RFC 2047)."""
    plain = "".join([c if c.isprintable() else " " for c in value.replace("\r\n", "\n")]).strip()
    return f" {encoded_words.encode(plain, len(name) + 2)}\r\n".encode("ascii")
