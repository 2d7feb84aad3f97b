"""An entry of a queue, as commands answer with it."""

from __future__ import annotations

from typing import Final

from relay.control.vocabulary import QueueEntry

NOW: Final = 1_700_000_000
"""Seconds since the epoch."""
ENTRY: Final = QueueEntry(
    queue_id="06A00000000AA",
    state="deferred",
    waits_for="retry",
    reverse_path="you@source.test",
    recipients=("a@b.test", "c@b.test", "d@b.test", "e@b.test"),
    size=2048,
    received_at=(NOW - 7200) * 1_000_000,
    due_at=(NOW + 90) * 1_000_000,
    attempts=3,
    code=0,
    status="4.4.1",
    text="connect: \x1b[31mrefused",
    stage="connect",
    next_hop="smtp://mx.b.test:25",
    record=(1, 2, 64),
)
