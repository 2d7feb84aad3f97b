"""Commands between an asker and workers: over real sockets, with workers that behave and workers that do not."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from relay.config.model import Config
from relay.control import server
from relay.control.client import Reply, UnreachableError, UnreadableError, ask, look
from relay.control.output import OutputClosedError
from relay.control.registry import COMMANDS, HOLD, LIST, REMOVE, SHOW, Command
from relay.control.vocabulary import QueueEntry, Selection
from relay.net import unix
from relay.net.frames import FrameClient, FrameProtocol, encode
from tests.control.samples import ENTRY
from tests.support.appliance import wait_for

OTHER = ENTRY._replace(queue_id="06B00000000BB")


class Log:
    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def event(self, level: str, event: str, /, **fields: object) -> None:
        self.events.append({"level": level, "event": event, **fields})


class Performer:
    """Answers every command with the same parts."""

    def __init__(self, *parts: QueueEntry | Exception | None) -> None:
        self.parts = parts
        self.asked: list[tuple[str, Any]] = []
        self.was_closed = 0

    async def perform(self, command: Command[Any, Any], request: Any) -> AsyncIterator[NamedTuple | None]:
        self.asked.append((command.name, request))
        try:
            for part in self.parts:
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            self.was_closed += 1


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(data_dir=tmp_path)
    config.run_dir.mkdir()
    return config


@contextmanager
def worker(config: Config, shard: int, performer: Performer, log: Log | None = None) -> Iterator[None]:
    """The real server's side on a loop in a thread."""
    noted = log or Log()
    loop = asyncio.new_event_loop()
    tasks: set[asyncio.Task[None]] = set()

    def asked(link: FrameProtocol, message: Any) -> None:
        tasks.add(loop.create_task(server.answer(link, message, performer, noted)))

    path = config.run_dir / f"delivery-{shard}.sock"
    made = loop.run_until_complete(loop.create_unix_server(lambda: FrameProtocol(asked), sock=unix.listening(path)))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:

        def end() -> None:
            made.close()
            loop.stop()

        loop.call_soon_threadsafe(end)
        thread.join()
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()


