"""A command that is being carried out: its answer is made piece by piece, then what changed meanwhile is told.

Theory: a command is a generator of octets (commands.py) that returns how it ends. ``step`` runs it until a piece is
full, so a long FETCH holds one piece however large the mailbox is; or until a second has passed, so that a search of a
large mailbox, or a FETCH that says little and reads much, can be given up, and tells how far it has come (progress.py).

``step`` may block, and is called in jobs only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from relay.imap.commands import Command, Running
from relay.imap.completion import Bye, Done, ending
from relay.imap.state import State

PIECE: Final = 262_144
"""Octets of an answer that are made in one go."""
TURN_SECONDS: Final = 1.0
_FOR_NEWS: Final = frozenset({"NOOP", "CHECK"})
"""Commands that do nothing but tell what changed."""


class Made(NamedTuple):
    """What a step brings."""

    octets: bytes
    how: Done | Bye | None
    """How the command ends; None: there is more to come."""


class Execution:
    """One command's."""

    def __init__(self, state: State, command: Command, running: Running) -> None:
        self._state: Final = state
        self._command: Final = command
        self._running: Final = running

    def step(self) -> Made:
        """Makes the next piece. Raises what is a fault of ours."""
        pieces: list[bytes] = []
        size, ends_at = 0, self._state.now() + TURN_SECONDS
        how: Done | Bye
        try:
            while size < PIECE:
                piece = next(self._running)
                pieces.append(piece)
                size += len(piece)
                if self._state.now() >= ends_at:
                    break
            return Made(b"".join(pieces), None)
        except StopIteration as end:
            how = end.value or Done()
        except Exception as fault:  # noqa: BLE001 - ending() knows what is an answer, and raises again what is not
            how = ending(fault)
        try:
            pieces += self._state.updates(may_vanish=self._command.may_vanish, with_uid=self._command.has_uid)
        except OSError as fault:
            # What the command did is done; a NO would say that it is not. Who asks for news is told.
            if self._command.name in _FOR_NEWS:
                how = lost(self._state, fault)
        except Exception as fault:  # noqa: BLE001 - see above
            how = lost(self._state, fault)
        return Made(b"".join(pieces), how)

    def close(self) -> None:
        """Gives back what the command holds."""
        self._running.close()


def lost(state: State, fault: Exception) -> Done | Bye:
    """How it ends when the open mailbox cannot be looked at any more because of ``fault``."""
    how = ending(fault)
    if how.code == "NONEXISTENT":
        state.close_view()
        return Bye("The mailbox was deleted")
    return how
