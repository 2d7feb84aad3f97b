"""The skeleton of a worker against a supervisor that is a socket; in this process, on this loop."""

import asyncio
import dataclasses
import os
import signal
import socket
from collections.abc import AsyncIterator

import pytest

from relay.config import demo
from relay.net.frames import FrameClient, encode
from relay.net.listeners import Endpoint, open_listener
from relay.telemetry.page import BEAT_CELL, CountersPage
from relay.workers import process
from relay.workers.process import StartError, Worker, WorkerContext
from tests.support.waiting import reached, settled


class Supervised:
    """A worker with a test for a supervisor."""

    def __init__(self, context: WorkerContext, end: socket.socket) -> None:
        self.context = context
        self.end = end
        self.worker: Worker

    def starts(self, main) -> asyncio.Task[int]:
        async def run() -> int:
            self.worker = Worker(self.context, asyncio.get_running_loop())
            return await self.worker.run(main)

        return asyncio.get_running_loop().create_task(run())

    def tells(self, *message: object) -> None:
        self.end.sendall(encode(message))

    def heard(self) -> list[tuple]:
        self.end.settimeout(5)
        return list(FrameClient(self.end))


@pytest.fixture
async def supervised(tmp_path) -> AsyncIterator[Supervised]:
    config = dataclasses.replace(demo(tmp_path), drain_timeout=0.05)
    context = WorkerContext("smtp", 0, 1, config, {}, supervisor_pid=1)
    context.page = CountersPage(rows=2)
    context.row = context.page.row(context.page.take_row("smtp"))
    end, context.control = socket.socketpair()
    context.control.setblocking(False)
    yield Supervised(context, end)
    end.close()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


async def test_it_says_ready_beats_and_ends_with_0_when_it_has_drained(supervised):
    async def main(worker: Worker) -> None:
        worker.ready()
        worker.ready()
        assert worker.seconds_left() == float("inf")
        supervised.tells("drain", 30)
        await worker.draining.wait()
        assert 0 < worker.seconds_left() <= 30
        worker.status("done")

    assert await supervised.starts(main) == process.EXIT_DRAINED
    assert supervised.context.row[BEAT_CELL] > 0
    assert supervised.heard() == [("ready",), ("status", "done")]


async def test_an_exclusive_one_waits_for_its_activation(supervised):
    async def main(worker: Worker) -> None:
        worker.ready()
        assert await worker.activation()
        worker.status("active")

    running = supervised.starts(main)
    supervised.tells("activate")
    assert await running == process.EXIT_DRAINED
    assert supervised.heard() == [("ready",), ("status", "active")]


async def test_a_standby_that_is_to_drain_learns_that_it_was_never_activated(supervised):
    async def main(worker: Worker) -> None:
        assert not await worker.activation()

    running = supervised.starts(main)
    supervised.tells("drain", 30)
    assert await running == process.EXIT_DRAINED


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        (StartError("no accounts"), process.EXIT_CANNOT_START, "no accounts"),
        (RuntimeError("surprise"), process.EXIT_FAULT, "RuntimeError: surprise"),
    ],
)
async def test_a_fault_before_ready_is_told_and_shows_in_the_exit_code(supervised, capsys, fault, code, text):
    async def main(worker: Worker) -> None:
        raise fault

    assert await supervised.starts(main) == code
    assert supervised.heard() == [("failed", text)]
    assert ("Traceback" in capsys.readouterr().err) == (code == process.EXIT_FAULT)


async def test_a_fault_after_ready_is_not_a_failed_start(supervised, capsys):
    async def main(worker: Worker) -> None:
        worker.ready()
        raise RuntimeError("surprise")

    assert await supervised.starts(main) == process.EXIT_FAULT
    assert supervised.heard() == [("ready",)]
    assert "surprise" in capsys.readouterr().err


async def test_a_periodic_duty_that_fails_ends_the_worker(supervised, capsys):
    async def main(worker: Worker) -> None:
        worker.repeat(0.001, lambda: 1 // 0)
        await asyncio.Event().wait()

    assert await supervised.starts(main) == process.EXIT_FAULT
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (("stop",), process.EXIT_STOPPED),
        (("drain", 0.01), process.EXIT_CUT),
        (("nonsense",), process.EXIT_ORPHANED),
        (None, process.EXIT_ORPHANED),
    ],
)
async def test_a_main_that_goes_on_is_cut_and_may_still_clean_up(supervised, order, code):
    cleaned = []

    async def main(worker: Worker) -> None:
        if order is None:
            supervised.end.close()
        else:
            supervised.tells(*order)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    assert await supervised.starts(main) == code
    assert cleaned == [True]


async def test_sigterm_drains_with_the_configured_deadline(supervised):
    async def main(worker: Worker) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await worker.draining.wait()
        await asyncio.Event().wait()

    assert await supervised.starts(main) == process.EXIT_CUT


async def test_accepting_has_stopped_when_the_drain_is_announced(supervised):
    """And the supervisor's own copy of the socket still stands."""
    listening = open_listener(Endpoint("mx", "127.0.0.1", 0))
    supervised.context.sockets["mx"] = (listening.dup(),)
    peers: list[asyncio.BaseTransport] = []

    class Peer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            peers.append(transport)
            transport.close()

    async def main(worker: Worker) -> None:
        await worker.listen("mx", Peer)
        await worker.listen("not ours", Peer)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        assert await reader.read() == b""
        writer.close()
        await worker.draining.wait()
        with socket.create_connection(listening.getsockname()):
            await settled()
        assert len(peers) == 1

    running = supervised.starts(main)
    await reached(lambda: peers)
    supervised.tells("drain", 30)
    assert await running == process.EXIT_DRAINED
    listening.setblocking(True)
    listening.accept()[0].close()
    listening.close()
