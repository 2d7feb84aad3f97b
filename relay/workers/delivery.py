"""A delivery worker: owns the queue shards that hash to it, and delivers.

It wires intake, scheduler, connections and journal together and decides nothing. A worker of a new generation stands
by until its predecessor is gone (``worker.activated``); only then does it read the journals and the logs.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Final

from relay.auth import AccountError, AccountFile
from relay.control.queue_control import QueueControl
from relay.control.server import answer
from relay.delivery.chunking import Chunking
from relay.delivery.connect import Connector, ConnectSettings
from relay.directory.directory import Directory
from relay.dispatch.copying import Copier
from relay.dispatch.filtered import FilteredDelivery
from relay.dispatch.intake import REPORT_SECONDS, RESCAN_SECONDS, Intake
from relay.dispatch.journaling import Journaling
from relay.dispatch.links import LogLinks
from relay.dispatch.meters import DnsMeter, JournalMeter, QueueMeter
from relay.dispatch.notices import Notices
from relay.dispatch.outbound import Outbound
from relay.dispatch.remote import ForeignEntries, MxHosts, RemoteFeeds, RemoteGroup
from relay.dispatch.settle import Settler
from relay.mail.outcome import FAILED, Outcome, deferred
from relay.mda.hand import Hand
from relay.mda.local_runs import LocalRuns
from relay.net._poll import Poll
from relay.net.clock import now_us, rebase
from relay.net.dns import Resolver
from relay.net.frames import FrameError, FrameProtocol, Message
from relay.net.wheel import TimingWheel
from relay.queue.action import Action, Connect, Quit, Resolve, Settle, Wake
from relay.queue.group import Settings
from relay.queue.intake import Intake as QueueIntake
from relay.queue.ledger import CopyLimits, Ledger
from relay.queue.recovery import Recovery
from relay.queue.retry import RetryPolicy
from relay.queue.routing import Router, shard_of
from relay.queue.scheduler import Scheduler
from relay.spool import Damage, Journal, LogReader, Record, SpoolError, all_segments, load_journals
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from relay.workers.log_sink import make_sink
from relay.workers.process import StartError, Worker, WorkerContext, run_worker
from relay.workers.spool_log import SpoolMeter, open_log, private_folder

RESOLVED_SECONDS: Final = 300
"""How long a domain keeps the group that DNS gave it; the resolver's cache keeps to the TTLs."""
CATCH_UP_SECONDS: Final = 5.0
"""How long the first attempt waits for the owners of logs to say how far these go."""
NOTICE_SECONDS: Final = 5.0
"""How long DSNs that are being spooled may take when the worker ends."""
WAKEUP_SECONDS: Final = 10.0
"""The scheduler is asked at least so often while it has anything ahead."""
COMPACT_SECONDS: Final = 10.0
COPY_SECONDS: Final = 30.0
"""How often old segments are looked at, at least."""


async def main(worker: Worker) -> None:
    """Runs until drained; the skeleton is in process.py."""
    sink = make_sink(worker)
    private_folder(worker.config.run_dir)
    worker.ready()
    if await worker.activation():
        delivery = DeliveryWorker(worker, sink)
        try:
            await delivery.start()
            await worker.draining.wait()
        finally:
            await delivery.stop()
    await sink.close()


