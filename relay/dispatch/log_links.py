"""The links between those who write logs and the delivery workers who tail them.

Every process with a log connects to the socket of every delivery worker (``run/delivery-<shard>.sock``) and reports
how far its log is committed. The delivery worker reports what is not finished. Both are level-triggered: a lost message
is made good by the next one, and after a reconnect everything is sent again.

    owner  -> shard   ("upto", log, segment, end, closed)   the segment is committed up to ``end``
                      ("owner", log, is_adopted)            all of ``log`` has been sent once; reports for it come here
    shard  -> owner   ("report", log, shard, shards, generation, (segment, offset), ((segment, outstanding), ...))

Between delivery workers the same links carry the messages of remote.py.

Not here: reading logs (log_tails.py), what a report leads to (relay/spool).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from relay.net import unix
from relay.net.frames import FrameError, FrameProtocol, Message
from relay.telemetry.sink import LogSink

RECONNECT_SECONDS: Final = 0.05


class OwnedLog(Protocol):
    """A LogWriter or an AdoptedLog."""

    @property
    def number(self) -> int: ...

    def finished(
        self, shard: int, tail: tuple[int, int], outstanding: Mapping[int, int], *, shards: int, generation: int
    ) -> None: ...


def socket_path(run_dir: Path, shard: int) -> Path:
    """Where delivery worker ``shard`` listens for owners of logs and for ``relay queue``."""
    return run_dir / f"delivery-{shard}.sock"


class LogLinks:
    """The owner's side: one link to each shard, kept up for as long as the process lives."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run_dir: Path, shards: int, sink: LogSink) -> None:
        self._loop = loop
        self._sink = sink
        self._on_other: Callable[[int, Message], None] | None = None
        self._on_lost: Callable[[int], None] | None = None
        self._paths = [socket_path(run_dir, shard) for shard in range(shards)]
        self._links: list[FrameProtocol | None] = [None] * shards
        self._behind: set[int] = set()
        self._logs: dict[int, OwnedLog] = {}
        self._snapshot: Callable[[], list[tuple[int, int, bool]]] | None = None
        self._number = -1
        self._is_closed = False
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def open(
        self,
        writer: OwnedLog,
        snapshot: Callable[[], list[tuple[int, int, bool]]],
        *,
        on_other: Callable[[int, Message], None] | None = None,
        on_lost: Callable[[int], None] | None = None,
    ) -> None:
        """Begins to link up for ``writer``, whose committed state ``snapshot`` returns.

        ``on_other(shard, message)`` is called with what is not about logs, ``on_lost(shard)`` when a link has broken.
        """
        self._on_other = on_other
        self._on_lost = on_lost
        self._number = writer.number
        self._logs[writer.number] = writer
        self._snapshot = snapshot
        for shard in range(len(self._paths)):
            self._connect(shard)

    def committed(self, segment: int, start: int, end: int, count: int, closed: bool) -> None:
        """LogWriter's ``on_committed``: sends it to every shard."""
        message = ("upto", self._number, segment, end, closed)
        for shard, link in enumerate(self._links):
            if link is None:
                continue
            if link.is_writable:
                link.send(message)
            else:  # it does not read: once it does, catch_up() sends how far the log is then
                self._behind.add(shard)

    def link(self, shard: int) -> FrameProtocol | None:
        """The link to ``shard``, or None while there is none."""
        return self._links[shard]

    def adopt(self, log: OwnedLog) -> None:
        """Takes the reports for a dead log, too."""
        self._logs[log.number] = log
        for link in self._links:
            if link is not None:
                link.send(("owner", log.number, True))

    def release(self, number: int) -> None:
        """``number`` is gone: reports for it are of no interest any more."""
        self._logs.pop(number, None)

    def catch_up(self) -> None:
        """Call it now and then: sends how far the log is to shards that did not read for a while."""
        for shard in list(self._behind):
            link = self._links[shard]
            if link is not None and link.is_writable:
                self._behind.discard(shard)
                self._send_state(link)

    def close(self) -> None:
        """Ends all links once what was sent is written."""
        self._is_closed = True
        for timer in self._timers.values():
            timer.cancel()
        for link in self._links:
            if link is not None:
                link.close()

    def _connect(self, shard: int) -> None:
        self._timers.pop(shard, None)
        if self._is_closed:
            return
        try:
            connection = unix.connected(self._paths[shard])
        except OSError:
            self._timers[shard] = self._loop.call_later(RECONNECT_SECONDS, self._connect, shard)
            return
        task = self._loop.create_task(self._link(shard, connection))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _link(self, shard: int, connection: socket.socket) -> None:
        def closed(_: FrameProtocol, fault: Exception | None) -> None:
            self._links[shard] = None
            report_fault(self._sink, fault)
            self._behind.discard(shard)
            if self._on_lost is not None:
                self._on_lost(shard)
            if not self._is_closed:
                self._timers[shard] = self._loop.call_later(RECONNECT_SECONDS, self._connect, shard)

        _, link = await self._loop.create_unix_connection(
            lambda: FrameProtocol(partial(self._received, shard), closed), sock=connection
        )
        self._links[shard] = link
        self._send_state(link)
        for number in self._logs:
            link.send(("owner", number, number != self._number))

    def _send_state(self, link: FrameProtocol) -> None:
        assert self._snapshot is not None
        for segment, end, closed in self._snapshot():
            link.send(("upto", self._number, segment, end, closed))

    def _received(self, shard: int, link: FrameProtocol, message: Message) -> None:
        match message:
            case (
                "report",
                int() as number,
                int() as reporter,
                int() as shards,
                int() as generation,
                tail,
                outstanding,
            ):
                log = self._logs.get(number)
                if log is not None:
                    log.finished(reporter, tail, dict(outstanding), shards=shards, generation=generation)
            case _ if self._on_other is not None:
                self._on_other(shard, message)
            case _:
                raise FrameError(f"unknown message {message[:1]!r}")


def report_fault(sink: LogSink, fault: Exception | None) -> None:
    """Logs why a link broke, unless it was the other process's death: of that the supervisor knows more."""
    if fault is not None and not isinstance(fault, ConnectionError):
        sink.event("error", "link broken", cause=f"{type(fault).__name__}: {fault}")
