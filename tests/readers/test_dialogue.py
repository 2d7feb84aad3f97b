"""The transport under readers' sessions: jobs, back-pressure, TLS, limits, drains, ends of every kind."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
import uvloop

from relay.config import Config
from relay.config.model import WorkerSettings
from relay.config.readers import ReaderSettings
from relay.net import stopping
from relay.net.stopping import JobStopped
from relay.net.threads import GRACE_SECONDS
from relay.net.tickets import TicketKeys
from relay.net.tls import ServerTls
from relay.readers import dialogue as dialogue_module
from relay.readers.dialogue import Dialogue
from relay.readers.gate import Gate
from relay.readers.listening import Listening
from relay.readers.machine import Blocking, Report, Waiting
from relay.telemetry import metrics
from relay.telemetry.sink import LogSink
from tests.support.tls import client_context
from tests.support.waiting import pause, reached, settled

PIECE = b"x" * 65536


class Toy:
    """A line protocol: ECHO text, WORK (in a thread), LOOP and HANG (in a thread, without end), WAIT,
    MANY count (pieces of 64 KiB), TLS, FAIL, BYE."""

    def __init__(self):
        self.report = Report(account="toy@local.test")
        self.is_over = self.closes_at_once = self.wants_tls = False
        self.patience = 60.0
        self.lines = []
        self.input = b""
        self.output = [b""]
        self.pieces = 0
        self.made = 0
        self.is_busy: bytes = b""
        self.goodbye = None
        self.released = 0
        self.begun = 0
        self.stopped = []
        self.goes_on = threading.Event()
        self.secured_by = ""

    def open(self, wake):
        self.wake = wake
        self.output.append(b"hello\r\n")

    def receive(self, octets, now):
        *lines, self.input = (self.input + octets).split(b"\r\n")
        self.lines += lines
        self.obey()

    def obey(self):
        while self.lines and not (self.is_busy or self.pieces or self.is_over or self.wants_tls):
            word, _, text = self.lines.pop(0).partition(b" ")
            self.report.commands += 1
            self.report.finished.append((word.decode().lower(), 3000))
            match word:
                case b"ECHO":
                    self.output.append(text + b"\r\n")
                case b"WORK" | b"WAIT" | b"FAIL" | b"LOOP" | b"HANG":
                    self.is_busy = word
                case b"MANY":
                    self.pieces = int(text)
                case b"TLS":
                    self.output.append(b"go\r\n")
                    self.wants_tls = True
                    self.lines.clear()
                    self.input = b""
                case b"BYE":
                    self.output.append(b"bye\r\n")
                    self.is_over = self.closes_at_once = True

    def take_output(self):
        octets = b"".join(self.output)
        self.output.clear()
        return octets

    def may_read(self):
        return len(self.lines) < 1000

    def take_job(self):
        if self.pieces:
            return Blocking(lambda: PIECE)
        if self.is_busy == b"WORK":
            return Blocking(lambda: threading.current_thread().name.encode()[:5] + b"\r\n")
        if self.is_busy in (b"LOOP", b"HANG"):
            return Blocking(self.loop if self.is_busy == b"LOOP" else self.hang)
        if self.is_busy == b"FAIL":
            return Blocking(lambda: 1 // 0)
        return Waiting(self.answer) if self.is_busy else None

    def loop(self):
        """Work that looks whether it is still wanted."""
        self.begun += 1
        try:
            while True:
                stopping.check()
                pause(0.001)
        except JobStopped as fault:
            self.stopped.append(fault.cause)
            raise

    def hang(self):
        self.begun += 1
        self.goes_on.wait(30)
        return b"hung\r\n"

    async def answer(self):
        return b"waited\r\n"

    def job_done(self, result, fault, now):
        if isinstance(fault, JobStopped):
            result = f"stopped {fault}\r\n".encode()
        elif fault:
            raise fault
        self.output.append(result)
        self.is_busy = b""
        if self.pieces:
            self.pieces -= 1
            self.made += 1
        if self.goodbye:
            self.farewell(self.goodbye)
        self.obey()

    def given_up(self):
        self.output.append(b"given up\r\n")
        self.is_over = True

    def woken(self, now):
        self.output.append(b"woken\r\n")

    def secured(self, stream):
        self.secured_by = stream.version

    def farewell(self, cause):
        self.goodbye = cause
        if not self.is_busy and not self.pieces:
            self.output.append(f"farewell {cause}\r\n".encode())
            self.is_over = True

    def mixed_up(self, protocol):
        self.output.append(f"mixed up {protocol}\r\n".encode())
        self.is_over = True

    def release(self):
        return Blocking(self.count_release)

    def count_release(self):
        self.released += 1


class Log:
    def __init__(self):
        self.lines = []
        self.events = []

    def append(self, line):
        self.lines.append(json.loads(line))

    def event(self, level, event, /, **fields):
        self.events.append((level, event, fields))


class World:
    """A gate, one listener and its clients, on a real loop."""

    def __init__(self, folder: Path, **readers):
        self.config = Config(
            hostname="mx.relay.example", data_dir=folder, readers=ReaderSettings(**readers),
            workers=WorkerSettings(mailbox=1),
        )  # fmt: skip
        self.row = memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")
        self.log = Log()
        self.gate = Gate(self.config, log=cast("LogSink", self.log), row=self.row, slot=0)
        self.machines: list[Toy] = []

    async def listen(self, *, tls=False, is_implicit=False):
        def make(_listening, _client, _session_id):
            self.machines.append(Toy())
            return self.machines[-1]

        server_tls = None
        if tls:
            server_tls = ServerTls(self.config, TicketKeys(time.monotonic()), lambda *_: None, self.row)
        listening = Listening(self.gate, "toy", "imap", make, tls=server_tls, is_implicit=is_implicit)
        self.server = await asyncio.get_running_loop().create_server(lambda: Dialogue(listening), "127.0.0.1", 0)

    async def connect(self, **options):
        return await asyncio.open_connection(*self.server.sockets[0].getsockname(), **options)

    def count(self, name, *labels):
        return self.row[metrics.index(name, *labels)]

    async def until(self, condition):
        await reached(condition)


Scenario = Callable[[World], Awaitable[None]]


@pytest.fixture
def run(tmp_path):
    """Runs a scenario; afterwards nobody is connected, and every machine was released once."""

    def run_it(scenario: Scenario, *, tls=False, is_implicit=False, **readers):
        async def bounded():
            async with asyncio.timeout(60):
                world = World(tmp_path, **readers)
                await world.listen(tls=tls, is_implicit=is_implicit)
                await scenario(world)
                await world.until(lambda: world.gate.open_sessions == 0)
                await world.until(lambda: all(machine.released == 1 for machine in world.machines))
                assert len(world.gate.wheel) == 0
                assert world.count("relay_reader_sessions_open", "imap") == 0
                assert len(world.log.lines) == len(world.machines)
                world.server.close()
                world.gate.abort()

        uvloop.run(bounded())

    return run_it


async def rest(reader):
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 20)
    return b""


def reset(writer):
    """Hangs up in a way that the other side sees at once."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def test_answers_keep_the_order_of_commands_whatever_has_to_wait(run):
    async def scenario(world):
        reader, writer = await world.connect()
        writer.write(b"ECHO a\r\nWORK\r\nECHO b\r\nWAIT\r\nECHO c\r\nBYE\r\n")
        assert await rest(reader) == b"hello\r\na\r\nstore\r\nb\r\nwaited\r\nc\r\nbye\r\n"
        writer.close()
        await world.until(lambda: world.log.lines)
        (line,) = world.log.lines
        assert (line["kind"], line["protocol"], line["cause"]) == ("session", "imap", "logout")
        assert (line["commands"], line["account"]) == (6, "toy@local.test")
        seconds = metrics.histogram_cells("relay_imap_command_seconds", "other")
        assert world.row[seconds.first + 1] == 6, "commands of 3 ms each"

    run(scenario)


