"""How a command ends: with a tagged response, or with the session (RFC 9051 7.1)."""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from relay.mailbox.vocabulary import Refusal, Refused
from relay.net.stopping import JobStopped


class Bad(Exception):  # noqa: N818 - it is an answer
    """The command cannot be understood, or not now: BAD. The text is for the peer."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text: Final = text
        self.code: Final = code
        """A response code without its brackets, or nothing."""


class No(Exception):  # noqa: N818 - see above
    """The command was understood and is not carried out: NO."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text: Final = text
        self.code: Final = code


class Done(NamedTuple):
    """A tagged response."""

    text: str = ""
    """Empty: ``<command> done``."""
    code: str = ""
    """A response code without its brackets."""
    kind: str = "OK"


class Bye(NamedTuple):
    """The session ends; ``is_wanted`` by the client (LOGOUT)."""

    text: str
    is_wanted: bool = False


_CODES: Final = {
    Refusal.CORRUPT: "CORRUPTION",
    Refusal.READ_ONLY: "READ-ONLY",
}


STOPPED: Final = Done("This takes longer than it may, and was stopped", "LIMIT", "NO")
"""What was asked for is more work than one command may cause (RFC 5530 3: LIMIT)."""


def ending(fault: Exception) -> Done:
    """What the client is told of ``fault``; raises it again when it is a fault of ours."""
    match fault:
        case Bad():
            return Done(fault.text, fault.code, "BAD")
        case No():
            return Done(fault.text, fault.code, "NO")
        case Refused():
            return Done(fault.text, _CODES.get(fault.why, fault.why.value), "NO")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Done("There is no room for this on the disk now", "UNAVAILABLE", "NO")
        case JobStopped():
            return STOPPED
        case OSError():
            return Done("The mailbox cannot be read or written now", "UNAVAILABLE", "NO")
    raise fault


def with_code(text: str, code: str) -> bytes:
    """``[CODE] Text``."""
    text = text[:1].upper() + text[1:]
    return (f"[{code}] {text}" if code else text).encode()
