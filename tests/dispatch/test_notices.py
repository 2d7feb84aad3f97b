"""relay/dispatch/notices.py: DSNs are made a few at a time, each once, and again when one could not be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay import dsn
from relay.dispatch import notices
from relay.dispatch.notices import Notices
from relay.queue.action import Notice
from tests.dispatch.world import World, refused


async def test_many_that_are_owed_at_once_are_made_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10: each that is made takes a task, a record and a DSN in memory."""
    most = 0
    make = Notices._make

    async def counted(self: Notices, notice: Notice) -> bool:
        nonlocal most
        most = max(most, len(self._tasks._running))
        return await make(self, notice)

    monkeypatch.setattr(notices, "MAKING", 3)
    monkeypatch.setattr(notices, "MOMENT_SECONDS", 0.3)
    monkeypatch.setattr(Notices, "_make", counted)
    async with World(tmp_path) as world:
        world.hop.answer = lambda recipient: refused() if recipient.startswith("x") else None
        for number in range(20):
            await world.submit(f"x{number}@relay.test".encode(), b"ok@relay.test")
        await world.idle()
        assert most == 3, "those that wait for others of their message count, too"
        assert len(world.reports()) == 20


async def test_one_that_cannot_be_made_is_owed_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown failure = temporary; a drain leaves it to the next start."""
    bounce, faults = dsn.bounce, [RuntimeError("odd")] * 2

    def odd(*arguments: Any, **options: Any) -> bytes:
        if faults:
            raise faults.pop()
        return bounce(*arguments, **options)

    monkeypatch.setattr(dsn, "bounce", odd)
    monkeypatch.setattr(notices, "RETRY_SECONDS", 0.01)
    async with World(tmp_path) as world:
        world.hop.answer = lambda _: refused()
        await world.submit(b"x@relay.test")
        await world.until(world.reports, "the bounce")
        await world.idle()
        assert len(world.events("dsn waits")) == 2
        faults += [RuntimeError("odd")] * 1000
        await world.submit(b"y@relay.test")
        await world.until(lambda: len(world.events("dsn waits")) > 2, "tried")
        await world.stop()
        assert len(world.reports()) == 1
        faults.clear()
        await world.start()
        await world.until(lambda: len(world.reports()) == 2, "the other bounce")
        await world.idle()
        assert world.events("dsn spooled")[-1]["dsn"] == "bounce"
