"""A delivery worker: owns the queue shards that hash to it, and delivers.

It wires dispatch (relay/dispatch) to the network, the mailboxes and its own log, and decides nothing. A worker of a new
generation stands by until its predecessor is gone (``worker.activated``); only then does it read the journals and logs.
"""

from __future__ import annotations

import random
from typing import Final

from relay.auth import AccountError, AccountFile
from relay.control.queue_control import QueueControl
from relay.control.server import answer
from relay.delivery.chunking import Chunking
from relay.delivery.connect import Connector, ConnectSettings
from relay.directory.directory import Directory
from relay.dispatch.connection_report import ConnectionReport
from relay.dispatch.dispatcher import TICK_SECONDS, Dispatcher
from relay.dispatch.lanes import open_mda
from relay.dispatch.log_links import LogLinks
from relay.dispatch.meters import DnsMeter
from relay.dispatch.outbound import Ways
from relay.dispatch.shard import Place, Shard, open_shard
from relay.net._poll import Poll
from relay.net.dns import Resolver
from relay.net.frames import FrameError, FrameProtocol, Message
from relay.net.wheel import TimingWheel
from relay.queue.routing import Router
from relay.spool import LogWriter, SpoolError
from relay.spool.meter import SpoolMeter
from relay.telemetry.sink import LogSink
from relay.workers.log_sink import make_sink
from relay.workers.process import StartError, Worker, WorkerContext, run_worker
from relay.workers.spool_log import open_log, private_folder

LOOK_SECONDS: Final = 1.0


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
        self._sink = sink
        config = worker.config
        self._spool_meter = SpoolMeter(worker.context.row, config.spool, sink)
        links = LogLinks(worker.loop, config.run_dir, config.workers.delivery, sink)
        writer = open_log(worker, sink, self._spool_meter, links.committed)
        self._shard = shard = open_shard_of(worker, writer, sink)
        self._directory = Directory.of(config, AccountFile(config.accounts_path), self._not_read)
        router = Router.from_config(config, self._directory)
        report = ConnectionReport(sink, shard.row)
        self._network = Network(worker, report)
        self._dispatcher = Dispatcher(
            shard,
            Ways(self._network.connector, report, links, router, open_mda(shard, self._directory)),
            self._requested,
        )
        self._control = QueueControl(
            shard.scheduler,
            shard.reader,
            shard.journaling,
            self._dispatcher.settler,
            self._dispatcher.remote,
            shard.wakeup.changed,
        )

    async def start(self) -> None:
        """Reads journals and logs, then begins to deliver."""
        for seconds, duty in self._dispatcher.duties():
            self._worker.repeat(seconds, duty)
        self._worker.repeat(TICK_SECONDS, self._network.turn)
        self._worker.repeat(LOOK_SECONDS, self._look)
        await self._dispatcher.start(self._worker.draining)

    async def stop(self) -> None:
        """Lets attempts end, journals their outcomes, gives everything up."""
        await self._dispatcher.drain(self._worker.seconds_left)
        await self._dispatcher.close()
        self._network.close()

    def _look(self) -> None:
        self._spool_meter.look(self._shard.writer)
        self._look_at_accounts()
        self._network.look()

    def _look_at_accounts(self) -> None:
        try:
            self._directory.look()
        except (AccountError, OSError) as fault:
            self._not_read(fault)

    def _not_read(self, fault: Exception) -> None:
        """Delivery goes on with what is known."""
        self._sink.event("warning", "accounts not read", cause=str(fault))

    def _requested(self, link: FrameProtocol, message: Message) -> None:
        """What is asked of the running appliance."""
        match message:
            case ("command", *_):
                self._shard.tasks.start(answer(link, message, self._control, self._sink))
            case _:
                raise FrameError(f"unknown message {message[:1]!r}")


def open_shard_of(worker: Worker, writer: LogWriter, sink: LogSink) -> Shard:
    """The shard of this worker's slot."""
    context = worker.context
    place = Place(context.slot, worker.config.workers.delivery, context.generation)
    try:
        return open_shard(place, worker.config, worker.loop, writer, sink, context.row)
    except SpoolError as fault:
        raise StartError(f"cannot open a journal: {fault}") from fault


class Network:
    """What connections to next hops need: names, deadlines, the sockets' events."""

    def __init__(self, worker: Worker, report: ConnectionReport) -> None:
        config, loop = worker.config, worker.loop
        self._loop = loop
        self._wheel: TimingWheel = TimingWheel(TICK_SECONDS, 4096, loop.time())
        self._poll = Poll()
        loop.add_reader(self._poll.fileno, self._poll.turn)
        self._dns_meter = DnsMeter(worker.context.row)
        self._resolver = Resolver(
            servers=config.delivery.dns_servers,
            timeout=config.delivery.dns_timeout,
            cache_size=config.delivery.dns_cache_size,
            on_answer=self._dns_meter.answered,
        )
        self.connector = Connector(
            ConnectSettings.of(config),
            self._resolver,
            self._wheel,
            self._poll,
            shuffle=random.shuffle,
            chunking=Chunking(
                is_on=config.delivery.chunking, on_taken=report.chunking_taken, on_refused=report.chunking_refused
            ),
            on_opened=report.opened,
            loop=loop,
        )

    def turn(self) -> None:
        """Ends waits whose deadline has passed; every TICK_SECONDS."""
        now = self._loop.time()
        for client in self._wheel.expire(now):
            client.expire(now)

    def look(self) -> None:
        """Once a second or so, for the metrics."""
        self._dns_meter.look(self._resolver)

    def close(self) -> None:
        """All sessions are over."""
        self._loop.remove_reader(self._poll.fileno)
        self._poll.close()


def run(context: WorkerContext) -> int:
    """The process's exit code."""
    return run_worker(context, main)
