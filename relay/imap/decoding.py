"""From octets of a message to text, for SEARCH, SORT, PREVIEW and BINARY.

Pure and linear; nothing is refused: what cannot be decoded is U+FFFD, since a search that fails at one broken
message would find nothing in the others. The decoders themselves are below relay/mail.
"""

from __future__ import annotations

import re
from typing import Final

from relay.mail import charsets, encoded_words, html_text, parameters, transfer
from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import Part

TEXT_LIMIT: Final = 16 * 1024 * 1024
"""Octets of one text part that are decoded."""
PREVIEW_OCTETS: Final = 128 * 1024
"""Octets of a part that a preview is made of."""
PREVIEW_TEXT: Final = 64 * 1024
"""Characters of it that are looked through for what a person would read."""
_SPACES: Final = re.compile(r"\s+")
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]+")

body = transfer.decode
"""The octets, their transfer encoding undone."""
text = charsets.decode
"""Octets as text, by a label."""
header = encoded_words.decode
"""A field's value with its encoded words decoded and its folds undone."""


def is_charset(name: str) -> bool:
    """Whether ``text`` knows it."""
    return charsets.find(name) is not None


def part_text(view: View, index: int, part: Part, most: int = TEXT_LIMIT) -> str:
    """A text part of a message, its first ``most`` octets."""
    size = min(part.end - part.body_start, most)
    with view.content(index) as content:
        octets = content.read(part.body_start, size)
    return text_of(octets, part)


def text_of(octets: bytes, part: Part) -> str:
    """The text of ``octets``, the body of ``part`` or its beginning."""
    return text(body(octets, part.encoding), parameters.charset_of(part.fields.get("content-type", b"")))


def preview(view: View, index: int, characters: int) -> str:
    """The beginning of what a person would read (RFC 8970), without control characters."""
    chosen = [part for part in view.parts(index) if part.kind == "text" and part.type.startswith(b"text/")]
    plain = next((part for part in chosen if part.type == b"text/plain"), chosen[0] if chosen else None)
    if plain is None:
        return ""
    found = part_text(view, index, plain, PREVIEW_OCTETS)[:PREVIEW_TEXT]
    if plain.type == b"text/html":
        found = html_text.text_of(found)
    return _SPACES.sub(" ", _CONTROLS.sub("", found)).strip()[:characters]
