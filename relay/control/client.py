"""Asking an appliance: the running one by its workers' sockets, a stopped one from disk (registry.py).

Blocking: for the command line, and for a thread of whoever has a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from relay.config import Config
from relay.control.output import OutputClosedError
from relay.control.registry import Command, End, Part, Request
from relay.control.wire import from_table, to_table
from relay.mail.queue_id import is_queue_id
from relay.net.frames import FrameClient, FrameError

TIMEOUT_SECONDS: Final = 10.0
"""Silence of a worker that is not waited for any longer."""


class UnreachableError(Exception):
    """No worker can be asked, and the appliance runs or the command needs it to; the text says why."""

    def __init__(self, text: str, *, is_running: bool) -> None:
        super().__init__(text)
        self.is_running = is_running


class UnreadableError(Exception):
    """A stopped appliance cannot be read; the text says why."""


class Reply(NamedTuple):
    """What came of a command."""

    parts: int
    """Of the answer, from all workers."""
    problems: tuple[str, ...]
    """Workers that did not answer, or refused; each with the reason, sorted."""


class _RefusedError(Exception):
    """A worker answered that it cannot; the text is its own."""


def look(
    config: Config,
    command: Command[Request, Part],
    requests: Iterable[Request],
    on_part: Callable[[Part], None],
    on_stopped: Callable[[], None] = lambda: None,
) -> Reply:
    """Gives ``on_part`` what a running appliance, or else the disk of a stopped one, answers to each request.

    ``on_stopped`` is called before the disk is read. Raises UnreachableError, UnreadableError, and OutputClosedError
    when ``on_part`` finds nobody who reads.
    """
    requests = list(requests)
    try:
        return ask(config, command, requests, on_part)
    except UnreachableError as fault:
        if fault.is_running or not command.reads_stopped:
            raise
    on_stopped()
    return _read_stopped(config, command, requests, on_part)


def ask(
    config: Config, command: Command[Request, Part], requests: Iterable[Request], on_part: Callable[[Part], None]
) -> Reply:
    """Sends each request to every worker that the command is for. Raises UnreachableError when none could be reached,
    and OutputClosedError."""
    count, problems = 0, set[str]()
    for request in requests:
        reached, failed = 0, []
        for path in command.sockets(config.run_dir):
            try:
                with FrameClient.connect(path, TIMEOUT_SECONDS) as client:
                    reached += 1
                    client.send(("command", command.name, to_table(request)))
                    count += _receive(client, command, on_part)
            except (OSError, EOFError, FrameError, ValueError, _RefusedError) as fault:
                failed.append(f"{path.stem}: {_reason(fault)}")
        if not reached:
            text = "; ".join(failed) or f"no worker listens in {config.run_dir}"
            raise UnreachableError(text, is_running=is_running(config.data_dir))
        problems.update(failed)
    return Reply(count, tuple(sorted(problems)))


def _receive(client: FrameClient, command: Command[Any, Part], on_part: Callable[[Part], None]) -> int:
    while True:
        match client.receive():
            case ("part", table):
                _give(on_part, from_table(command.part, table))
            case ("going",):
                pass
            case ("end", table):
                return from_table(End, table).parts
            case ("error", "unknown", str()):
                raise _RefusedError("it is of another version and does not know this command; reload or restart Relay")
            case ("error", str(), str(text)):
                raise _RefusedError(text)
            case other:
                raise FrameError(f"unexpected answer {str(other)[:80]}")


def _read_stopped(
    config: Config, command: Command[Request, Part], requests: Iterable[Request], on_part: Callable[[Part], None]
) -> Reply:
    from relay.control import stopped
    from relay.spool import MissingRecord, SpoolError

    count = 0
    try:
        for request in requests:
            for part in stopped.read(config, command, request):
                _give(on_part, part)
                count += 1
    except (OSError, SpoolError, MissingRecord) as fault:
        raise UnreadableError(f"{config.spool_dir} cannot be read: {fault}") from fault
    return Reply(count, ())


def _give(on_part: Callable[[Part], None], part: Part) -> None:
    """Calls ``on_part``. OutputClosedError when nobody reads what it prints: a broken pipe of ours is no fault of the
    worker, or of the disk."""
    try:
        on_part(part)
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


def _reason(fault: Exception) -> str:
    if isinstance(fault, PermissionError):
        return "permission denied; ask as root or as the account that it runs as"
    if isinstance(fault, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    if isinstance(fault, EOFError):
        return "it ended before its answer did"
    return getattr(fault, "strerror", None) or str(fault)