class DeliveryWorker:
    """The parts of one shard."""

    def __init__(self, worker: Worker, sink: LogSink) -> None:
        self._worker = worker
        self._config = config = worker.config
        self._sink = sink
        self._shard, self._shards = worker.context.slot, config.workers.delivery
        row = worker.context.row
        rebase()  # this process may be younger than what was loaded in it
        now = now_us()
        self._meter = SpoolMeter(row, config.spool, sink)
        self._journal_meter = JournalMeter(row)
        self._dns_meter = DnsMeter(row)
        ledger = Ledger(CopyLimits.from_config(config.spool))
        self._scheduler = Scheduler(Settings.from_config(config), RetryPolicy(config.queue), now, ledger)
        self._links = LogLinks(
            worker.loop, config.run_dir, self._shards, sink, on_other=self._heard, on_lost=self._link_lost
        )
        self._writer = open_log(worker, sink, self._meter, self._links.committed)
        self._directory = Directory.of(config, AccountFile(config.accounts_path), self._not_read)
        self._reader = LogReader(config.spool_dir, on_damage=self._damaged)
        self._journal = self._open_journal()
        self._recovery: Recovery | None = Recovery(self._scheduler.ledger)
        self._journaling = Journaling(self._journal, sink, self._journal_meter)
        self._notices = Notices(config, self._scheduler, self._journaling, self._writer, self._reader, sink, row)
        self._settler = Settler(self._journaling, self._notices, self._reader, sink, row)
        self._foreign = ForeignEntries(self._scheduler, self._reader, row)
        self._remote = RemoteFeeds(self._scheduler, self._links, self._settler.settled, self._changed)
        self._wheel: TimingWheel = TimingWheel(0.1, 4096, worker.loop.time())
        self._poll = Poll()
        worker.loop.add_reader(self._poll.fileno, self._poll.turn)
        self._resolver = Resolver(
            servers=config.delivery.dns_servers,
            timeout=config.delivery.dns_timeout,
            cache_size=config.delivery.dns_cache_size,
            on_answer=self._dns_meter.answered,
        )
        self._connector = Connector(
            ConnectSettings.of(config),
            self._resolver,
            self._wheel,
            self._poll,
            shuffle=random.shuffle,
            chunking=Chunking(
                is_on=config.delivery.chunking, on_taken=self._takes_chunks, on_refused=self._knows_no_chunks
            ),
            on_opened=self._settler.connected,
            loop=worker.loop,
        )
        hand = Hand(config.run_dir / f"in-hand-{self._shard}")
        self._settler.died(hand.died)
        runs = LocalRuns(row, sink, hand, config.delivery.local_timeout)
        self._outbound = Outbound(
            self._scheduler,
            self._reader,
            self._connector,
            self._settler,
            self._foreign,
            self._remote,
            self._directory,
            FilteredDelivery(config, self._writer, self._notices.ids, sink, row, runs),
            runs,
            row,
            self._changed,
        )
        router = Router.from_config(config, self._directory)
        self._queue_intake = QueueIntake(self._scheduler, router, self._shard, self._shards)
        self._control = QueueControl(
            self._scheduler, self._reader, self._journaling, self._settler, self._remote, self._changed
        )
        self._copier = Copier(self._scheduler, self._reader, self._writer, self._journaling, sink, row)
        self._queue_meter = QueueMeter(self._scheduler, self._queue_intake, row)
        self._intake = Intake(
            config.spool_dir,
            config.run_dir,
            self._shard,
            self._shards,
            worker.context.generation,
            sink,
            take_in=self._take_in,
            outstanding=self._scheduler.ledger.outstanding,
            changed_logs=self._scheduler.ledger.changed_logs,
            on_other=self._asked,
            on_link_closed=self._foreign.lost,
            on_damage=self._damaged,
        )
        self._recovered = metrics.index("relay_spool_recovered_records_total")
        self._corrupt = metrics.index("relay_spool_corrupt_records_total")
        self._row = row
        self._is_pumping = False
        self._is_pump_due = False
        self._wakeup: asyncio.TimerHandle | None = None
        self._compacting: asyncio.Task[None] | None = None

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Reads journals and logs, then begins to deliver."""
        worker = self._worker
        recovery = self._recovery
        assert recovery is not None
        self._journal_from_before(recovery)
        await self._intake.open()
        self._links.open(self._writer, self._writer.snapshot)
        worker.repeat(REPORT_SECONDS, self._intake.report)
        worker.repeat(RESCAN_SECONDS, self._second)
        worker.repeat(0.1, self._expire)
        worker.repeat(COMPACT_SECONDS, self._compact_if_wanted)
        if self._config.queue.journal_sync:
            worker.repeat(self._config.queue.journal_sync, self._journaling.sync_soon)
        worker.repeat(min(COPY_SECONDS, self._config.spool.copy_after), self._copy)
        began = worker.loop.time()
        while not self._intake.has_caught_up and worker.loop.time() - began < CATCH_UP_SECONDS:
            if worker.draining.is_set():
                return
            await asyncio.sleep(0.005)
        self._sink.event("info", "queue read", entries=self._scheduler.ledger.total(),
                         seconds=round(worker.loop.time() - began, 3), all_logs=self._intake.has_caught_up)  # fmt: skip
        if self._intake.has_caught_up:
            self._recovery_over()
        self._is_pumping = True
        self._changed()

    async def stop(self) -> None:
        """Lets attempts end, journals their outcomes, gives everything up."""
        await self._outbound.drain(min(self._worker.seconds_left(), self._config.drain_timeout))
        self._is_pumping = False
        if self._wakeup is not None:
            self._wakeup.cancel()
        await self._notices.drain(min(self._worker.seconds_left(), NOTICE_SECONDS))
        self._journaling.flush()
        self._settler.flush()
        if self._compacting is not None:
            self._compacting.cancel()
        self._intake.report()
        await self._writer.close()
        await self._journal.close()
        self._intake.close()
        self._links.close()
        self._reader.close()
        self._worker.loop.remove_reader(self._poll.fileno)
        self._poll.close()

    def _open_journal(self) -> Journal:
        context = self._worker.context
        try:
            return Journal(
                self._config.spool_dir,
                shard=self._shard,
                shards=self._shards,
                generation=context.generation,
                on_sync=self._journal_meter.synced,
            )
        except SpoolError as fault:
            raise StartError(f"cannot open a journal: {fault}") from fault

    def _journal_from_before(self, recovery: Recovery) -> None:
        recovery.apply(load_journals(self._config.spool_dir))

    def _recovery_over(self) -> None:
        """Every log that was there at the start has been read: what the journals said is used up."""
        recovery, self._recovery = self._recovery, None
        if recovery is not None:
            self._queue_meter.recovered()
            self._journaling.add(recovery.finish(self._scheduler, now_us()))
            self._compact()

    # ---- the pump: scheduler -> actions -----------------------------------------------------------------------------

    def _changed(self) -> None:
        """Something happened: the scheduler is asked once the present batch of events is through."""
        if not self._is_pump_due and self._is_pumping:
            self._is_pump_due = True
            self._worker.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pump_due = False
        if not self._is_pumping:
            return
        now = now_us()
        for action in self._scheduler.actions(now):
            try:
                self._do(action)
            except Exception as fault:  # noqa: BLE001 - the other actions must not be lost with it
                context = {"message": f"action {type(action).__name__} failed", "exception": fault}
                self._worker.loop.call_exception_handler(context)
        self._journaling.flush()
        self._settler.flush()
        if self._wakeup is not None:
            self._wakeup.cancel()
            self._wakeup = None
        at = self._scheduler.next_wakeup()
        if at is not None and not self._is_pump_due:
            # The loop's timers stand still while the machine is suspended: none may be far ahead.
            wait = min(WAKEUP_SECONDS, max(0.0, (at - now) / 1_000_000))
            self._wakeup = self._worker.loop.call_later(wait, self._changed)

    def _do(self, action: Action) -> None:
        match action:
            case Wake(connection):  # the one that comes all the time
                self._outbound.wake(connection)
            case Connect(connection):
                self._outbound.connect(connection)
            case Quit(connection):
                self._outbound.quit(connection)
            case Resolve(key, domain):
                self._spawn(self._resolve(key, domain))
            case Settle(settled):
                if not self._foreign.settled(settled):
                    self._settler.ended(settled)

    async def _resolve(self, key: str, domain: str) -> None:
        try:
            hosts = await self._connector.exchangers(domain)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            context = {"message": "domain not looked up", "exception": fault}
            self._worker.loop.call_exception_handler(context)  # its text is for the log, not for senders (I8)
            hosts = deferred("4.4.3", f"internal error: {type(fault).__name__}", "dns")
        now = now_us()
        until = now + RESOLVED_SECONDS * 1_000_000
        if isinstance(hosts, Outcome):
            self._sink.event("warning", "domain not resolved", domain=domain, outcome=hosts.kind, status=hosts.status,
                             text=hosts.text)  # fmt: skip
            if hosts.kind == FAILED:
                self._scheduler.rejected(key, hosts, until)
            else:
                self._scheduler.unresolved(key, hosts, now, random.random())
        else:
            group_key = "mx-set:" + ",".join(sorted(hosts))
            shard = shard_of(group_key, self._shards)
            here = MxHosts(hosts)
            hop: object = here if shard == self._shard else RemoteGroup(shard, group_key, here)
            self._scheduler.resolved(key, group_key, hop, until, now)
        self._changed()

    def _takes_chunks(self) -> None:
        self._row[metrics.index("relay_delivery_chunking_connections_total", "taken")] += 1

    def _knows_no_chunks(self, next_hop: str) -> None:
        self._row[metrics.index("relay_delivery_chunking_connections_total", "refused")] += 1
        self._sink.event("warning", "next hop offers CHUNKING and does not know BDAT", next_hop=next_hop)

    def _spawn(self, work: Any) -> None:
        self._outbound.spawn(work)

    # ---- records in -------------------------------------------------------------------------------------------------

    def _take_in(self, records: list[Record]) -> None:
        self._look_at_clock()
        now = now_us()
        recovery = self._recovery
        if recovery is None:
            self._reader.remember(records)
        taken = self._queue_intake.records(records, now, recovery)
        for notice in taken.notices:
            self._notices.owed(notice)
        if recovery is not None:
            self._row[self._recovered] += taken.ours
        self._changed()

    def _damaged(self, damage: Damage) -> None:
        if damage.is_torn:
            self._sink.event("info", "torn record passed over", log=damage.log, segment=damage.segment,
                             offset=damage.offset, octets=damage.size)  # fmt: skip
            return
        self._row[self._corrupt] += 1
        self._sink.event("error", "corrupt record", log=damage.log, segment=damage.segment, offset=damage.offset,
                         octets=damage.size, reason=damage.reason, queue_id=damage.queue_id or None,
                         saved=damage.saved or None)  # fmt: skip

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _asked(self, link: FrameProtocol, message: Message) -> None:
        """What comes on our socket and is not about logs."""
        match message:
            case ("command", *_):
                self._spawn(answer(link, message, self._control, self._sink))
            case ("deliver", int() as token, log, segment, offset, indexes, str() as key, hosts):
                self._foreign.deliver(link, token, (log, segment, offset), indexes, key, hosts)
                self._changed()
            case ("how", int() as token):
                self._foreign.how(link, token)
            case _:
                raise FrameError(f"unknown message {message[:1]!r}")

    def _heard(self, shard: int, message: Message) -> None:
        """What another delivery worker answers on the link that we opened."""
        match message:
            case ("outcomes", int() as token, told):
                self._remote.outcomes(token, told)
            case ("how", int() as token, waits_for, next_at, *said):
                self._remote.told_how(token, waits_for, next_at, tuple(said))
            case _:
                raise FrameError(f"unknown message {message[:1]!r}")

    def _link_lost(self, shard: int) -> None:
        self._remote.lost(shard)
        self._changed()

    # ---- duties -----------------------------------------------------------------------------------------------------

    def _look_at_clock(self) -> None:
        """Follows the wall clock when it was set: every instant of the queue moves with it."""
        moved = rebase()
        if not moved:
            return
        now = now_us()
        self._scheduler.rebased(moved, now)
        self._queue_intake.rebased(now)
        direction = "forward" if moved > 0 else "back"
        self._row[metrics.index("relay_queue_clock_jumps_total", direction)] += 1
        self._sink.event("warning", "clock was set", direction=direction, seconds=abs(moved) // 1_000_000)
        self._compact()  # the journal says when entries are due
        self._changed()

    def _second(self) -> None:
        self._look_at_clock()
        self._intake.rescan()
        self._reader.let_go()
        self._meter.look(self._writer)
        self._look_at_accounts()
        self._queue_meter.look(now_us())
        self._journal_meter.look(self._journal)
        self._dns_meter.look(self._resolver)
        self._links.catch_up()
        if self._recovery is not None and self._is_pumping and self._intake.has_caught_up:
            self._recovery_over()

    def _look_at_accounts(self) -> None:
        try:
            self._directory.look()
        except (AccountError, OSError) as fault:
            self._not_read(fault)

    def _not_read(self, fault: Exception) -> None:
        """Delivery goes on with what is known."""
        self._sink.event("warning", "accounts not read", cause=str(fault))

    def _expire(self) -> None:
        now = self._worker.loop.time()
        for client in self._wheel.expire(now):
            client.expire(now)
        self._outbound.look()

    def _compact_if_wanted(self) -> None:
        if self._journal.wants_compaction:
            self._compact()

    def _compact(self) -> None:
        if self._compacting is None and self._recovery is None:
            self._compacting = asyncio.ensure_future(self._rewrite_journal())

    async def _rewrite_journal(self) -> None:
        try:
            self._journaling.flush()
            there = set(all_segments(self._config.spool_dir))
            said = self._scheduler.ledger.snapshot(
                self._scheduler.places.entries(), lambda log, segment: (log, segment) in there
            )
            began = time.monotonic()
            await self._journal.compact(said)
            self._row[metrics.index("relay_spool_journal_compactions_total")] += 1
            self._sink.event("debug", "journal compacted", seconds=round(time.monotonic() - began, 3))
        except SpoolError as fault:
            self._sink.event("warning", "journal not compacted", cause=str(fault))
        finally:
            self._compacting = None

    def _copy(self) -> None:
        if self._recovery is None and self._is_pumping:
            self._spawn(self._copier.run(self._intake.tails()))


def run(context: WorkerContext) -> int:
    """The process's exit code."""
    return run_worker(context, main)