def test_a_peer_that_does_not_read_gets_no_more_pieces_made(run):
    async def scenario(world):
        reader, writer = await world.connect(limit=1 << 10)
        writer.write(b"MANY 2000\r\n")
        await world.until(lambda: world.machines and world.machines[0].made > 0)
        last = -1
        while last != world.machines[0].made:
            last = world.machines[0].made
            await settled(200)
        assert last < 500
        await reader.readexactly(len(b"hello\r\n") + 2000 * len(PIECE))
        writer.write(b"BYE\r\n")
        assert await rest(reader) == b"bye\r\n"
        writer.close()

    run(scenario)


def test_a_peer_that_stops_sending_is_answered_before_the_connection_is_closed(run):
    async def scenario(world):
        reader, writer = await world.connect()
        writer.write(b"WORK\r\nECHO z\r\n")
        writer.write_eof()
        assert await rest(reader) == b"hello\r\nstore\r\nz\r\n"
        writer.close()

    run(scenario)


def test_a_fault_of_ours_ends_one_session_and_tells_the_log_not_the_peer(run):
    async def scenario(world):
        reader, writer = await world.connect()
        writer.write(b"FAIL\r\n")
        assert await rest(reader) in (b"hello\r\n", b"")
        writer.close()
        await world.until(lambda: world.log.events)
        assert world.log.events[0][2]["cause"].startswith("ZeroDivisionError")
        await world.until(lambda: world.log.lines)
        assert world.log.lines[0]["cause"] == "internal"

    run(scenario)


