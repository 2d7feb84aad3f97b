"""Parameters of MIME header fields with what RFC 2231 adds: continuations, charsets, percent encoding.

Theory: the fields are scanned by ``relay/_mime_values.pyx``, at most 1,000 parameters of a value. Sections are
joined in the order of their numbers up to the first gap; of two parameters of one name the first counts. Linear,
nothing raises.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from relay import _mime_values
from relay.mail import charsets, encoded_words

_DIGITS: Final = 3


class Parameter(NamedTuple):
    """The value of one parameter."""

    octets: bytes
    label: bytes | None
    """Of the charset, where the value says one."""

    @property
    def text(self) -> str:
        """As text; encoded words, which do not belong here and are common, decoded as well."""
        if self.label is None:
            return encoded_words.decode(self.octets)
        return charsets.decode(self.octets, self.label)


def parameters(value: bytes) -> dict[bytes, Parameter]:
    """Name in lower case -> value, of a field's value."""
    found: dict[bytes, Parameter] = {}
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, text in _mime_values.parse_value(value)[1]:
        base, star, rest = name.partition(b"*")
        if not star:
            found.setdefault(name, Parameter(text, None))
            continue
        is_encoded = not rest or rest.endswith(b"*")
        digits = rest.rstrip(b"*")
        if (digits.isdigit() and len(digits) <= _DIGITS) or not rest:
            sections.setdefault(base, {}).setdefault(int(digits or b"0"), (text, is_encoded))
    for name, pieces in sections.items():
        if 0 in pieces and name not in found:
            found[name] = _joined(pieces)
    return found


def charset_of(value: bytes) -> bytes:
    """The charset parameter of a Content-Type field's value; empty when there is none."""
    if b"*" not in value:
        return next((text for name, text in _mime_values.parse_value(value)[1] if name == b"charset"), b"")
    charset = parameters(value).get(b"charset")
    return charset.octets if charset is not None else b""


def _joined(pieces: dict[int, tuple[bytes, bool]]) -> Parameter:
    label: bytes | None = None
    octets: list[bytes] = []
    number = 0
    while number in pieces:
        text, is_encoded = pieces[number]
        if is_encoded and not number and text.count(b"'") >= 2:
            label, _, text = text.split(b"'", 2)
        octets.append(_unescaped(text) if is_encoded else text)
        number += 1
    return Parameter(b"".join(octets), label or None)


def _unescaped(text: bytes) -> bytes:
    """Percent encoding undone (RFC 2231 4)."""
    first, *others = text.split(b"%")
    made = [first]
    for each in others:
        try:
            made += (bytes.fromhex(each[:2].decode("ascii")), each[2:]) if len(each) >= 2 else (b"%", each)
        except ValueError:
            made += (b"%", each)
    return b"".join(made)
