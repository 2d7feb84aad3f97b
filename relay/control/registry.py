"""The commands on an appliance, each declared once: what the command line offers, and what the HTTP API will.

A command is asked of workers over their Unix sockets, one request a connection:

    asker   ("command", name, {request})
    worker  ("part", {...}) for each part of the answer, and ("going",) while it looks for the next one;
            then ("end", {"parts": how many}), or ("error", kind, text)

Kinds of error: ``unknown`` (no such command: the worker is of another version), ``request`` (it is not understood),
``failed``. Every worker that a command is for is asked in turn; the parts come one worker after another, each worker's
in its own order, and the counts are added.

Not here: asking (client.py), answering (server.py), what a command does (queue_control.py, stopped.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from relay.control.vocabulary import QueueEntry, Selection

Request = TypeVar("Request", bound=NamedTuple)
Part = TypeVar("Part", bound=NamedTuple)
ErrorKind = Literal["unknown", "request", "failed"]


@dataclass(frozen=True)
class Command(Generic[Request, Part]):
    """One command."""

    name: str
    request: type[Request]
    part: type[Part]
    """Of the answer."""
    changes: bool
    """It changes something, and is logged."""
    reads_stopped: bool = False
    """A stopped appliance answers it, too, from disk (stopped.py)."""
    role: str = "delivery"
    """All workers of this role are asked."""

    def sockets(self, run_dir: Path) -> list[Path]:
        """Where those listen that are asked, by slot; a worker that is gone may have left its socket."""
        return sorted(run_dir.glob(f"{self.role}-*.sock"), key=lambda path: (len(path.name), path.name))


class End(NamedTuple):
    """The end of an answer."""

    parts: int
    """That were sent."""


LIST: Final = Command("queue list", Selection, QueueEntry, changes=False, reads_stopped=True)
SHOW: Final = Command("queue show", Selection, QueueEntry, changes=False, reads_stopped=True)
RETRY: Final = Command("queue retry", Selection, QueueEntry, changes=True)
HOLD: Final = Command("queue hold", Selection, QueueEntry, changes=True)
RELEASE: Final = Command("queue release", Selection, QueueEntry, changes=True)
REMOVE: Final = Command("queue remove", Selection, QueueEntry, changes=True)

COMMANDS: Final[dict[str, Command[Any, Any]]] = {
    command.name: command for command in (LIST, SHOW, RETRY, HOLD, RELEASE, REMOVE)
}
