"""``relay queue`` on a running appliance, and read-only on a stopped one; its exit codes are part of its interface."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
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
    assert 2800 < entry["due_at"] / 1e6 - time.time() < 4400
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
            assert (entry["waits_for"], entry["due_at"]) == ("connection", 0)


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
    assert 0 < entry["due_at"] / 1e6 - time.time() < 80
