"""What a script may ask about the world, given by whoever runs it; all of it without waiting for anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay.sieve.tree import Script


def _nothing(*_: object) -> None:
    return None


def _no(*_: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Environment:
    """For one run."""

    now: datetime
    """With the local time zone (RFC 5260 4.3)."""
    reverse_path: str = ""
    """Empty for the null reverse-path."""
    recipient: str = ""
    """The address that mail was sent to, sub-address and all."""
    delimiter: str = "+"
    """What begins a sub-address (RFC 5233); empty: there are none."""
    mailbox_exists: Callable[[str], bool] = _no
    special_use: Callable[[str], str | None] = _nothing
    """The mailbox with a special use such as ``\\Junk`` (RFC 8579 2), None without."""
    was_seen: Callable[[str, int, bool], bool] = _no
    """Whether this key was tracked (RFC 7352); the time it is kept for, and whether this look renews it."""
    load: Callable[[str, str], Script | None] = _nothing
    """The script of a location (``personal`` or ``global``) and a name, for include (RFC 6609); None: there is none.
    ScriptError when it is broken."""
    trace: Callable[[int, str], None] | None = None
    """Told line and words of each step, for a person who asks why."""
