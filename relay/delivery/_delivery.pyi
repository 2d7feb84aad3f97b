"""Types of the compiled module; see _delivery.pyx."""

from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Delivery:
    """One content for one or more recipients at one next hop: what a session takes from its owner.

    ``content`` is the content as stored (CRLF lines, not stuffed). With a ``path``, the file there follows it;
    ``content`` may then be None.
    ``flags`` are those of relay.mail.envelope (BODY_8BIT, SMTPUTF8, DOTS count here). ``size`` is the content's
    size in octets. ``tag`` is the owner's own; the session does not look at it.
    """

    reverse_path: bytes
    recipients: tuple[bytes, ...]
    flags: int
    size: int
    content: bytes | memoryview | None
    path: str | None
    tag: Any
    taken_at: float
    """Loop time in seconds when the session took it; 0.0 before."""
    content_at: float
    """Loop time when the content was begun; 0.0 when it never was."""
    finished_at: float
    """Loop time when its last outcome was known."""
    def __init__(
        self,
        reverse_path: bytes,
        recipients: tuple[bytes, ...],
        flags: int,
        size: int,
        content: bytes | memoryview | None = None,
        path: str | None = None,
        tag: Any = None,
    ) -> None: ...
