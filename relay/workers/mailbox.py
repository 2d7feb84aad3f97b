"""A mailbox worker: people's sessions at their mailboxes, IMAP, POP3 and ManageSieve, on the slot's sockets.

It wires protocols, accounts and the store together and decides nothing. The transport and the limits are the same for
all protocols (relay/net/dialogue.py, relay/net/gate.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from relay import imap, pop3
from relay.auth import AccountFile, Authenticator
from relay.config.model import Config
from relay.net.dialogue import Listening
from relay.net.gate import TICK_SECONDS, Gate
from relay.net.machine import Machine
from relay.workers import managesieve, parts
from relay.workers.process import Worker, WorkerContext, run_worker
from relay.workers.tls import make_tls

Make = Callable[[Listening, str], Machine]
"""Makes the machine for a connection of a listener and the client's address."""

PROTOCOLS: Final[Mapping[str, Callable[[Config], Make]]] = {
    "imap": lambda config: lambda listening, _client: imap.Session(config, offers_tls=offers_starttls(listening)),
    "pop3": lambda config: lambda listening, _client: pop3.Session(config, offers_tls=offers_starttls(listening)),
}


async def main(worker: Worker) -> None:
    """Runs until drained; the skeleton is in process.py."""
    config = worker.config
    sink = parts.make_sink(worker)
    gate = Gate(config, log=sink, row=worker.context.row, slot=worker.context.slot)
    worker.repeat(TICK_SECONDS, gate.turn)
    tls = make_tls(worker, sink) if any(each.tls != "none" for each in config.reader_listeners) else None
    authenticator = Authenticator(AccountFile(config.accounts_path), config.auth, sink, worker.context.row)
    machines = {protocol: make(config) for protocol, make in PROTOCOLS.items()}
    machines["managesieve"] = managesieve.maker(config, authenticator)
    for listener in config.reader_listeners:
        listening = Listening(
            gate,
            listener.name,
            listener.kind,
            machines[listener.kind],
            tls=None if listener.tls == "none" else tls,
            is_implicit=listener.tls == "implicit",
        )
        await worker.listen(listener.name, listening.factory)
    worker.ready()
    await worker.draining.wait()
    try:
        empty = asyncio.Event()
        gate.drain(empty.set)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(empty.wait(), worker.seconds_left())
    finally:
        gate.abort()
        await authenticator.close()
        await sink.close()


def offers_starttls(listening: Listening) -> bool:
    """Whether TLS can begin inside a session."""
    return listening.tls is not None and not listening.is_implicit


def run(context: WorkerContext) -> int:
    """The process's exit code."""
    return run_worker(context, main)
