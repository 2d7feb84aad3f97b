"""ENVELOPE, BODY and BODYSTRUCTURE (RFC 9051 7.5.2), written from the structure of a message.

Pure. What peers sent is written as it is, with folds undone; what has no value is NIL. Depth and number of the parts
are bounded where the message is scanned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay import _mime_values
from relay.imap.parameters import joined
from relay.imap.responses import nstring, string
from relay.mail.header_addresses import addresses
from relay.mailbox.vocabulary import Part

_NO_TEXT: Final = b"\r\n\0"
"""Octets of folds, and those that no string may hold."""
NO_ENVELOPE: Final = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
NO_BODY: Final = b'("APPLICATION" "OCTET-STREAM" NIL NIL NIL "8BIT" 0)'
"""Of messages that could not be made sense of."""
MAX_LANGUAGES: Final = 100
"""Of a part that are told: what they take is several times their octets."""
_ADDRESS_FIELDS: Final = ("from", "sender", "reply-to", "to", "cc", "bcc")


def envelope(fields: dict[str, bytes]) -> bytes:
    """ENVELOPE of a message with these header fields."""
    lists = {name: address_list(fields.get(name)) for name in _ADDRESS_FIELDS}
    for name in ("sender", "reply-to"):
        if lists[name] == b"NIL":
            lists[name] = lists["from"]
    words = [
        nstring(_value(fields, "date")),
        nstring(_value(fields, "subject")),
        *(lists[name] for name in _ADDRESS_FIELDS),
        nstring(_value(fields, "in-reply-to")),
        nstring(_value(fields, "message-id")),
    ]
    return b"(" + b" ".join(words) + b")"


def address_list(value: bytes | None) -> bytes:
    """``((name NIL mailbox host) ...)`` or NIL."""
    found = addresses(value) if value else []
    if not found:
        return b"NIL"
    return (
        b"("
        + b"".join(
            b"(%b NIL %b %b)" % (nstring(each.name), nstring(each.local), nstring(each.domain)) for each in found
        )
        + b")"
    )


def body(parts: Sequence[Part], number: int = 0, *, is_extended: bool) -> bytes:
    """BODYSTRUCTURE of a part and all that is in it; BODY, when not ``is_extended``."""
    part = parts[number]
    if part.kind == "multipart":
        return _multipart(parts, number, is_extended)
    kind, parameters = _content_type(part)
    main, _, sub = kind.partition(b"/")
    words = [
        string(main.upper()),
        string(sub.upper()),
        parameters,
        nstring(_value(part.fields, "content-id")),
        nstring(_value(part.fields, "content-description")),
        string((part.encoding or "7bit").upper().encode()),
        b"%d" % (part.end - part.body_start),
    ]
    if part.kind == "message" and part.children:
        inner = parts[number + 1]
        words += [envelope(inner.fields), body(parts, number + 1, is_extended=is_extended), b"%d" % part.lines]
    elif main == b"text":
        words.append(b"%d" % part.lines)
    if is_extended:
        words.append(nstring(_value(part.fields, "content-md5")))
        words += _extension(part)
    return b"(" + b" ".join(words) + b")"


def _multipart(parts: Sequence[Part], number: int, is_extended: bool) -> bytes:
    part = parts[number]
    children: list[bytes] = []
    child = number + 1
    while child < part.after:
        children.append(body(parts, child, is_extended=is_extended))
        child = parts[child].after
    if not children:  # the grammar has no multipart without a part
        children.append(b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)')
    kind, parameters = _content_type(part)
    words = [b"".join(children), string(kind.partition(b"/")[2].upper())]
    if is_extended:
        words += [parameters, *_extension(part)]
    return b"(" + b" ".join(words) + b")"


def _content_type(part: Part) -> tuple[bytes, bytes]:
    """Type in lower case, and the parameters as a list."""
    value = part.fields.get("content-type")
    if value is None:
        return part.type, b'("CHARSET" "US-ASCII")' if part.kind == "text" else b"NIL"
    _, parameters = _mime_values.parse_value(value)
    if not parameters and part.kind == "text" and part.type == b"text/plain":
        return part.type, b'("CHARSET" "US-ASCII")'
    return part.type, _parameters(parameters)


def _parameters(parameters: list[tuple[bytes, bytes]]) -> bytes:
    if not parameters:
        return b"NIL"
    words = (string(name.upper()) + b" " + string(_clean(value)) for name, value in joined(parameters))
    return b"(" + b" ".join(words) + b")"


def _extension(part: Part) -> list[bytes]:
    """Disposition, language, location."""
    value = part.fields.get("content-disposition")
    disposition = b"NIL"
    if value:
        word, parameters = _mime_values.parse_value(value)
        disposition = b"(" + string(word.upper() or b"ATTACHMENT") + b" " + _parameters(parameters) + b")"
    tags = (_value(part.fields, "content-language") or b"").split(b",", MAX_LANGUAGES)[:MAX_LANGUAGES]
    languages = [word for tag in tags if (word := tag.strip())]
    language = b"NIL" if not languages else b"(" + b" ".join(string(word) for word in languages) + b")"
    return [disposition, language, nstring(_value(part.fields, "content-location"))]


def _value(fields: dict[str, bytes], name: str) -> bytes | None:
    value = fields.get(name)
    return None if value is None else _clean(value)


def _clean(value: bytes) -> bytes:
    return value.translate(None, _NO_TEXT)
