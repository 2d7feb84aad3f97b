"""Twin of the structured values of relay/_mime.pyx: each reader takes what is left of a value, returns the rest."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

SPACE: Final = b" \t\r\n"
TOKEN: Final = re.compile(rb"""[^\x00-\x20\x7f-\xff()<>@,;:\\"/\[\]?=]*""")
BARE_VALUE: Final = re.compile(rb"[^; \t\r\n]*")
SECTION: Final = re.compile(rb"boundary\*(?:([0-9])\*?)?", re.IGNORECASE)
BOUNDARY_LIMIT: Final = 250


class Parameter(NamedTuple):
    name: bytes
    raw: bytes
    value: bytes


def after_comment(rest: bytes) -> bytes:
    depth = at = 0
    while at < len(rest):
        if rest[at : at + 1] == b"\\":
            at += 1
        elif rest[at : at + 1] == b"(":
            depth += 1
        elif rest[at : at + 1] == b")":
            depth -= 1
            if depth == 0:
                return rest[at + 1 :]
        at += 1
    return b""


def after_space(rest: bytes) -> bytes:
    while rest and rest[0] in SPACE + b"(":
        rest = after_comment(rest) if rest[:1] == b"(" else rest[1:]
    return rest


def read_token(rest: bytes) -> tuple[bytes, bytes]:
    found = TOKEN.match(rest)
    assert found
    return found.group(), rest[found.end() :]


def read_quoted(rest: bytes) -> tuple[bytes, bytes, bytes]:
    """(as written, meant, rest) of the quoted string at the start of ``rest``."""
    meant = bytearray()
    at = 1
    while at < len(rest) and rest[at : at + 1] != b'"':
        if rest[at : at + 1] == b"\\" and at + 1 < len(rest):
            at += 1
            meant += rest[at : at + 1]
        elif rest[at] not in b"\r\n":
            meant += rest[at : at + 1]
        at += 1
    return rest[1:at], bytes(meant), rest[at + 1 :]


def parameters(value: bytes) -> list[Parameter]:
    found: list[Parameter] = []
    rest = value
    while True:
        while rest and rest[:1] != b";":
            rest = after_comment(rest) if rest[:1] == b"(" else rest[1:]
        if not rest:
            return found
        name, rest = read_token(after_space(rest[1:]))
        rest = after_space(rest)
        if not name or rest[:1] != b"=":
            continue
        rest = after_space(rest[1:])
        if rest[:1] == b'"':
            raw, meant, rest = read_quoted(rest)
        else:
            bare = BARE_VALUE.match(rest)
            assert bare
            raw = meant = bare.group()
            rest = rest[bare.end() :]
        found.append(Parameter(name.lower(), raw, meant))


def media_type(value: bytes) -> tuple[bytes, bytes] | None:
    """(type, subtype) in lower case; None when the value is no Content-Type."""
    first, rest = read_token(after_space(value))
    rest = after_space(rest)
    second, _ = read_token(after_space(rest[1:]))
    return (first.lower(), second.lower()) if first and rest[:1] == b"/" and second else None


def parse_value(value: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    media = media_type(value)
    word = b"/".join(media) if media else read_token(after_space(value))[0].lower()
    return word, [(parameter.name, parameter.value) for parameter in parameters(value)]


def encoding(value: bytes) -> str:
    word = read_token(after_space(value))[0].lower().decode() or "7bit"
    return word if word in {"7bit", "8bit", "binary", "base64", "quoted-printable"} else ""


def boundary(value: bytes) -> bytes:
    """The boundary of a Content-Type; empty when it has none that can be used."""
    found = parameters(value)
    sections: dict[int, Parameter] = {}
    for parameter in found:
        if section := SECTION.fullmatch(parameter.name):
            sections.setdefault(int(section.group(1) or 0), parameter)
    for parameter in found:
        if parameter.name == b"boundary":
            sections = {0: parameter}
            break
    text = b""
    for number in range(10):
        if number not in sections:
            break
        if len(sections[number].raw) > BOUNDARY_LIMIT - len(text):
            return b""
        text += section_text(sections[number], number)
    return text.rstrip(b" \t")


def section_text(parameter: Parameter, number: int) -> bytes:
    """RFC 2231 4: charset, language and percent signs, in a name that ends with a star."""
    text = parameter.value
    if not parameter.name.endswith(b"*"):
        return text
    if number == 0 and text.count(b"'") >= 2:
        text = text.split(b"'", 2)[2]
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda code: bytes.fromhex(code.group(1).decode()), text)
