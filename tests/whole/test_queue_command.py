"""``relay queue`` on a running appliance, and read-only on a stopped one; its exit codes are part of its interface."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port, wait_for
from tests.support.sink import Sink

LATER = '[queue]\nretry_first = "1h"\nretry_max = "1h"\n'


@dataclass
class Refusing:
    """Defers every recipient but those of ``taken`` domains."""

    taken: set[str] = field(default_factory=set)

    def __call__(self, stage: str, argument: str) -> str | None:
        if stage == "rcpt" and argument.rpartition("@")[2] not in self.taken:
            return "450 4.2.0 not today"
        return None


@pytest.fixture
def refusing() -> Refusing:
    return Refusing()


@pytest.fixture
def sink(refusing: Refusing) -> Iterator[Sink]:
    with Sink(answer=refusing) as started:
        yield started


@pytest.fixture
def relay(tmp_path: Path, sink: Sink) -> Iterator[Appliance]:
    """Two delivery workers; relay.test and both.test live in one of them each, and share the sink."""
    more = LATER + f'\n[[relay_domain]]\ndomain = "both.test"\nnext_hop = "smtp://127.0.0.2:{sink.port}"\n'
    with (
        Sink(answer=sink.answer, address="127.0.0.2", port=sink.port, messages=sink.messages),
        Appliance(tmp_path, sink.port, delivery_workers=2, more=more) as appliance,
    ):
        yield appliance


def seconds_until(moment: str) -> float:
    """From now to a time in RFC 3339."""
    return datetime.fromisoformat(moment).timestamp() - time.time()


def deferred(relay: Appliance, *recipients: str) -> str:
    """Sends a message and waits until its recipients were deferred once; its queue id."""
    queue_id = relay.send(*recipients)
    wait_for(lambda: all(relay.deliveries(each) for each in recipients), 10, lambda: f"deferred\n{relay.tail()}")
    return queue_id


def test_list_tells_what_waits_and_why(relay: Appliance) -> None:
    queue_id = deferred(relay, "x@relay.test", "y@relay.test")
    (entry,) = relay.queue()
    assert entry["queue_id"] == queue_id
    assert entry["state"] == "deferred"
    assert entry["recipients"] == ["x@relay.test", "y@relay.test"]
    assert entry["reverse_path"] == "a@source.test"
    assert entry["attempts"] == 1
    assert (entry["status"], "not today" in entry["text"]) == ("4.2.0", True)
    assert 2800 < seconds_until(entry["due_at"]) < 4400
    text = relay.run("queue", "list")
    for part in (queue_id, "not today", "1 in the queue"):
        assert part in text
    text = relay.run("queue", "show", queue_id)
    for part in ("recipient     y@relay.test", "last result   450 4.2.0"):
        assert part in text


def test_entries_are_chosen_by_domain_id_and_age(relay: Appliance) -> None:
    first = deferred(relay, "x@relay.test", "x@both.test")
    second = deferred(relay, "y@both.test")
    assert [each["recipients"] for each in relay.queue("--domain", "both.test")] == [["x@both.test"], ["y@both.test"]]
    assert {each["queue_id"] for each in relay.queue(first)} == {first}
    assert len(relay.queue(first)) == 2, "one entry for each next hop"
    assert len(relay.queue(first, second)) == 3
    assert relay.queue("--older-than", "1h") == []
    assert len(relay.queue("--older-than", "0s")) == 3


def test_retry_tries_at_once(relay: Appliance, sink: Sink, refusing: Refusing) -> None:
    queue_id = deferred(relay, "x@relay.test")
    deferred(relay, "x@both.test")
    refusing.taken = {"relay.test", "both.test"}
    assert relay.result("queue", "retry", queue_id).stdout == "1 tried again\n"
    wait_for(lambda: sink.messages, 10, "the message")
    wait_for(lambda: len(relay.queue()) == 1, 10, "the other waits still")
    assert json.loads(relay.run("queue", "retry", "--domain", "both.test", "--json")) == {
        "operation": "retry",
        "count": 1,
    }
    wait_for(lambda: len(sink.messages) == 2, 10, "the other message")


def test_held_entries_wait_for_release_also_over_a_restart(relay: Appliance, sink: Sink, refusing: Refusing) -> None:
    deferred(relay, "x@relay.test")
    deferred(relay, "x@both.test")
    refusing.taken = {"relay.test", "both.test"}
    assert relay.result("queue", "hold", "--all").stdout == "2 held\n"
    assert relay.result("queue", "hold", "--all").returncode == 1, "held already: nothing matched"
    assert {each["state"] for each in relay.queue()} == {"hold"}
    relay.run("queue", "retry", "--all")
    wait_for(lambda: relay.metrics()['relay_queue_entries{state="hold"}'] == 2, 5, "the gauge")
    assert relay.terminate() == 0
    assert {each["state"] for each in relay.queue()} == {"hold"}, "of the stopped appliance"
    relay.start()
    assert {each["state"] for each in relay.queue()} == {"hold"}
    assert not sink.messages
    assert relay.result("queue", "release", "--domain", "both.test").stdout == "1 released\n"
    wait_for(lambda: sink.messages, 10, "the released message")
    assert sink.messages[0].recipients == ("x@both.test",)
    relay.kill()
    relay.start()
    assert [each["state"] for each in relay.queue()] == ["hold"], "also after a crash"


def test_removed_entries_are_gone_and_nobody_is_told(relay: Appliance, sink: Sink, refusing: Refusing) -> None:
    queue_id = deferred(relay, "x@relay.test", "x@both.test")
    assert relay.result("queue", "remove", queue_id, "--domain", "relay.test").stdout == "1 removed\n"
    assert [each["recipients"] for each in relay.queue()] == [["x@both.test"]]
    relay.kill()
    relay.start()
    assert [each["recipients"] for each in relay.queue()] == [["x@both.test"]], "removed is removed after a crash"
    assert relay.result("queue", "remove", queue_id).stdout == "1 removed\n"
    assert relay.queue() == []
    assert "The queue is empty." in relay.run("queue", "list")
    assert relay.metrics()['relay_dsn_messages_total{kind="bounce"}'] == 0
    assert relay.metrics()['relay_delivery_recipients_total{outcome="discarded"}'] == 1
    assert [line["outcome"] for line in relay.deliveries("x@relay.test")] == ["deferred", "discarded"]


def test_exit_codes_on_a_running_appliance(relay: Appliance) -> None:
    assert relay.result("queue", "list").returncode == 0
    assert relay.result("queue", "show", "6H0K6QS9W0400").returncode == 1, "nothing matched"
    assert relay.result("queue", "remove", "6H0K6QS9W0400").returncode == 1
    assert relay.result("queue", "remove").returncode == 2, "everything by accident"
    assert relay.result("queue", "show", "xyz").returncode == 2
    relay.config.write_text("hostname = 3")
    assert relay.result("queue", "list").returncode == 3


def test_a_stopped_appliance_shows_the_same_and_takes_no_commands(relay: Appliance) -> None:
    first = deferred(relay, "x@relay.test", "x@both.test")
    deferred(relay, "y@both.test")
    running = relay.waiting()
    relay.kill()
    before = snapshot(relay.data)
    assert relay.waiting() == running
    assert "x@relay.test" in relay.run("queue", "show", first)
    assert len(relay.queue("--domain", "both.test")) == 2
    assert relay.result("queue", "show", "6H0K6QS9W0400").returncode == 1
    for operation in ("retry", "hold", "release", "remove"):
        assert relay.result("queue", operation, first).returncode == 4
    assert snapshot(relay.data) == before, "nothing was changed"


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_message_whose_next_hop_says_nothing_is_active(tmp_path: Path) -> None:
    """It accepts connections and never greets: the message is being tried, not waiting for its turn."""
    with socket.create_server(("127.0.0.3", 0)) as silent:
        more = f'\n[[relay_domain]]\ndomain = "mute.test"\nnext_hop = "smtp://127.0.0.3:{silent.getsockname()[1]}"\n'
        with Appliance(tmp_path, silent.getsockname()[1], more=more) as beside:
            beside.send("x@mute.test")
            wait_for(lambda: [e["state"] for e in beside.queue()] == ["active"], 10, beside.tail)
            (entry,) = beside.queue()
            assert (entry["waits_for"], entry.get("due_at")) == ("connection", None)


def test_a_message_for_a_suspended_next_hop_says_why_and_when_it_is_tried_next(tmp_path: Path) -> None:
    """Nobody listens there: no attempt was counted, and the reason and the time of the probe are those of the hop."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Appliance(tmp_path, port) as beside:
        beside.send("x@relay.test")
        wait_for(lambda: [e["state"] for e in beside.queue()] == ["deferred"], 10, beside.tail)
        (entry,) = beside.queue()
    assert (entry["waits_for"], entry["attempts"], entry["stage"]) == ("next hop", 0, "connect")
    assert "refused" in entry["text"]
    assert 0 < seconds_until(entry["due_at"]) < 80


