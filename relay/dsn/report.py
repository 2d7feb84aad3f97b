"""The whole of a DSN: header section, boundaries, the three parts.

Bounds, whatever the message and the peers said: at most 32 KiB of header section are returned, at most 1 MiB of
content; every line is shorter than 998 octets; texts are cut. A content that is longer, or has longer lines, is
returned as its header section only.

Without UTF-8 addresses all but a returned 8-bit content is plain ASCII, so that the DSN can go anywhere.

Not here: the words (words.py), the fields (fields.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from relay.dsn.fields import safe_address, status_fields
from relay.dsn.words import bounce_words, delay_words
from relay.mail import dates
from relay.mail.address import ascii_form
from relay.mail.content_flags import content_flags, header_section
from relay.mail.envelope import DSN, SMTPUTF8, Envelope
from relay.mail.outcome import Outcome

HEADER_LIMIT: Final = 32 * 1024
CONTENT_LIMIT: Final = 1024 * 1024
LINE_LIMIT: Final = 998
_MESSAGE_ID: Final = re.compile(rb"(?mi)^message-id:[ \t]*(?:\r\n[ \t]+)?(<[!-;=?-~]{1,250}>)[ \t]*\r?$")


def bounce(
    envelope: Envelope,
    failures: Sequence[tuple[int, Outcome]],
    content: bytes,
    *,
    hostname: str,
    message_id: str,
    now: int,
    whole: bool = False,
) -> bytes:
    """The content of a DSN about failed and expired recipients of ``envelope``; CRLF line ends.

    ``failures``: (index of the recipient, its outcome). ``content``: that of the message, or its first 32 KiB at least.
    ``whole``: return it whole (then it must be given whole). ``message_id``: of the DSN, without
    angle brackets. ``now``: microseconds since the epoch. ValueError for the null reverse-path.
    """
    utf8 = needs_utf8(envelope, failures)
    words = bounce_words(envelope, failures, hostname, now)
    fields = status_fields(envelope, failures, hostname, action="failed", until=0, utf8=utf8)
    subject = "Your message could not be delivered"
    return _report(envelope, subject, words, fields, content, hostname, message_id, now, utf8=utf8, whole=whole)


def delay(
    envelope: Envelope,
    delays: Sequence[tuple[int, Outcome]],
    content: bytes,
    *,
    hostname: str,
    message_id: str,
    now: int,
    expires_at: int,
) -> bytes:
    """The content of a DSN about recipients not reached yet, tried until ``expires_at``; otherwise as bounce."""
    utf8 = needs_utf8(envelope, delays)
    words = delay_words(envelope, delays, hostname, now, expires_at)
    fields = status_fields(envelope, delays, hostname, action="delayed", until=expires_at, utf8=utf8)
    subject = "Your message is delayed; no need to send it again"
    return _report(envelope, subject, words, fields, content, hostname, message_id, now, utf8=utf8, whole=False)


def flags(content: bytes) -> int:
    """The envelope flags of a DSN (relay/mail/envelope.py)."""
    # RFC 6531 3.4 is about the address in To as well; RFC 6533 parts alone do not need it.
    return DSN | content_flags(content)


def needs_utf8(envelope: Envelope, failures: Sequence[tuple[int, Outcome]]) -> bool:
    """Whether the forms of RFC 6533 are used: the reverse-path has UTF-8, or the message came with SMTPUTF8 (so its
    sender understands it) and a recipient has. UTF-8 in a domain alone does not count: it is written as A-labels."""
    if ascii_form(envelope.reverse_path) is None:
        return True
    return bool(envelope.flags & SMTPUTF8) and any(
        ascii_form(envelope.recipients[index]) is None for index, _ in failures
    )


def _report(
    envelope: Envelope,
    subject: str,
    words: str,
    fields: bytes,
    content: bytes,
    hostname: str,
    message_id: str,
    now: int,
    *,
    utf8: bool,
    whole: bool,
) -> bytes:
    if not envelope.reverse_path:
        raise ValueError("no DSN is made for the null reverse-path")
    kind = b"global-delivery-status" if utf8 else b"delivery-status"
    transfer = b"8bit" if utf8 else b"7bit"
    text = words.encode() if utf8 else words.encode("ascii", "backslashreplace")
    parts = [
        b"Content-Type: text/plain; charset="
        + (b"utf-8" if utf8 else b"us-ascii")
        + b"\r\nContent-Transfer-Encoding: "
        + transfer
        + b"\r\nContent-Description: Notification\r\n\r\n"
        + _wire(text),
        b"Content-Type: message/"
        + kind
        + b"\r\nContent-Transfer-Encoding: "
        + transfer
        + b"\r\nContent-Description: Delivery report\r\n\r\n"
        + fields,
        _returned(content, utf8=utf8, whole=whole),
    ]
    boundary = _boundary(message_id, parts)
    mark = b"--" + boundary
    head = _head(envelope, subject, content, hostname, message_id, now, boundary)
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts)
    return head + b"\r\n" + b"This is a delivery status notification in MIME format.\r\n\r\n" + body + mark + b"--\r\n"


def _head(
    envelope: Envelope, subject: str, content: bytes, hostname: str, message_id: str, now: int, boundary: bytes
) -> bytes:
    date = dates.written(datetime.fromtimestamp(now // 1_000_000, tz=UTC))
    lines = [
        b"Date: " + date.encode(),
        b"From: Mail Delivery System <MAILER-DAEMON@" + hostname.encode() + b">",
        b"To: <" + safe_address(ascii_form(envelope.reverse_path) or envelope.reverse_path).encode() + b">",
        b"Subject: " + subject.encode(),
        b"Message-ID: <" + message_id.encode("ascii", "replace") + b">",
        # RFC 3834 5: nobody's program shall answer this.
        b"Auto-Submitted: auto-replied",
    ]
    original = _MESSAGE_ID.search(header_section(content)[:HEADER_LIMIT])
    if original is not None:
        # RFC 3834 3.1.4: readers can show it beside the message.
        lines += [b"In-Reply-To: " + original[1], b"References: " + original[1]]
    lines += [
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="' + boundary + b'"',
    ]
    return b"\r\n".join(lines) + b"\r\n"


def _returned(content: bytes, *, utf8: bool, whole: bool) -> bytes:
    """The third part (RFC 3462 1, RFC 6533 3)."""
    if whole and len(content) <= CONTENT_LIMIT and _has_short_lines(content):
        kind = b"message/global" if utf8 else b"message/rfc822"
        transfer = b"7bit" if content.isascii() else b"8bit"
        description = b"Undelivered message"
        returned = content
    else:
        kind = b"message/global-headers" if utf8 else b"text/rfc822-headers"
        returned = _cut(header_section(content))
        if not utf8:
            # 8-bit octets in a header section without SMTPUTF8 are the sender's mistake; the DSN shall not fail by it.
            returned = _EIGHT_BIT.sub(b"?", returned)
        transfer = b"7bit" if returned.isascii() else b"8bit"
        description = b"Header section of the undelivered message"
    return (
        b"Content-Type: "
        + kind
        + b"\r\nContent-Transfer-Encoding: "
        + transfer
        + b"\r\nContent-Description: "
        + description
        + b"\r\n\r\n"
        + returned
    )


_EIGHT_BIT: Final = re.compile(rb"[\x80-\xff]")


def _has_short_lines(content: bytes) -> bool:
    return max(map(len, content.split(b"\r\n"))) <= LINE_LIMIT


def _cut(header: bytes) -> bytes:
    """``header`` to 32 KiB, cut after a line; longer lines are cut short."""
    if len(header) > HEADER_LIMIT:
        end = header.rfind(b"\r\n", 0, HEADER_LIMIT)
        header = header[: end + 2] if end >= 0 else header[:HEADER_LIMIT]
    lines = header.split(b"\r\n")
    return b"\r\n".join(line if len(line) <= LINE_LIMIT else _whole_characters(line[:LINE_LIMIT]) for line in lines)


def _whole_characters(octets: bytes) -> bytes:
    """``octets`` without the beginning of a UTF-8 character at its end."""
    return octets.decode("utf-8", "ignore").encode() if not octets.isascii() else octets


def _wire(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _boundary(message_id: str, parts: list[bytes]) -> bytes:
    """A boundary that is in none of ``parts``: theirs may hold the boundary of a DSN that was forged to have ours."""
    base = re.sub(r"[^A-Za-z0-9.]", "", message_id)[:40].encode()
    count = 0
    while True:
        boundary = b"=_%d_%s" % (count, base)
        if not any(boundary in part for part in parts):
            return boundary
        count += 1
