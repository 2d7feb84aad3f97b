"""Delivery status notifications (RFC 3461 to 3464, 6533). Signatures; the body follows."""

from __future__ import annotations

from collections.abc import Sequence

from relay.mail.envelope import Envelope
from relay.mail.outcome import Outcome


def bounce(
    envelope: Envelope, failures: Sequence[tuple[int, Outcome]], content: bytes, *, hostname: str, message_id: str, now: int, whole: bool
) -> bytes:
    """The content of a DSN about failed and expired recipients, CRLF, for ``envelope.reverse_path``.

    ``content`` is the original content or (large) its beginning; ``whole``: return it whole, not only its header section. Its
    envelope: reverse path b"", one recipient ``envelope.reverse_path``; flags from ``dsn.flags(content)``.
    """
    raise NotImplementedError


def delay(
    envelope: Envelope, delays: Sequence[tuple[int, Outcome]], content: bytes, *, hostname: str, message_id: str, now: int, expires_at: int
) -> bytes:
    """The content of a DSN about recipients not reached yet."""
    raise NotImplementedError