CONTENT = b"Subject: \xc3\xa9\x1b[2J\r\nX-Y: z\r\n\r\n.dot\r\nbody \xff\r\n"


@pytest.mark.parametrize("lines", [0, 40_000], ids=["in the segment", "in a file of its own"])
@pytest.mark.parametrize("is_stopped", [False, True], ids=["running", "stopped"])
def test_the_content_of_a_message_that_waits_can_be_read(relay: Appliance, lines: int, is_stopped: bool) -> None:
    """An operator asked "what is this mail?" had to go without an answer, or read segments by hand."""
    content = CONTENT + b"x" * 70 * bool(lines) + b"\r\n" + (b"y" * 70 + b"\r\n") * lines
    queue_id = relay.send("x@relay.test", "x@both.test", content=content)
    wait_for(lambda: all(relay.deliveries(f"x@{each}.test") for each in ("relay", "both")), 10, "two outcomes")
    if is_stopped:
        assert relay.terminate() == 0
    octets = subprocess.run(relay.command("queue", "show", queue_id, "--raw"), capture_output=True, check=True).stdout
    assert octets.endswith(content), "octet for octet, and once though it has two next hops"
    assert octets.startswith(b"Received: ")
    headers = relay.run("queue", "show", queue_id, "--headers")
    assert "Subject: \xe9\\x1b[2J\nX-Y: z\n" in headers
    assert ".dot" not in headers
    shown = relay.run("queue", "show", queue_id, "--content")
    assert "\n.dot\nbody \\xff\n" in shown
    assert shown.count("X-Y: z") == 1
    (told, _) = (json.loads(line) for line in relay.run("queue", "show", queue_id, "--json", "--headers").splitlines())
    assert told["headers"].endswith("X-Y: z\n")


