"""Asking the delivery workers about their queues, and reading the queue of a stopped appliance.

Each delivery worker listens on ``run/delivery-<shard>.sock``. One request a connection:

    we      ("queue", operation, {"id": ..., "domain": ..., "older_than": seconds})   keys that are left out match all
    worker  ("entry", {...}) for each entry, then ("end", {"count": entries}), or ("error", text)

An entry is a table (``describe`` in relay/control/queue_control.py). Operations: list, show, retry, hold, release,
remove.

Not here: what the operations do (relay/workers), how entries are printed (relay/cli/queue.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay.config import Config
from relay.control.output import OutputClosedError
from relay.mail.queue_id import is_queue_id
from relay.net.frames import FrameClient, FrameError

Entry = dict[str, Any]
TIMEOUT_SECONDS: Final = 10.0


class QueueUnreachableError(Exception):
    """No delivery worker can be asked; the text says why."""


@dataclass(frozen=True)
class Selection:
    """Which entries are meant; what is left empty matches all."""

    queue_id: str = ""
    domain: str = ""
    older_than: float = 0.0
    """Seconds since the message was received."""

    def as_request(self) -> dict[str, str | float]:
        """The part of the frame that says which entries are meant."""
        keys: dict[str, str | float] = {"id": self.queue_id, "domain": self.domain, "older_than": self.older_than}
        return {key: value for key, value in keys.items() if value}

    def matches(self, entry: Entry, now: float) -> bool:
        """Whether ``entry`` is meant at ``now`` (seconds since the epoch)."""
        if self.queue_id and entry["queue_id"] != self.queue_id:
            return False
        if self.domain and not any(_domain_of(recipient) == self.domain for recipient in entry["recipients"]):
            return False
        return bool(entry["received_at"] / 1e6 <= now - self.older_than)


@dataclass(frozen=True)
class Reply:
    """What came of one request to all workers."""

    count: int
    problems: tuple[str, ...]
    """Workers that did not answer, or refused."""


def ask(config: Config, operation: str, selection: Selection, on_entry: Callable[[Entry], None]) -> Reply:
    """Sends the request to every delivery worker; entries go to ``on_entry`` as they come. Raises
    QueueUnreachableError when no worker could be reached."""
    count, problems, reached = 0, [], 0
    for path in sorted(config.run_dir.glob("delivery-*.sock")):
        try:
            with FrameClient.connect(path, TIMEOUT_SECONDS) as client:
                reached += 1
                client.send(("queue", operation, selection.as_request()))
                count += _receive(client, on_entry)
        except (OSError, EOFError, FrameError, ValueError) as fault:
            problems.append(f"{path.stem}: {_reason(fault)}")
    if not reached:
        raise QueueUnreachableError("; ".join(problems) or f"no worker listens in {config.run_dir}")
    return Reply(count, tuple(problems))


def _receive(client: FrameClient, on_entry: Callable[[Entry], None]) -> int:
    while True:
        match client.receive():
            case ("entry", dict() as entry):
                give(on_entry, entry)
            case ("end", {"count": int(count)}):
                return count
            case ("error", str(text)):
                raise ValueError(text)
            case other:
                raise FrameError(f"unexpected answer {str(other)[:80]}")


def read_stopped(config: Config, selection: Selection) -> Iterator[Entry]:
    """The selected entries of an appliance that does not run, read from disk without changing anything."""
    from relay.control import offline

    now = time.time()
    return (_stopped(entry) for entry in offline.entries(config) if selection.matches(entry, now))


def _stopped(entry: Entry) -> Entry:
    """``entry`` of an appliance in which nothing goes on: what waits for something else than its time, or for an
    operator, waits for the start."""
    if entry["state"] in ("incoming", "active") or entry.get("waits_for") == "next hop":
        return entry | {"state": "incoming", "waits_for": "start"}
    return entry


def give(on_entry: Callable[[Entry], None], entry: Entry) -> None:
    """Calls ``on_entry``. OutputClosedError when nobody reads what it prints: a broken pipe of ours must not be told as
    a fault of the worker, or of the disk."""
    try:
        on_entry(entry)
    except BrokenPipeError as fault:
        raise OutputClosedError from fault


def is_running(data_dir: Path) -> bool:
    """Whether an appliance holds the data directory."""
    from relay.spool import folder

    return folder.is_running(data_dir)


def checked_queue_id(text: str) -> str:
    """``text`` as a queue id; ValueError when it has not the form of one."""
    queue_id = text.upper()
    if not is_queue_id(queue_id):
        raise ValueError(f'"{text}" is not a queue id')
    return queue_id


def _domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _reason(fault: Exception) -> str:
    if isinstance(fault, PermissionError):
        return "permission denied; ask as root or as the account that it runs as"
    if isinstance(fault, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    return getattr(fault, "strerror", None) or str(fault)
