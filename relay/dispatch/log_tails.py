"""The tails of all logs: every delivery worker reads every log and takes the recipients that are its own.

There is one way in. A log with a living owner is read as far as its owner reports it committed; a log whose owner is
gone is read to its end, and so is one that was adopted. Both go through the same ``Tail`` and the same ``take_in``, at
start as at any other time; what was done before a restart comes from the journals (arrivals.py).

Not here: reading segments (relay/spool), which recipients are ours (relay/queue/intake.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from relay.dispatch.damage import DamageReport
from relay.dispatch.log_links import report_fault, socket_path
from relay.dispatch.shard import Shard
from relay.net import unix
from relay.net.frames import FrameProtocol, Message
from relay.spool import Record, Tail, is_owned, list_logs

REPORT_SECONDS: Final = 0.2
RESCAN_SECONDS: Final = 1.0


class LogTails:
    """The logs as one delivery worker sees them, and the socket on which their owners report to it."""

    def __init__(
        self,
        shard: Shard,
        take_in: Callable[[list[Record]], None],
        *,
        on_other: Callable[[FrameProtocol, Message], None],
        on_link_closed: Callable[[FrameProtocol], None],
    ) -> None:
        """``take_in`` is called with the records of one log, in their order; ``on_other`` with what comes on the socket
        and is not about logs."""
        self._spool_dir = shard.config.spool_dir
        self._path = socket_path(shard.config.run_dir, shard.place.shard)
        self._place = shard.place
        self._sink = shard.sink
        self._ledger = shard.scheduler.ledger
        self._on_damage = DamageReport(shard.sink, shard.row)
        self._take_in = take_in
        self._on_other = on_other
        self._on_link_closed = on_link_closed
        self._tails: dict[int, Tail] = {}
        self._owners: dict[int, FrameProtocol] = {}
        self._links: set[FrameProtocol] = set()
        self._reported: dict[int, tuple[int, dict[int, int]]] = {}
        self._dirty: set[int] = set()
        self._read_whole: set[int] = set()
        self._reading: set[asyncio.Task[None]] = set()
        self._server: asyncio.AbstractServer | None = None
        self._unread: set[int] = set()

    async def open(self) -> None:
        """Reads what dead processes left and begins to listen for living ones."""
        self._unread = set(list_logs(self._spool_dir))
        loop = asyncio.get_running_loop()
        listener = unix.listening(self._path)
        self._server = await loop.create_unix_server(
            lambda: FrameProtocol(self._received, self._closed, self._links.add), sock=listener
        )
        self.rescan()

    @property
    def has_caught_up(self) -> bool:
        """Whether every log that was there at ``open`` has been read as far as it goes."""
        return not self._unread

    def tails(self) -> dict[int, int]:
        """By log, the segment that is being read."""
        return {log: tail.position[0] for log, tail in self._tails.items()}

    def close(self) -> None:
        """Stops listening; tails are closed."""
        if self._server is not None:
            self._server.close()
        for task in self._reading:
            task.cancel()
        for link in list(self._links):
            link.close()
        for tail in self._tails.values():
            tail.close()

    def rescan(self) -> None:
        """Looks for logs whose owner is gone and that were not read to their end; call it about once a second."""
        there = list_logs(self._spool_dir)
        for log in there:
            if log not in self._owners and log not in self._read_whole and not is_owned(self._spool_dir, log):
                self._read_to_end(log)
        for log in set(self._tails) - set(there):
            self._tails.pop(log).close()
            self._read_whole.discard(log)
            self._owners.pop(log, None)
            self._reported.pop(log, None)
        self._unread &= set(there)

    def report(self) -> None:
        """Reports to owners what changed since the last report; call it every REPORT_SECONDS."""
        dirty = (self._dirty | self._ledger.changed_logs()) & self._owners.keys()
        self._dirty.clear()
        for log in dirty:
            tail, owner = self._tails.get(log), self._owners[log]
            if tail is None:
                continue
            if not owner.is_writable:
                self._dirty.add(log)
                continue
            segment, offset = tail.position
            outstanding = self._ledger.outstanding(log)
            older = {number: count for number, count in outstanding.items() if number < segment}
            if self._reported.get(log) == (segment, older):
                continue
            self._reported[log] = (segment, older)
            counts = tuple(outstanding.items())
            owner.send(("report", log, *self._place, (segment, offset), counts))

    # ---- what owners report -----------------------------------------------------------------------------------------

    def _received(self, link: FrameProtocol, message: Message) -> None:
        match message:
            case ("upto", int() as log, int() as segment, int() as end, bool() as closed):
                self._advance(log, segment, end, closed)
            case ("owner", int() as log, bool() as is_adopted):
                self._owners[log] = link
                self._reported.pop(log, None)
                self._dirty.add(log)
                if not is_adopted:
                    self._unread.discard(log)
                elif log not in self._read_whole:
                    self._read_to_end(log)
            case _:
                self._on_other(link, message)

    def _closed(self, link: FrameProtocol, fault: Exception | None) -> None:
        self._links.discard(link)
        report_fault(self._sink, fault)
        for log in [log for log, owner in self._owners.items() if owner is link]:
            del self._owners[log]
        self._on_link_closed(link)

    def _advance(self, log: int, segment: int, end: int, closed: bool) -> None:
        tail = self._tail(log)
        records = tail.advance(segment, end, closed)
        if closed:
            self._dirty.add(log)
        if records:
            self._take_in(records)

    def _tail(self, log: int) -> Tail:
        tail = self._tails.get(log)
        if tail is None:
            tail = self._tails[log] = Tail(self._spool_dir, log, self._on_damage)
        return tail

    def _read_to_end(self, log: int) -> None:
        self._read_whole.add(log)
        task = asyncio.ensure_future(self._read_rest(log))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read_rest(self, log: int) -> None:
        """In portions, so that the loop turns between them."""
        try:
            for records in self._tail(log).rest():
                if records:
                    self._take_in(records)
                await asyncio.sleep(0)
        except OSError as fault:
            self._sink.event("error", "log not read", log=log, cause=str(fault))
            self._read_whole.discard(log)
            return
        self._unread.discard(log)
        self._dirty.add(log)
