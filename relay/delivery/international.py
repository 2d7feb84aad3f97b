"""Whether a message needs SMTPUTF8 (RFC 6531) on its way on: asked only when the next hop does not offer it.

Theory: the parameter says that envelope or message *may* need the extension (3.4); many programs write it wherever it
is offered. What must not be sent without it is an internationalized address or header section (3.2), at any level of
MIME. A domain in A-labels is not one, so an address whose local part is ASCII goes on with its domain in that form
(relay.mail.address.ascii_form).

Cost: linear. The content is looked at only when the message came with SMTPUTF8 and has octets above 127 at all; of a
content in a file no more than ``LOOKED_AT`` octets: header fields of parts that begin behind that are not found.

Not here: when it is asked (_machine.pyx), what the peer offers (_replies.pyx).
"""

from __future__ import annotations

from typing import Final

from relay import _mime

LOOKED_AT: Final = 32 << 20


def has_utf8_header(content: bytes | memoryview | None, path: str | None) -> bool:
    """Whether any header section of a message is not ASCII: its own, that of a part, or of a message in it. ``path`` is
    the file that follows ``content``. OSError when that cannot be read."""
    octets = bytes(content) if content is not None else b""
    if path is not None and len(octets) < LOOKED_AT:
        with open(path, "rb") as file:
            octets += file.read(LOOKED_AT - len(octets))
    return not octets.isascii() and any(not octets[part.header].isascii() for part in _mime.scan(octets))
