"""A message on its way into a mailbox: what a script sees of it, and its content with another header section."""

from __future__ import annotations

from typing import NamedTuple

from relay.sieve import MessageView


class Incoming(NamedTuple):
    """The message as a filter sees it."""

    queue_id: str
    reverse_path: bytes
    recipient: bytes
    """As it stands in the envelope."""
    mailbox: bytes
    """The account."""
    size: int
    head: bytes | memoryview
    """The content, or its beginning."""
    path: str | None
    """The file with the rest."""


def view_of(incoming: Incoming) -> MessageView:
    """The message for a script; of a large one the file is read only when it must be."""
    head = bytes(incoming.head)
    if incoming.path is not None and b"\r\n\r\n" not in head:
        return MessageView(_read(incoming, 1 << 20), incoming.size, lambda: _read(incoming, 4 << 20))
    return MessageView(head, incoming.size, lambda: _read(incoming, 4 << 20))


def edited(incoming: Incoming, header: bytes) -> bytes:
    """The whole content with another header section."""
    content = whole(incoming)
    body = content.find(b"\r\n\r\n")
    return header + (content[body + 2 :] if body >= 0 else b"\r\n")


def whole(incoming: Incoming) -> bytes:
    """The whole content, in memory."""
    return _read(incoming, incoming.size)


def _read(incoming: Incoming, limit: int) -> bytes:
    content = bytes(incoming.head)
    if incoming.path is not None and len(content) < limit:
        with open(incoming.path, "rb") as file:
            content += file.read(limit - len(content))
    return content
