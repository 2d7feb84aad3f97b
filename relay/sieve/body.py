"""What the body test looks at (RFC 5173), from the compiled MIME scan; decoded octets are bounded in all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relay import _mime, _mime_values
from relay.mail import parameters, transfer
from relay.sieve import limits
from relay.sieve.message import MessageView, to_text


def raw_body(message: MessageView) -> str:
    """The body as it came, nothing decoded (RFC 5173 5.1)."""
    content = message.content()
    structure = _mime.scan(content, max_parts=1)
    return content[structure[0].body].decode("utf-8", "replace")


def texts(message: MessageView, types: Sequence[str]) -> Iterator[str]:
    """The parts whose media type is among ``types``, decoded (RFC 5173 5.2): ``text``, ``text/html``; an empty one
    is every type. Of a multipart what is around its parts, of a message/rfc822 its header section."""
    wanted = [each.lower() for each in types]
    content = message.content()
    left = limits.BODY_OCTETS
    for part in _mime.scan(content, max_parts=1000, max_depth=50):
        media_type = part.content_type(content).decode("latin-1")
        if not any(_is_wanted(media_type, each) for each in wanted):
            continue
        if left <= 0:
            return
        octets = _octets(content, part)[:left]
        left -= len(octets)
        yield _text(part, content, octets)


def _is_wanted(media_type: str, wanted: str) -> bool:
    """RFC 5173 5.2: what begins or ends with a slash, or has two, matches nothing."""
    if not wanted:
        return True
    main, slash, sub = wanted.partition("/")
    if slash and (not main or not sub or "/" in sub):
        return False
    return media_type == wanted if slash else media_type.partition("/")[0] == wanted


def _octets(content: bytes, part: _mime.Part) -> bytes:
    octets = content[part.body]
    if part.kind == "multipart":
        return _around(content, part)
    if part.kind == "message":
        return octets.partition(b"\r\n\r\n")[0]
    return transfer.decode(octets, part.encoding)


def _around(content: bytes, part: _mime.Part) -> bytes:
    """Prologue and epilogue of a multipart; found by its boundary."""
    boundary = dict(_mime_values.parse_value(content[part.field("content-type") or slice(0, 0)])[1]).get(
        b"boundary", b""
    )
    body = b"\r\n" + content[part.body]
    mark = b"\r\n--" + boundary
    prologue, _, rest = body.partition(mark)
    _, ended, epilogue = rest.rpartition(mark + b"--")
    return prologue + (epilogue if ended else b"")


def _text(part: _mime.Part, content: bytes, octets: bytes) -> str:
    place = part.field("content-type")
    return to_text(octets, parameters.charset_of(content[place]) if place is not None else b"")
