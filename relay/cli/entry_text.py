"""Queue entries as text for people. What peers sent is made safe to print: it must not steer a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from relay.control.vocabulary import QueueEntry

_SHOWN_RECIPIENTS: Final = 3
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))

WAITS: Final = {
    "release": "held until an operator releases it (relay queue release)",
    "copy": "being handed to another process",
    "reply": "being delivered now",
    "connection": "connecting to its next hop, or waiting for its greeting",
    "dns": "its mail servers are being looked up in DNS",
    "next hop": "its next hop is away; it goes with the next try there",
    "retry": "it is tried again",
    "start": "Relay does not run",
    "turn": "others for the same next hop are before it",
}
"""What an entry waits for (relay/queue/waiting.py)."""
_TIMES: Final = ("received_at", "due_at")
"""Microseconds since the epoch."""


def summary(entry: QueueEntry, now: float) -> str:
    """One line, and one more for the reason when there is one. ``now`` in seconds since the epoch."""
    recipients = [printable(recipient) for recipient in entry.recipients]
    more = len(recipients) - _SHOWN_RECIPIENTS
    named = ", ".join(recipients[:_SHOWN_RECIPIENTS]) + (f" and {more} more" if more > 0 else "")
    addresses = f"<{printable(entry.reverse_path)}> to {named}" if named else "(its envelope cannot be read)"
    line = (
        f"{entry.queue_id}  {entry.state:<8}  {show_size(entry.size):>8}  "
        f"{show_age(now - entry.received_at / 1e6):>4}  {addresses}"
    )
    return f"{line}\n{'':15}{reason}" if (reason := _reason(entry, now)) else line


def details(entry: QueueEntry, now: float) -> str:
    """Everything about an entry, a fact a line."""
    facts = [
        ("queue id", entry.queue_id),
        ("state", entry.state),
        ("received", f"{show_moment(entry.received_at)} ({show_age(now - entry.received_at / 1e6)} ago)"),
        ("size", f"{entry.size} octets" if entry.recipients else ""),
        ("reverse-path", f"<{printable(entry.reverse_path)}>" if entry.recipients else ""),
        *(("recipient", printable(recipient)) for recipient in entry.recipients),
        ("waits for", WAITS.get(entry.waits_for, "")),
        ("attempts", str(entry.attempts)),
        ("next try", show_moment(entry.due_at) if entry.due_at else ""),
        ("next hop", printable(entry.next_hop)),
        ("last result", _result(entry)),
    ]
    return "\n".join(f"{name:<13} {value}" for name, value in facts if value) + "\n"


def printable(text: str) -> str:
    """``text`` with everything that is not a printable character written as an escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def as_json(entry: QueueEntry) -> dict[str, Any]:
    """``entry`` for programs: times in RFC 3339, in UTC; without those that are not known."""
    known = {name: value for name, value in entry._asdict().items() if name not in _TIMES or value}
    return {name: rfc3339(value) if name in _TIMES else value for name, value in known.items()}


def rfc3339(microseconds: int) -> str:
    """A time in microseconds since the epoch as programs read it, in UTC with milliseconds (RFC 3339 5.6)."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds // 1000 % 1000:03}Z"


def show_age(seconds: float) -> str:
    """``seconds`` in its largest unit: ``3h``."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "0s"


def show_size(octets: int) -> str:
    """``octets`` in its largest unit with one digit behind the point."""
    for size, unit in _SIZES:
        if octets >= size:
            return f"{octets / size:.1f}{unit}"
    return f"{octets}B"


def _reason(entry: QueueEntry, now: float) -> str:
    parts = [_result(entry) or WAITS.get(entry.waits_for, "")]
    if entry.attempts:
        parts.append(f"{entry.attempts} {'attempt' if entry.attempts == 1 else 'attempts'}")
    if entry.due_at and entry.state != "active":
        wait = entry.due_at / 1e6 - now
        parts.append(f"next in {show_age(wait)}" if wait > 0 else "next now")
    return "; ".join(part for part in parts if part)


def _result(entry: QueueEntry) -> str:
    # X.0.0 stands for a status that a peer did not give; where it did, the text has it.
    status = "" if entry.code and entry.status.endswith(".0.0") else entry.status
    return printable(" ".join(str(each) for each in (entry.code, status, entry.text) if each))


def show_moment(microseconds: int) -> str:
    """A time in microseconds since the epoch as people read it."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