@contextmanager
def raw_worker(config: Config, shard: int, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    """One that does what ``behave`` does with each connection, after the request."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(config.run_dir / f"delivery-{shard}.sock"))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                behave(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_carried_out_by_every_worker_and_answered(config: Config, name: str) -> None:
    command, request = COMMANDS[name], Selection("06A00000000AA", "b.test", 2.5)
    workers, logs = [Performer(ENTRY, None, ENTRY), Performer(), Performer(OTHER)], [Log(), Log(), Log()]
    found: list[QueueEntry] = []
    with ExitStack() as stack:
        for shard, (each, log) in enumerate(zip(workers, logs, strict=True)):
            stack.enter_context(worker(config, shard, each, log))
        reply = ask(config, command, [request], found.append)
    assert reply == Reply(3, ())
    assert found == [ENTRY, ENTRY, OTHER], "worker by worker"
    assert [each.asked for each in workers] == [[(name, request)]] * 3
    counts = [2, 1] if command.changes else []
    assert [event["entries"] for log in logs for event in log.events] == counts, "what changes something is logged"
    for event in (event for log in logs for event in log.events):
        assert event["event"] == "queue command"
        assert event["operation"] == name.removeprefix("queue ")
        assert (event["queue_id"], event["domain"], event["older_than"]) == tuple(request)


def test_several_requests_are_asked_one_after_the_other(config: Config) -> None:
    performer, found = Performer(ENTRY), list[QueueEntry]()
    with worker(config, 0, performer):
        reply = ask(config, SHOW, [Selection("06A00000000AA"), Selection("06B00000000BB")], found.append)
    assert (reply.parts, len(found)) == (2, 2)
    assert [request.queue_id for _, request in performer.asked] == ["06A00000000AA", "06B00000000BB"]


@pytest.mark.parametrize(
    ("request_frame", "kind", "said"),
    [
        (("command", "queue explode", {}), "unknown", 'no command "queue explode"'),
        (("command", "queue list", {"older": 1}), "request", "Selection has no 'older'"),
        (("command", "queue list", {"domain": 5}), "request", "domain cannot be 5"),
        (("command", "queue list", ()), "request", "is a table"),
        (("command", "queue list"), "request", "a request is"),
        (("command", 5, {}), "request", "a request is"),
        (("command",), "request", "a request is"),
    ],
)
def test_a_request_that_is_none_gets_a_clear_error_and_nothing_is_done(
    config: Config, request_frame: tuple[object, ...], kind: str, said: str
) -> None:
    performer = Performer(ENTRY)
    with worker(config, 0, performer), FrameClient.connect(config.run_dir / "delivery-0.sock", 5) as client:
        client.send(request_frame)
        answer = client.receive()
    assert answer[:2] == ("error", kind)
    assert said in answer[2]
    assert performer.asked == []


def test_a_request_that_means_nothing_to_the_performer_is_refused_with_its_words(config: Config) -> None:
    found: list[QueueEntry] = []
    with worker(config, 0, Performer(ValueError("not a queue id"))):
        assert ask(config, LIST, [Selection()], found.append) == Reply(0, ("delivery-0: not a queue id",))


def test_a_part_that_fits_no_frame_is_a_problem_of_that_worker(config: Config) -> None:
    huge = ENTRY._replace(recipients=("x" * 100,) * 20_000)
    with worker(config, 0, Performer(huge)), worker(config, 1, Performer(OTHER)):
        reply = ask(config, LIST, [Selection()], lambda entry: None)
    assert reply.parts == 1
    assert "frame of" in reply.problems[0]


def test_a_worker_of_another_version_is_named_and_the_others_answer(config: Config) -> None:
    """While a reload goes on, workers of two generations may be there."""

    def does_not_know(connection: socket.socket) -> None:
        connection.sendall(encode(("error", "unknown", 'this worker knows no command "queue list"')))

    def hangs_up(connection: socket.socket) -> None:
        """As one does that knows no commands at all."""

    newer = ENTRY._asdict() | {"colour": "red"}
    with (
        raw_worker(config, 0, does_not_know),
        raw_worker(config, 1, hangs_up),
        raw_worker(config, 2, lambda connection: connection.sendall(encode(("part", newer)))),
        worker(config, 10, Performer(OTHER)),
    ):
        found: list[QueueEntry] = []
        reply = ask(config, LIST, [Selection()], found.append)
    assert found == [OTHER]
    assert reply.parts == 1
    version, silent, strange = reply.problems
    assert "of another version" in version
    assert silent == "delivery-1: it ended before its answer did"
    assert "QueueEntry has no 'colour'" in strange


@pytest.mark.parametrize(
    "octets",
    [
        encode(("part", ENTRY._asdict())),
        encode(("part", ENTRY._asdict())) + encode(("end", {"parts": 1}))[:-3],
        b"\xff" * 8,
        encode(("end", {"parts": None})),
        encode(("what", 1)),
        encode(("error",)),
    ],
    ids=["dies after a part", "dies in a frame", "no frame", "bad end", "unknown", "empty error"],
)
def test_a_worker_that_dies_in_between_or_talks_nonsense_is_a_problem_and_not_an_answer(
    config: Config, octets: bytes
) -> None:
    with raw_worker(config, 0, lambda connection: connection.sendall(octets)), worker(config, 1, Performer(OTHER)):
        reply = ask(config, LIST, [Selection()], lambda entry: None)
    assert reply.parts == 1, "only what a worker has ended counts"
    assert len(reply.problems) == 1
    assert reply.problems[0].startswith("delivery-0: ")


def test_a_worker_that_is_silent_is_not_waited_for_without_end(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.control.client.TIMEOUT_SECONDS", 0.05)
    over = threading.Event()
    try:
        with raw_worker(config, 0, lambda connection: bool(over.wait(10))):  # type: ignore[arg-type]
            try:
                reply = ask(config, LIST, [Selection()], lambda entry: None)
            finally:
                over.set()
    finally:
        over.set()
    assert "no answer within" in reply.problems[0]


def test_while_a_worker_looks_it_says_that_it_goes_on(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search through a million entries that finds nothing would look like a worker that hangs."""
    monkeypatch.setattr(server, "GOING", 0.0)
    with worker(config, 0, Performer(None, None, ENTRY)):
        with FrameClient.connect(config.run_dir / "delivery-0.sock", 5) as client:
            client.send(("command", "queue list", {}))
            kinds = [client.receive()[0] for _ in range(4)]
        assert kinds == ["going", "going", "part", "end"]
        assert ask(config, LIST, [Selection()], lambda entry: None) == Reply(1, ())


def test_whoever_asks_and_does_not_read_is_given_up_and_what_was_done_is_logged(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10: every wait for a peer has a deadline."""
    monkeypatch.setattr(server, "PATIENCE", 0.02)
    large = ENTRY._replace(recipients=("x" * 100,) * 1000)
    performer, log = Performer(*[large] * 100), Log()
    with worker(config, 0, performer, log), FrameClient.connect(config.run_dir / "delivery-0.sock", 5) as client:
        client.send(("command", "queue remove", {}))
        wait_for(lambda: performer.was_closed, 10, "the end of the command")
        assert "end" not in [message[0] for message in client], "the connection is closed instead"
    assert [event["operation"] for event in log.events] == ["remove"]
    assert cast("int", log.events[0]["entries"]) < 100


def test_nobody_reading_our_output_is_no_fault_of_a_worker(config: Config) -> None:
    def print_it(entry: QueueEntry) -> None:
        raise BrokenPipeError

    with worker(config, 0, Performer(ENTRY)), pytest.raises(OutputClosedError):
        ask(config, LIST, [Selection()], print_it)


def test_workers_are_asked_in_the_order_of_their_slots_and_dead_sockets_are_named(config: Config) -> None:
    for shard in (10, 2):
        unix.listening(config.run_dir / f"delivery-{shard}.sock").close()
    assert [path.stem for path in LIST.sockets(config.run_dir)] == ["delivery-2", "delivery-10"]
    with worker(config, 0, Performer()):
        reply = ask(config, LIST, [Selection()], lambda entry: None)
    assert [problem.partition(":")[0] for problem in reply.problems] == ["delivery-10", "delivery-2"]


# ---- stopped --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stopped_appliance_answers_the_commands_that_only_read(
    config: Config, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.control.stopped.entries", lambda config: iter([ENTRY, OTHER]))
    command, found, notes = COMMANDS[name], list[QueueEntry](), list[str]()
    assert command.reads_stopped == (not command.changes)

    def looked() -> Reply:
        return look(config, command, [Selection("06B00000000BB")], found.append, lambda: notes.append("stopped"))

    if command.changes:
        with pytest.raises(UnreachableError) as caught:
            looked()
        assert not caught.value.is_running
        assert (found, notes) == ([], [])
    else:
        assert looked() == Reply(1, ())
        assert (found, notes) == ([OTHER], ["stopped"])


def test_a_running_appliance_whose_workers_cannot_be_reached_is_not_read_from_disk(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.spool.folder.is_running", lambda path: True)
    for command in (LIST, HOLD):
        with pytest.raises(UnreachableError) as caught:
            look(config, command, [Selection()], lambda entry: None)
        assert caught.value.is_running


def test_a_spool_that_cannot_be_read_is_told_apart_from_an_output_that_nobody_reads(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(config: Config) -> Iterator[QueueEntry]:
        yield ENTRY
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr("relay.control.stopped.entries", broken)
    with pytest.raises(UnreadableError, match="spool cannot be read"):
        look(config, LIST, [Selection()], lambda entry: None)


def test_what_removes_is_declared_to_change_something() -> None:
    assert {name for name, command in COMMANDS.items() if command.changes} == {
        "queue retry", "queue hold", "queue release", REMOVE.name
    }  # fmt: skip