def test_a_job_ends_with_its_session(run):
    """The peer is gone: a job that runs is told, one that waits for a thread never begins; both let go what is held."""

    async def scenario(world):
        _, writer = await world.connect()
        writer.write(b"LOOP\r\n")
        await world.until(lambda: world.machines and world.machines[0].begun)
        _, waiting = await world.connect()
        waiting.write(b"LOOP\r\n")
        await world.until(lambda: world.count("relay_reader_sessions_open", "imap") == 2)
        reset(waiting)
        await world.until(lambda: world.gate.open_sessions == 1)
        reset(writer)
        await world.until(lambda: world.machines[0].released == 1)
        assert world.machines[0].stopped == ["gone"]
        await world.until(lambda: world.machines[1].released == 1)
        assert world.machines[1].begun == 0
        assert not world.log.events

    run(scenario, threads=1)


def test_a_late_job_is_stopped_and_the_session_goes_on(run):
    async def scenario(world):
        reader, writer = await world.connect()
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"LOOP\r\nECHO next\r\nBYE\r\n")
        await world.until(lambda: world.machines[0].begun)
        world.gate.threads.turn(time.monotonic() + 3601)
        assert await rest(reader) == b"stopped deadline\r\nnext\r\nbye\r\n"
        writer.close()

    run(scenario, job_timeout=3600.0)


def test_a_job_that_hangs_is_given_up_with_a_word_and_others_are_served(run):
    """Its thread is lost until it comes back; only then is what the session holds given back."""

    async def scenario(world):
        reader, writer = await world.connect()
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"HANG\r\nECHO never\r\n")
        await world.until(lambda: world.machines[0].begun)
        now = time.monotonic()
        world.gate.threads.turn(now + 3601)
        world.gate.threads.turn(now + 3601 + GRACE_SECONDS)
        assert await rest(reader) == b"given up\r\n"
        writer.close()
        await world.until(lambda: world.log.lines)
        assert world.log.lines[0]["cause"] == "job_timeout"
        assert world.log.events[0][1] == "store thread lost"
        assert world.log.events[0][2]["account_or_client"] == "toy@local.test"
        assert world.machines[0].released == 0
        world.machines[0].goes_on.set()
        other, other_writer = await world.connect()
        other_writer.write(b"WORK\r\nBYE\r\n")
        assert await rest(other) == b"hello\r\nstore\r\nbye\r\n"
        other_writer.close()

    run(scenario, threads=1, job_timeout=3600.0)


def test_the_sessions_of_one_account_do_not_take_all_threads(run):
    async def scenario(world):
        writers = []
        for number in range(6):
            _, writer = await world.connect()
            writer.write(b"HANG\r\n")
            writers.append(writer)
            await world.until(lambda number=number: len(world.machines) == number + 1)
        await world.until(lambda: sum(machine.begun for machine in world.machines) == 2)
        reader, writer = await world.connect()
        assert await reader.readline() == b"hello\r\n"
        world.machines[-1].report.account = "alice@local.test"
        writer.write(b"WORK\r\nBYE\r\n")
        assert await rest(reader) == b"store\r\nbye\r\n"
        assert sum(machine.begun for machine in world.machines) == 2
        for machine in world.machines:
            machine.goes_on.set()
        for each in [*writers, writer]:
            each.close()

    run(scenario, threads=3, threads_per_account=2)


