"""A worker's side of the commands: reads a request, has it carried out, sends what comes of it.

The loop turns between portions of an answer, so that a command over a million entries holds up no delivery; whoever
asks and does not read is waited for a while and then given up.

Not here: what a command does (queue_control.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple, Protocol

from relay.control.registry import COMMANDS, Command, End, ErrorKind
from relay.control.wire import WireError, from_table, to_table
from relay.net.frames import FrameError, FrameProtocol, Message

PATIENCE: Final = 60.0
"""Seconds that whoever asks may take to read more; a command line that was stopped with ^Z must not be waited for."""
GOING: Final = 2.0
"""Seconds without a part after which a frame says that the command goes on."""


class Performer(Protocol):
    """What carries commands out."""

    def perform(self, command: Command[Any, Any], request: Any) -> AsyncIterator[NamedTuple | None]:
        """The parts of the answer, in order; None lets the loop turn. Closed early when nobody reads them any more.
        Raises ValueError for a request that means nothing."""


class Events(Protocol):
    """Where events go (relay/telemetry/sink.py)."""

    def event(self, level: str, event: str, /, **fields: object) -> None: ...


async def answer(link: FrameProtocol, message: Message, performer: Performer, log: Events) -> None:
    """Answers one request, whatever it is; never raises for what a peer can cause."""
    try:
        command, request = read_request(message)
    except UnknownCommandError as fault:
        send_error(link, "unknown", str(fault))
        return
    except WireError as fault:
        send_error(link, "request", str(fault))
        return
    count = 0
    try:
        count = await _send_parts(link, performer.perform(command, request))
    except (ValueError, FrameError) as fault:
        send_error(link, "request" if isinstance(fault, ValueError) else "failed", str(fault))
        return
    except _NobodyReadsError as given_up:
        count = given_up.count
        link.close()
    if command.changes and count:
        meant = {name: value for name, value in to_table(request).items() if value}
        log.event("info", "queue command", operation=command.name.rpartition(" ")[2], entries=count, **meant)
    link.send(("end", to_table(End(count))))


class UnknownCommandError(Exception):
    """There is no such command here; the text is for people."""


class _NobodyReadsError(Exception):
    """Whoever asked has gone, or does not read, after ``count`` parts."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count


def read_request(message: Message) -> tuple[Command[Any, Any], Any]:
    """The command and its request. Raises UnknownCommandError and WireError."""
    match message:
        case ("command", str() as name, table):
            command = COMMANDS.get(name)
            if command is None:
                raise UnknownCommandError(f'this worker knows no command "{name[:40]}"')
            return command, from_table(command.request, table)
    raise WireError("a request is: command, its name, a table")


def send_error(link: FrameProtocol, kind: ErrorKind, text: str) -> None:
    """Ends an answer with what is wrong."""
    link.send(("error", kind, text))


async def _send_parts(link: FrameProtocol, parts: AsyncIterator[NamedTuple | None]) -> int:
    """Sends them all; how many there were. Raises _NobodyReadsError."""
    count, sent_at = 0, time.monotonic()
    try:
        async for part in parts:
            if part is not None:
                link.send(("part", to_table(part)))
                count += 1
                sent_at = time.monotonic()
            else:
                await asyncio.sleep(0)
                if time.monotonic() - sent_at > GOING:
                    link.send(("going",))
                    sent_at = time.monotonic()
            if not await _may_write(link):
                raise _NobodyReadsError(count)
    finally:
        close = getattr(parts, "aclose", None)
        if close is not None:
            await close()
    return count


async def _may_write(link: FrameProtocol) -> bool:
    """Waits until there is room for more; False when there is nobody any more, or nobody who reads."""
    until = time.monotonic() + PATIENCE
    while not link.is_writable and link.is_connected:  # a rare and short wait
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
    return link.is_connected