@pytest.mark.parametrize("words", [("list",), ("show", "--domain", "relay.test"), ("list", "--json")], ids=" ".join)
def test_nobody_reading_the_output_ends_the_command_as_usual(relay: Appliance, words: tuple[str, ...]) -> None:
    """``relay queue show ... | head`` warned that the worker's pipe was broken, or that the spool cannot be read."""
    deferred(relay, "x@relay.test", "y@relay.test")
    for is_stopped in (False, True):
        if is_stopped:
            assert relay.terminate() == 0
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "wb") as closed:
            done = subprocess.run(relay.command("queue", *words), stdout=closed, stderr=subprocess.PIPE, check=False)
        assert done.returncode == -signal.SIGPIPE
        assert done.stderr.decode() == (f"Not running; read from {relay.data}/spool.\n" if is_stopped else "")


def test_in_a_stopped_appliance_nothing_is_said_to_go_on(tmp_path: Path) -> None:
    """What nobody had tried yet was "being looked up in DNS", or waited for others, of a program that is not there."""
    with Appliance(tmp_path, free_port()) as relay:
        relay.send("x@relay.test")
        wait_for(lambda: [each["state"] for each in relay.queue()] == ["deferred"], 10, relay.tail)
        assert relay.terminate() == 0
        (entry,) = relay.queue()
        assert (entry["state"], entry["waits_for"]) == ("incoming", "start")
        assert "Relay does not run" in relay.run("queue", "list")