def test_who_has_hung_up_is_not_worked_for_to_the_end(run, monkeypatch):
    """A closed connection looks like one whose peer only stops sending, as long as nothing is written to it."""
    monkeypatch.setattr(dialogue_module, "HALF_CLOSED_SECONDS", 0.0)

    async def scenario(world):
        _, writer = await world.connect()
        writer.write(b"LOOP\r\n")
        await world.until(lambda: world.machines and world.machines[0].begun)
        writer.write_eof()

        def is_stopped():
            world.gate.turn()
            return world.machines[0].stopped

        await world.until(is_stopped)
        assert world.machines[0].stopped == ["gone"]
        writer.close()

    run(scenario)


def test_starttls_throws_away_what_came_in_the_clear(run):
    """RFC 9051 11.1: commands injected before the handshake are never obeyed."""

    async def scenario(world):
        reader, writer = await world.connect()
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"TLS\r\nECHO injected\r\n")
        assert await reader.readline() == b"go\r\n"
        await writer.start_tls(client_context())
        writer.write(b"ECHO secret\r\nBYE\r\n")
        assert await rest(reader) == b"secret\r\nbye\r\n"
        writer.close()
        assert world.machines[0].secured_by == "TLSv1.3"

    run(scenario, tls=True)


def test_tls_from_the_first_octet_greets_after_the_handshake(run):
    async def scenario(world):
        reader, writer = await world.connect(ssl=client_context())
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"MANY 20\r\nBYE\r\n")
        assert await rest(reader) == 20 * PIECE + b"bye\r\n"
        writer.close()

    run(scenario, tls=True, is_implicit=True)


@pytest.mark.parametrize(("is_implicit", "octets", "said"), [
    (False, b"\x16\x03\x01\x02\x00", b"hello\r\nmixed up tls\r\n"),
    (True, b"a1 CAPABILITY\r\n", b"mixed up plain\r\n"),
])  # fmt: skip
def test_who_speaks_the_wrong_protocol_is_told_so_and_counted(run, is_implicit, octets, said):
    async def scenario(world):
        reader, writer = await world.connect()
        writer.write(octets)
        assert await rest(reader) == said
        writer.close()
        assert world.count("relay_reader_mixups_total", "plain" if is_implicit else "tls") == 1

    run(scenario, tls=True, is_implicit=is_implicit)


def test_connections_above_the_limits_are_told_so(run):
    async def scenario(world):
        first, first_writer = await world.connect()
        assert await first.readline() == b"hello\r\n"
        second, second_writer = await world.connect()
        assert await rest(second) == b"hello\r\nfarewell client_limit\r\n"
        assert world.count("relay_reader_connections_refused_total", "client_limit") == 1
        first_writer.close()
        second_writer.close()

    run(scenario, max_connections_per_client=1)


def test_a_drain_waits_for_what_is_begun_and_says_goodbye(run):
    async def scenario(world):
        reader, writer = await world.connect()
        writer.write(b"MANY 50\r\n")
        await world.until(lambda: world.machines and world.machines[0].made > 0)
        idle, idle_writer = await world.connect()
        assert await idle.readline() == b"hello\r\n"
        empty = asyncio.Event()
        world.gate.drain(empty.set)
        assert await rest(idle) == b"farewell drained\r\n"
        assert (await rest(reader)).endswith(b"xfarewell drained\r\n")
        writer.close()
        idle_writer.close()
        await asyncio.wait_for(empty.wait(), 20)

    run(scenario)


def test_silence_has_an_end(run):
    async def scenario(world):
        reader, writer = await world.connect()
        assert await reader.readline() == b"hello\r\n"
        world.machines[0].patience = -100.0
        writer.write(b"ECHO x\r\n")
        assert await reader.readline() == b"x\r\n"
        ended = asyncio.ensure_future(rest(reader))
        await reached(lambda: world.gate.turn() or ended.done(), every=0.01)
        assert await ended == b"farewell idle_timeout\r\n"
        writer.close()

    run(scenario)


def test_a_wake_from_another_thread_reaches_the_machine(run):
    async def scenario(world):
        reader, writer = await world.connect()
        assert await reader.readline() == b"hello\r\n"
        threading.Thread(target=world.machines[0].wake).start()
        assert await reader.readline() == b"woken\r\n"
        writer.close()

    run(scenario)
