"""Mailboxes: logins, IMAP, POP3 and deliveries, Relay beside Dovecot on copies of the same Maildirs.

Both are up for the whole run and work in turns. A rate is what one server's clients got done in a second; the client
(benchmarks/peer.py) shares the machine, and what it costs stands beside it. Every answer is checked: how many messages
it tells of, how many octets it has, how many messages are in the mailbox afterwards. Caches and indexes are warm, but
for what a work adds itself.

Deliveries go to Dovecot over LMTP, and to Relay over SMTP: through its spool, its queue and its journal, because that
is its only way in. They count when they are in the mailboxes. Memory of idle sessions is taken first, with mailboxes
as they were given.

Not here: the works themselves (mailbox_works.py), the servers (benchmarks/servers/mailboxes.py, dovecot.py).
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from typing import Final, TypeVar

import uvloop

from benchmarks import maildirs
from benchmarks.comparison import describe, rotated
from benchmarks.peer import AnswerError, Peer
from benchmarks.results import Column, Measurement, Run
from benchmarks.scenarios.mailbox_works import Size, Work, idle, works
from benchmarks.scenarios.settings import Settings
from benchmarks.servers import READERS, Site
from benchmarks.servers.base import ServerError, free_port
from benchmarks.servers.mailboxes import ARCHIVIST, DOWNLOADER, MAIL, READER, MailboxServer, recipients

Result = TypeVar("Result")
MESSAGES: Final = 10_000
ARCHIVE: Final = 100_000
DISTINCT: Final = 500
"""Different messages among those of the archive."""
SESSIONS: Final = 2_000
COLUMNS: Final = (
    Column("per_second", "of them/s"),
    Column("each_ms", "ms each", 3),
    Column("octets_per_second", "MB/s", 1, 1e-6),
    Column("cpu_us", "CPU µs each", 1),
    Column("client_cpu_us", "client µs each", 1),
    Column("bytes_per_session", "octets a session"),
    Column("pss_bytes", "PSS MiB", 1, 1 / 1024 / 1024),
    Column("operations", "in a turn"),
)


def run(run: Run, settings: Settings) -> None:
    """Every wanted work by each server, in turns. ``size``: messages in the big mailbox, and a fifth of it sessions."""
    size = sizes(settings.size or MESSAGES)
    source = run.folder / "maildirs"
    size = size._replace(
        octets=maildirs.make(source / READER, size.messages),
        download_octets=maildirs.make(source / DOWNLOADER, size.download),
    )
    maildirs.make(source / ARCHIVIST, size.archive, DISTINCT)
    for local in recipients():
        maildirs.make(source / local, size.idle_messages)
    wanted = [work for work in works(size) if settings.wanted(work.name)]
    has_idle = settings.wanted(idle_name(size))
    with ExitStack() as stack:
        servers = started(run, stack, settings, source)
        shutil.rmtree(source)
        repetitions = settings.repetitions or 5
        run.expect(len(servers) * (len(wanted) * (repetitions + 1) + has_idle))
        if has_idle:
            for server in servers:
                weigh(run, server, size)
        for work in wanted:
            measure(run, work, servers, repetitions, settings.seconds or 2.0)


def sizes(messages: int) -> Size:
    """What goes with so many messages in the big mailbox."""
    return Size(
        messages,
        archive=messages * ARCHIVE // MESSAGES,
        download=max(messages // 10, 1),
        idle_messages=max(messages // 20, 1),
        sessions=max(messages * SESSIONS // MESSAGES, 1),
    )


def idle_name(size: Size) -> str:
    return f"{size.sessions:,} idle IDLE sessions"


def started(run: Run, stack: ExitStack, settings: Settings, source: object) -> list[MailboxServer]:
    """The servers that are here, each on its own copy."""
    servers: list[MailboxServer] = []
    for name, kind in READERS.items():
        if name not in settings.servers:
            continue
        run.doing(f"{name} starts")
        if why := kind.missing():
            run.note(f"{name}: not measured, {why}")
            continue
        server = kind(Site(run.folder, free_port(), {}, settings={MAIL: source}))
        run.servers[name] = describe(server)
        try:
            stack.enter_context(server)
        except ServerError as fault:
            run.note(f"{name}: not measured, {fault}")
        else:
            servers.append(server)
    return servers


def measure(run: Run, work: Work, servers: Sequence[MailboxServer], repetitions: int, seconds: float) -> None:
    """One work by all of them, in turns; a server that does it wrong is left out, and a note says so."""
    rounds: dict[str, int] = {}
    for server in servers:
        run.doing(f"{work.name}, {server.name}, warming up")
        try:
            rounds[server.name] = calibrated(work, server, seconds)
        except (AnswerError, OSError) as fault:
            run.note(f"{work.name}, {server.name}: not measured, {fault}")
        run.step()
    able = [server for server in servers if server.name in rounds]
    for repetition in range(repetitions):
        for server in rotated(able, repetition):
            run.doing(f"{work.name}, {server.name}, {repetition + 1} of {repetitions}")
            try:
                values = once(work, server, rounds[server.name])
            except (AnswerError, OSError) as fault:
                run.note(f"{work.name}, {server.name}, repetition {repetition + 1}: {fault}")
            else:
                run.add(Measurement(work.name, server.name, repetition, values))
            run.step()


def calibrated(work: Work, server: MailboxServer, seconds: float) -> int:
    """Warms up; how many rounds the server does in ``seconds``."""
    rounds = 1
    once(work, server, rounds)  # fills caches
    while True:
        taken = once(work, server, rounds)["seconds"]
        if taken > seconds / 4:
            return max(1, round(rounds * seconds / taken))
        rounds = max(rounds + 1, min(rounds * 16, round(rounds * seconds / 2 / taken)))


def once(work: Work, server: MailboxServer, rounds: int) -> dict[str, float]:
    """One turn: its values."""
    return uvloop.run(ended(_once(work, server, rounds)))


async def ended(work: Awaitable[Result]) -> Result:
    """Its result; the connections that it left open are closed, also when it has failed."""
    try:
        return await work
    finally:
        Peer.close_all()


async def _once(work: Work, server: MailboxServer, rounds: int) -> dict[str, float]:
    async with work.opened(server) as peers:
        await asyncio.to_thread(server.group.settle)
        cpu, own, began = server.group.cpu_seconds(), time.process_time(), time.monotonic()
        done = await work.do(server, peers, rounds)
        seconds, own = time.monotonic() - began, time.process_time() - own
        await asyncio.to_thread(server.group.settle)
        cpu = server.group.cpu_seconds() - cpu
    values = {
        "operations": done.operations,
        "seconds": seconds,
        "per_second": done.operations / seconds,
        "each_ms": seconds / done.operations * 1e3,
        "cpu_us": cpu / done.operations * 1e6,
        "client_cpu_us": own / done.operations * 1e6,
    }
    if done.octets:
        values["octets_per_second"] = done.octets / seconds
    return values


def weigh(run: Run, server: MailboxServer, size: Size) -> None:
    """What a session costs that has selected INBOX and is idle: memory with all of them, less that with a few."""
    name = idle_name(size)
    run.doing(f"{name}, {server.name}")
    try:
        before, after = uvloop.run(ended(_weigh(server, size)))
    except (AnswerError, OSError) as fault:
        run.note(f"{name}, {server.name}: not measured, {fault}")
    else:
        each = (after - before) / size.sessions
        run.add(Measurement(name, server.name, 0, {"bytes_per_session": each, "pss_bytes": after}))
    run.step()


async def _weigh(server: MailboxServer, size: Size) -> tuple[int, int]:
    # The first sessions of all accounts make a server load what it loads once.
    async with idle(server, len(recipients())):
        pass
    await asyncio.to_thread(server.group.settle)
    before = sum(server.group.pss().values())
    async with idle(server, size.sessions):
        await asyncio.to_thread(server.group.settle)
        return before, sum(server.group.pss().values())
