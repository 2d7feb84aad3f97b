"""What the queue commands do to the entries of one worker, without sockets."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from relay.control import queue_control
from relay.control.queue_control import QueueControl
from relay.control.registry import HOLD, LIST, RELEASE, REMOVE, RETRY, SHOW, Command
from relay.control.vocabulary import QueueEntry, Selection
from relay.mail.envelope import Envelope
from relay.mail.next_hop import NextHop
from relay.mail.queue_id import encode
from relay.queue.entry import GONE, IS_FOREIGN
from relay.queue.group import Settings
from relay.queue.intake import Intake
from relay.queue.routing import Router
from relay.queue.scheduler import Scheduler
from tests.queue.world import BEGIN, HOUR, policy
from tests.support.directories import local_directory

HOPS = {"relay.test": NextHop("smtp", "10.0.0.1", 25), "other.test": NextHop("smtp", "10.0.0.2", 25)}


class Shard:
    """A scheduler with entries, and fakes of what stands around it that note what they are given."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(Settings(), policy(), BEGIN)
        self.intake = Intake(self.scheduler, Router(local_directory(), HOPS))
        self.envelopes: dict[int, Envelope] = {}
        self.journal: list[Any] = []
        self.ended: list[Any] = []
        self.flushed = 0
        self.changed = 0
        self.control = QueueControl(
            self.scheduler,
            SimpleNamespace(load=self.load),  # type: ignore[arg-type]
            SimpleNamespace(add=self.journal.extend, flush=self.flush),  # type: ignore[arg-type]
            SimpleNamespace(ended=self.ended.append),  # type: ignore[arg-type]
            SimpleNamespace(how=None),  # type: ignore[arg-type]
            self.note_change,
        )

    def add(self, number: int, *recipients: bytes, received_at: int = BEGIN) -> str:
        envelope = Envelope(encode(number), received_at, b"a@b.test", recipients or (b"x@relay.test",), 0, 100)
        self.envelopes[number] = envelope
        self.intake.record(1, 2, number, 100, envelope, BEGIN)
        return envelope.queue_id

    def load(self, log: int, segment: int, offset: int) -> Any:
        if offset not in self.envelopes:
            raise OSError
        return SimpleNamespace(record=SimpleNamespace(envelope=self.envelopes[offset]))

    def flush(self) -> None:
        self.flushed += 1

    def note_change(self) -> None:
        self.changed += 1

    def parts(self, command: Command[Any, Any], **selection: Any) -> list[QueueEntry | None]:
        async def gathered() -> list[QueueEntry | None]:
            return [part async for part in self.control.perform(command, Selection(**selection))]

        return asyncio.run(gathered())

    def run(self, command: Command[Any, Any], **selection: Any) -> list[QueueEntry]:
        return [part for part in self.parts(command, **selection) if part is not None]


@pytest.mark.parametrize(("run", "portion"), [(7, 5), (1, 1), (1000, 1000)])
def test_entries_come_by_queue_id_however_they_are_cut_and_the_loop_turns_between(
    monkeypatch: pytest.MonkeyPatch, run: int, portion: int
) -> None:
    """A list of a million entries was sorted in one go, and deliveries stood still meanwhile."""
    monkeypatch.setattr(queue_control, "RUN", run)
    monkeypatch.setattr(queue_control, "PORTION", portion)
    shard = Shard()
    numbers = random.Random(1).sample(range(1, 10_000), 100)
    ids = [shard.add(number) for number in numbers]
    parts = shard.parts(LIST)
    assert [part.queue_id for part in parts if part is not None] == sorted(ids)
    assert parts.count(None) == -(-100 // run) + 100 // portion
    longest = max(len(together) for together in "".join("." if part else " " for part in parts).split())
    assert longest <= portion


def test_an_entry_that_is_over_before_its_turn_is_passed_over_and_one_of_another_worker_is_not_ours() -> None:
    shard = Shard()
    for number in (1, 2, 3):
        shard.add(number)
    first, second, _ = sorted(shard.scheduler.places.entries(), key=lambda entry: entry.number)
    second.flags |= IS_FOREIGN

    async def listed() -> list[str]:
        parts = shard.control.perform(LIST, Selection())
        assert await anext(parts) is None
        shard.scheduler.places.forget(first, BEGIN)
        assert first.state == GONE
        return [part.queue_id async for part in parts if part is not None]

    assert asyncio.run(listed()) == [encode(3)]


def test_each_command_does_what_it_says() -> None:
    shard = Shard()
    one, two = shard.add(1), shard.add(2, b"x@relay.test", b"y@other.test")
    assert [entry.state for entry in shard.run(HOLD, queue_id=one)] == ["hold"]
    assert shard.journal == [("held", 1, 2, 1, None)]
    assert shard.run(HOLD, queue_id=one) == [], "held already"
    assert shard.run(HOLD, domain="nosuch.test") == []
    assert [entry.state for entry in shard.run(SHOW, queue_id=one)] == ["hold"]
    assert [entry.waits_for for entry in shard.run(RELEASE)] == ["turn"]
    assert len(shard.run(RETRY)) == 3
    assert [entry.recipients for entry in shard.run(REMOVE, queue_id=two, domain="other.test")] == [("y@other.test",)]
    assert [settled.outcomes[0].text for settled in shard.ended] == ["removed by an operator"]
    assert [entry.queue_id for entry in shard.run(LIST)] == [one, two]
    assert shard.flushed == shard.changed == 6, "after each command that changes something, found or not"


def test_entries_are_chosen_by_age_and_a_record_that_cannot_be_read_is_shown_as_corrupt() -> None:
    shard = Shard()
    shard.add(1)
    del shard.envelopes[1]
    (entry,) = shard.run(LIST)
    assert (entry.state, entry.status, entry.recipients) == ("corrupt", "5.3.0", ())
    assert shard.run(LIST, domain="relay.test") == [], "nobody knows whom it is for"
    shard.add(2, received_at=BEGIN - HOUR)
    assert encode(2) in {entry.queue_id for entry in shard.run(LIST, older_than=1.0)}
    assert shard.run(LIST, older_than=1e9) == []


def test_a_queue_id_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="queue id"):
        Shard().run(SHOW, queue_id="xyz")


def test_a_command_that_nobody_reads_any_more_ends_and_what_it_did_is_journaled() -> None:
    shard = Shard()
    for number in range(1, 4):
        shard.add(number)

    async def begun() -> None:
        parts: Any = shard.control.perform(HOLD, Selection())
        while await anext(parts) is None:
            pass
        await parts.aclose()

    asyncio.run(begun())
    assert len(shard.journal) == shard.flushed == shard.changed == 1
