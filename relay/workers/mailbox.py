"""A mailbox worker: people's sessions at their mailboxes, IMAP, POP3 and ManageSieve, on the slot's sockets.

It wires protocols, accounts and the store together and decides nothing. The transport and the limits are the same for
all protocols (relay/readers/dialogue.py, relay/readers/gate.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from relay import imap, pop3
from relay.auth import AccountFile, Authenticator, Client
from relay.config.model import Listener
from relay.mailbox import census, upkeep
from relay.mailbox.defaults import provide, read_defaults
from relay.mailbox.interfaces import Store
from relay.mailbox.limits import LimitTable
from relay.mailbox.maildir import folder_of
from relay.mailbox.store import Stores
from relay.mailbox.troubles import Troubles
from relay.mailbox.watch import FolderWatcher
from relay.readers.dialogue import Dialogue
from relay.readers.gate import TICK_SECONDS, Gate
from relay.readers.listening import Listening
from relay.readers.login_policy import LoginPolicy
from relay.readers.machine import Machine
from relay.telemetry.sink import LogSink
from relay.workers import managesieve
from relay.workers.log_sink import make_sink
from relay.workers.port_hints import directions
from relay.workers.process import Worker, WorkerContext, run_worker
from relay.workers.tls import make_tls

Make = Callable[[Listening, str, str], Machine]
"""Makes the machine for a connection of a listener, the client's address, and the session's id."""
WATCH_SECONDS: Final = 1.0
"""How often mailboxes are looked at that the kernel tells nothing of."""


class Rooms:
    """What all sessions of this process share: accounts, stores, the watcher of mailboxes."""

    def __init__(self, worker: Worker, authenticator: Authenticator, troubles: Troubles, log: LogSink) -> None:
        self.config: Final = worker.config
        self.poison: Final = imap.Poison(lambda fields: log.event("warning", "message not understood", **fields))
        self.authenticator: Final = authenticator
        self.watcher: Final = FolderWatcher()
        self.directions: Final = directions(worker.config.listeners)
        self._troubles: Final = troubles
        self._stores: Final = Stores(troubles=troubles)
        self._defaults: Final = read_defaults(worker.config.mailbox.defaults)
        self._log: Final = log
        self._limits: Final = LimitTable(worker.config.mailbox, worker.config.mailbox_limits)
        self._hidden: Final = hidden_capabilities(worker.config.readers.hidden_capabilities)
        if self.watcher.fileno() >= 0:
            worker.loop.add_reader(self.watcher.fileno(), self.watcher.dispatch)
        worker.repeat(WATCH_SECONDS, self.watcher.dispatch)

    def store(self, account: str) -> Store:
        """The mailboxes of an account. Blocks. OSError, which the log tells, when its folder cannot be used."""
        folder = folder_of(self.config.mail_dir, account.lower().encode())
        try:
            store = self._stores.of(folder, self._limits.of(folder))
        except OSError as fault:
            self._troubles.report(fault.filename or folder, fault)
            raise
        try:
            provide(store, self._defaults)
        except OSError as fault:
            self._log.event("warning", "first mailboxes not made", account=account, cause=str(fault.strerror or fault))
        return store

    def hidden(self, account: str) -> frozenset[str]:
        """The capabilities that the account is not told of."""
        return self._hidden.get(account.lower(), frozenset()) | self._hidden.get("*", frozenset())


def make_imap(rooms: Rooms, listener: Listener) -> Make:
    """Makes the sessions of an IMAP listener."""
    readers = rooms.config.readers

    def make(listening: Listening, client: str, session_id: str) -> Machine:
        policy = LoginPolicy(
            rooms.authenticator,
            Client(client, "imap", listening.name, session_id),
            offers_tls=offers_starttls(listening),
            allows_plaintext=listener.plaintext_login,
        )
        state = imap.State(rooms.config.hostname, readers.max_appended_size, time.time, rooms.hidden, rooms.directions)
        state.poisoned = rooms.poison
        return imap.Session(
            state,
            policy,
            rooms.store,
            rooms.watcher,
            login_timeout=readers.login_timeout,
            idle_timeout=readers.idle_timeout,
        )

    return make


def make_pop3(rooms: Rooms, listener: Listener) -> Make:
    """Makes the sessions of a POP3 listener."""
    config = rooms.config
    rules = pop3.Rules(
        config.hostname,
        rooms.directions,
        config.run_dir / "pop3" if config.readers.pop3_exclusive else None,
        config.readers.login_timeout,
        config.readers.idle_timeout,
    )

    def make(listening: Listening, client: str, session_id: str) -> Machine:
        policy = LoginPolicy(
            rooms.authenticator,
            Client(client, "pop3", listening.name, session_id),
            offers_tls=offers_starttls(listening),
            allows_plaintext=listener.plaintext_login,
        )
        return pop3.Session(rules, policy, rooms.store)

    return make


def make_managesieve(rooms: Rooms, listener: Listener) -> Make:
    """Makes the sessions of a ManageSieve listener."""
    return managesieve.maker(rooms.config, rooms.authenticator, listener)


PROTOCOLS: Final[Mapping[str, Callable[[Rooms, Listener], Make]]] = {
    "imap": make_imap,
    "pop3": make_pop3,
    "managesieve": make_managesieve,
}


async def main(worker: Worker) -> None:
    """Runs until drained; the skeleton is in process.py."""
    config = worker.config
    sink = make_sink(worker)
    gate = Gate(config, log=sink, row=worker.context.row, slot=worker.context.slot)
    worker.repeat(TICK_SECONDS, gate.turn)
    troubles = Troubles(sink.event)
    keeping = upkeep.Upkeep(config, sink, worker.context.row)
    counting = census.Census(config.mail_dir, LimitTable(config.mailbox, config.mailbox_limits), worker.context.row)
    if worker.context.slot == 0:
        worker.repeat(upkeep.EVERY_SECONDS, keeping.turn)
        worker.repeat(census.EVERY_SECONDS, counting.turn)
        worker.loop.call_later(census.FIRST_AFTER_SECONDS, counting.turn)
    tls = make_tls(worker, sink) if any(each.tls != "none" for each in config.reader_listeners) else None
    authenticator = Authenticator(AccountFile.of(config), config.auth, sink, worker.context.row)
    rooms = Rooms(worker, authenticator, troubles, sink)
    for listener in config.reader_listeners:
        listening = Listening(
            gate,
            listener.name,
            listener.kind,
            PROTOCOLS[listener.kind](rooms, listener),
            tls=None if tls is None or listener.tls == "none" else tls.of(listener.profile),
            is_implicit=listener.tls == "implicit",
        )
        await worker.listen(listener.name, partial(Dialogue, listening))
    worker.ready()

    def when_empty(call: Callable[[], None]) -> None:
        """After a reload; the new generation has the duties that are nobody's session."""
        keeping.stop()
        counting.stop()
        gate.when_empty(call)

    try:
        await worker.serve_out(when_empty, gate.drain)
    finally:
        keeping.stop()
        counting.stop()
        gate.abort()
        await authenticator.close()
        await sink.close()


def offers_starttls(listening: Listening) -> bool:
    """Whether TLS can begin inside a session."""
    return listening.tls is not None and not listening.is_implicit


def hidden_capabilities(lines: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """By account in lower case: the capabilities of ``account: NAME NAME``."""
    pairs = [line.rpartition(": ") for line in lines]
    return {account.strip().lower(): frozenset(names.upper().split()) for account, _, names in pairs}


def run(context: WorkerContext) -> int:
    """The process's exit code."""
    return run_worker(context, main)
