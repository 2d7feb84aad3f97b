"""The part for programs: message/delivery-status (RFC 3464 2) and message/global-delivery-status (RFC 6533 3).

One block about the message, then one for each recipient. Everything that came from a peer is made safe here: control
characters are replaced, lines are folded, texts are cut.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from relay.mail import dates
from relay.mail.address import ascii_form
from relay.mail.envelope import Envelope
from relay.mail.outcome import EXPIRED, FAILED, Outcome

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
_HERE: Final = frozenset({"", "route", "dns", "queue", "store"})
"""Stages at which no other host is spoken to."""
_TEXT_LIMIT: Final = 500
_SHORT_LIMIT: Final = 80
_AT_LENGTH: Final = 100
"""So many recipients have their texts at length; those after them shorter, so that a DSN stays small."""
_FOLD_AT: Final = 76


def status_fields(
    envelope: Envelope,
    failures: Sequence[tuple[int, Outcome]],
    hostname: str,
    *,
    action: str,
    until: int,
    utf8: bool,
) -> bytes:
    """The part's body. ``action``: failed or delayed; ``until``: microseconds, for Will-Retry-Until, or 0."""
    blocks = [
        [
            f"Reporting-MTA: dns; {hostname}",
            f"Arrival-Date: {date(envelope.received_at)}",
            f"X-Relay-Queue-ID: {envelope.queue_id}",
        ]
    ]
    for number, (index, outcome) in enumerate(failures):
        limit = _TEXT_LIMIT if number < _AT_LENGTH else _SHORT_LIMIT
        blocks.append(_recipient(envelope.recipients[index], outcome, action, until, limit, utf8=utf8))
    text = "\r\n".join("".join(fold(line) + "\r\n" for line in block) for block in blocks)
    return text.encode("utf-8" if utf8 else "ascii", "replace")


def _recipient(recipient: bytes, outcome: Outcome, action: str, until: int, limit: int, *, utf8: bool) -> list[str]:
    lines = [
        f"Final-Recipient: {_typed(recipient, utf8=utf8)}",
        f"Action: {action}",
        f"Status: {status_of(outcome)}",
    ]
    host = asked_host(outcome)
    if host:
        lines.append(f"Remote-MTA: dns; {_printable(_as_domain(host), utf8=utf8)}")
    said = _printable(quoted(outcome, limit), utf8=utf8)
    lines.append(f"Diagnostic-Code: {'smtp' if outcome.code else 'x-relay'}; {said}")
    if until:
        lines.append(f"Will-Retry-Until: {date(until)}")
    return lines


def _typed(recipient: bytes, *, utf8: bool) -> str:
    """An address with its type (RFC 3464 2.3.2, RFC 6533 3): in ASCII surroundings UTF-8 is written as its number, in a
    domain as A-labels."""
    address = safe_address(recipient if utf8 else ascii_form(recipient) or recipient)
    if address.isascii():
        return f"rfc822; {address}"
    if utf8:
        return f"utf-8; {address}"
    return "utf-8; " + "".join(c if c.isascii() and c not in "\\+=" else f"\\x{{{ord(c):02X}}}" for c in address)


def status_of(outcome: Outcome) -> str:
    """The enhanced status of ``outcome``, or a general one when it has none (RFC 3463)."""
    if _STATUS.fullmatch(outcome.status):
        return outcome.status
    return "5.0.0" if outcome.kind == FAILED else "4.0.0"


def _as_domain(host: str) -> str:
    """``host``; an address as a literal, because RFC 3464 2.1.2 wants a domain (RFC 5321 4.1.3)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


def remote_host(next_hop: str) -> str:
    """The host name in ``mx1.example.org[192.0.2.1]:25``; the address when there is no name; empty for a mailbox."""
    name, bracket, rest = next_hop.partition("[")
    if not next_hop or "@" in next_hop or "/" in next_hop:
        return ""
    return safe_text(name or rest.partition("]")[0] if bracket else name.rpartition(":")[0] or name, 255)


def asked_host(outcome: Outcome) -> str:
    """The host that was asked; empty when the matter ended before any was, or in a mailbox (RFC 3464 2.3.5)."""
    return remote_host(outcome.next_hop) if outcome.code or outcome.stage not in _HERE else ""


def quoted(outcome: Outcome, limit: int) -> str:
    """The reply as it was given, code and status in front; or our own words. On one line, text up to ``limit``."""
    said = safe_text(outcome.text, limit)
    if not outcome.code:
        return said
    # The status of an expired one is ours, and so is X.0.0. Replies often begin with theirs; it is not said twice.
    status = outcome.status
    is_ours = outcome.kind == EXPIRED or status.endswith(".0.0") or not _STATUS.fullmatch(status)
    return f"{outcome.code} {said}" if is_ours or said.startswith(status) else f"{outcome.code} {status} {said}"


def safe_text(text: str, limit: int) -> str:
    """``text`` on one line without control characters, at most ``limit`` characters."""
    line = _CONTROL.sub(" ", text).strip() or "(nothing was said)"
    return line if len(line) <= limit else line[: limit - 1] + "…"


def safe_address(address: bytes) -> str:
    """``address`` without anything that could end a field."""
    return _CONTROL.sub("?", address.decode("utf-8", "replace"))


def _printable(text: str, *, utf8: bool) -> str:
    return text if utf8 or text.isascii() else text.replace("…", "...").encode("ascii", "backslashreplace").decode()


def fold(line: str) -> str:
    """``line`` folded at spaces where it is longer than 76 characters, and anywhere where a word is above 240."""
    if len(line) <= _FOLD_AT:
        return line
    words: list[str] = []
    for word in line.split(" "):
        # A word of 240 characters is below the limit of 998 octets in any encoding.
        words.extend(word[at : at + 240] for at in range(0, max(1, len(word)), 240))
    folded, length = [words[0]], len(words[0])
    for word in words[1:]:
        if length + 1 + len(word) > _FOLD_AT and word:
            folded.append("\r\n " + word)
            length = 1 + len(word)
        else:
            folded.append(" " + word)
            length += 1 + len(word)
    return "".join(folded)


def date(microseconds: int) -> str:
    """A date as in RFC 5322 3.3, UTC."""
    return dates.written(datetime.fromtimestamp(microseconds // 1_000_000, tz=UTC))
