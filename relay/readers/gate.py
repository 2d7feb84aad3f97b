"""Who is connected to a worker that serves readers (IMAP, POP3): limits, deadlines, ids, what is counted.

Theory: one gate serves all listeners of a process. It lets a connection in or says why not; it turns the one timing
wheel; when the worker drains it ends every session, and then calls whoever waits when the last one has gone. Jobs of
the sessions run in its threads, in fair turns among accounts.

Not here: a connection (dialogue.py), what of a protocol is counted (meter.py), the protocols (relay/imap, relay/pop3).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from relay.config.model import Config
from relay.mail.queue_id import QueueIds
from relay.net.threads import Meter, Threads
from relay.net.wheel import TimingWheel
from relay.readers.machine import Report
from relay.telemetry import lines, metrics
from relay.telemetry.sink import LogSink

TICK_SECONDS: Final = 0.5


class Session(Protocol):
    """What the gate asks of a connection (dialogue.py)."""

    def expired(self) -> None:
        """Its deadline has come."""

    def farewell(self, cause: str) -> None:
        """It ends between two commands, because of ``cause``."""

    def abort(self, cause: str) -> None:
        """It ends at once."""


class Gate:
    """Shared by all sessions of a worker. Belongs to the loop's thread."""

    def __init__(self, config: Config, *, log: LogSink, row: memoryview[int], slot: int) -> None:
        readers = config.readers
        self.log: Final = log
        self.row: Final = row
        self.handshake_timeout: Final = config.tls.handshake_timeout
        self.job_timeout: Final = readers.job_timeout
        self.threads: Final = Threads(
            asyncio.get_running_loop(),
            readers.threads,
            share=readers.threads_per_account,
            name="store",
            meter=Meter(row),
            on_lost=self._lost,
        )
        self.wheel: Final[TimingWheel] = TimingWheel(TICK_SECONDS, 4096, time.monotonic())
        self.is_draining = False
        self._most: Final = -(-readers.max_connections // config.workers.mailbox)
        self._most_of_client: Final = readers.max_connections_per_client
        self._sessions: set[Session] = set()
        self._clients: dict[str | int, int] = {}
        self._ids: Final = QueueIds(slot)
        self._on_empty: Callable[[], None] | None = None
        self._refused: Final = {
            reason: metrics.index("relay_reader_connections_refused_total", reason)
            for reason in metrics.READER_REFUSALS
        }
        self._closed: Final = {
            cause: metrics.index("relay_reader_sessions_closed_total", cause) for cause in metrics.READER_CLOSED
        }
        self._mixups: Final = {
            protocol: metrics.index("relay_reader_mixups_total", protocol) for protocol in metrics.READER_MIXUPS
        }

    @property
    def open_sessions(self) -> int:
        """How many connections there are, refused ones that have not gone yet included."""
        return len(self._sessions)

    def session_id(self) -> str:
        """A new one."""
        return self._ids.next(time.time_ns() // 1000)

    def enter(self, session: Session, client: str | int) -> str:
        """Counts a connection in; why it must be refused (one of ``READER_REFUSALS``), or nothing."""
        of_client = self._clients.get(client, 0) + 1
        self._sessions.add(session)
        self._clients[client] = of_client
        reason = ""
        if self.is_draining:
            reason = "draining"
        elif len(self._sessions) > self._most:
            reason = "limit"
        elif of_client > self._most_of_client:
            reason = "client_limit"
        if reason:
            self.row[self._refused[reason]] += 1
        return reason

    def leave(self, session: Session, client: str | int, cause: str) -> None:
        """Counts a connection out; once for each that entered."""
        self._sessions.discard(session)
        left = self._clients.get(client, 1) - 1
        if left:
            self._clients[client] = left
        else:
            self._clients.pop(client, None)
        self.row[self._closed.get(cause, self._closed["internal"])] += 1
        self._tell_when_empty()

    def write_line(
        self,
        who: tuple[str, str, str, str, int, str | None],
        report: Report,
        cause: str,
        read: int,
        written: int,
        microseconds: int,
    ) -> None:
        """The line in the log of a session that is over. ``who``: its id, protocol, listener, client, port, and TLS."""
        values = (
            *who, report.account or None, cause, report.commands, report.errors or None, report.fetched or None,
            report.added or None, report.removed or None, read, written, microseconds,
        )  # fmt: skip
        self.log.append(lines.SESSION.build(time.time_ns() // 1000, values))

    def mixed_up(self, protocol: str) -> None:
        """A peer spoke ``protocol`` (one of ``READER_MIXUPS``) to a port of ours that speaks another."""
        self.row[self._mixups[protocol]] += 1

    def turn(self) -> None:
        """Lets deadlines come due; once per ``TICK_SECONDS``."""
        now = time.monotonic()
        for session in self.wheel.expire(now):
            session.expired()
        self.threads.turn(now)

    def when_empty(self, on_empty: Callable[[], None]) -> None:
        """Calls ``on_empty`` once, when no session is left; those that are there go on."""
        self._on_empty = on_empty
        self._tell_when_empty()

    def drain(self, on_empty: Callable[[], None]) -> None:
        """Every session says goodbye between two commands; ``on_empty`` is called when the last has gone."""
        self.is_draining = True
        self._on_empty = on_empty
        for session in list(self._sessions):
            session.farewell("drained")
        self._tell_when_empty()

    def abort(self) -> None:
        """Cuts off who is still there, and gives up the threads: one that hangs on a disk is not waited for."""
        for session in list(self._sessions):
            session.abort("drained")
        self.threads.close()

    def _lost(self, key: Hashable, seconds: float) -> None:
        self.log.event("error", "store thread lost", account_or_client=str(key), seconds=round(seconds, 1))

    def _tell_when_empty(self) -> None:
        if self._on_empty is not None and not self._sessions:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()
