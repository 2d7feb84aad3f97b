"""The wall clock is set while messages wait: no retry waits for it, no message is given up by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dispatch.world import DAY, HOUR, MINUTE, World, put_off


async def tried(world: World, times: int) -> None:
    await world.until(lambda: all(each.attempts == times for each in world.entries()), "tried again")


@pytest.mark.parametrize("ahead", [-DAY, 30 * DAY])
async def test_what_waits_and_what_comes_afterwards_is_tried_on_time(tmp_path: Path, ahead: int) -> None:
    """A day back stopped all retries for a day; a month forward would be beyond queue.lifetime."""
    async with World(tmp_path) as world:
        world.hop.answer = lambda _: put_off()
        await world.submit(b"before@relay.test")
        await world.until(lambda: world.deliveries("before@relay.test"), "tried")
        await world.set_wall_clock(ahead)
        await world.submit(b"after@relay.test")
        ((fields),) = world.events("clock was set")
        assert abs(fields["seconds"] - abs(ahead)) <= 1
        for tries in range(1, 4):
            await tried(world, tries)
            await world.pass_time(3 * MINUTE * 2**tries)
        world.hop.answer = lambda _: None
        await world.pass_time(HOUR)
        await world.idle()
        assert sorted(world.hop.recipients) == ["after@relay.test", "before@relay.test"]
        for name in ("before", "after"):
            assert set(world.outcomes(f"{name}@relay.test")) == {"deferred", "delivered"}
        assert world.metric("relay_queue_clock_jumps_total", "forward" if ahead > 0 else "back") == 1


async def test_after_a_restart_with_a_clock_that_was_ahead_nothing_waits_for_that_time(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.set_wall_clock(20 * DAY)
        world.hop.answer = lambda _: put_off()
        await world.submit(b"b@relay.test")
        await world.until(lambda: world.deliveries("b@relay.test"), "tried")
        await world.stop()
        world.hop.answer = lambda _: None
        await world.set_wall_clock(-20 * DAY)
        await world.start()
        await world.idle()
        assert world.hop.recipients == ["b@relay.test"]


async def test_the_journal_says_after_a_jump_when_entries_are_due(tmp_path: Path) -> None:
    """A crash after the jump must not bring the old instants back."""
    async with World(tmp_path) as world:
        world.hop.answer = lambda _: put_off()
        await world.submit(b"b@relay.test")
        await world.until(lambda: world.deliveries("b@relay.test"), "tried")
        await world.until(lambda: world.metric("relay_spool_journal_compactions_total") == 1, "that of the start")
        await world.set_wall_clock(DAY)
        await world.until(lambda: world.metric("relay_spool_journal_compactions_total") == 2, "a journal of now")
        (before,) = [each.due_at for each in world.entries()]
        await world.crash()
        await world.start()
        (after,) = [each.due_at for each in world.entries()]
        assert after == before
