"""relay/dispatch/dispatcher.py: its duties, its end, and what comes on its socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.config.queue import QueueSettings
from relay.dispatch import outbound
from relay.dispatch.log_links import socket_path
from relay.net.frames import FrameProtocol, Message
from tests.dispatch.world import World, put_off
from tests.support.waiting import settled


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.0])
async def test_what_became_of_messages_is_synced_in_the_background_and_an_idle_journal_is_left_alone(
    tmp_path: Path, seconds: float
) -> None:
    """``queue.journal_sync``; 0: when the kernel does it."""
    async with World(tmp_path, queue=QueueSettings(journal_sync=seconds)) as world:
        (shard,) = world.shards
        sync = shard.parts.journaling.sync_soon
        duties = [every for every, duty in shard.dispatcher.duties() if duty == sync]
        assert duties == ([seconds] if seconds else [])
        await world.until(lambda: shard.metric("relay_spool_journal_compactions_total") == 1, "that of the start")
        before = shard.metric("relay_spool_journal_syncs_total", "synced")
        await world.submit(b"b@relay.test")
        await world.idle()
        await world.written()
        sync()
        await world.until(lambda: not shard.parts.journaling.journal.is_dirty, "synced")
        sync()
        await asyncio.sleep(0)
        assert shard.metric("relay_spool_journal_syncs_total", "synced") == before + 1


async def test_a_drain_takes_nothing_more_and_waits_for_what_may_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DRAIN_PATIENCE", 0.05)
    async with World(tmp_path) as world:
        world.hop.holds = True
        for number in range(10):
            await world.submit(f"x{number}@relay.test".encode())
        await world.until(lambda: world.hop.held, "attempts under way")
        under_way = len(world.hop.held)
        (shard,) = world.shards
        stopping = asyncio.ensure_future(world.stop())
        await world.until(lambda: shard.dispatcher._outbound._feeds.is_draining, "a drain")
        world.hop.release()
        await stopping
        assert len(world.hop.messages) == under_way < 10
        await world.start()
        await world.idle()
        assert sorted(world.hop.recipients) == [f"x{number}@relay.test" for number in range(10)], "none twice"


async def test_what_is_not_for_dispatch_goes_to_whoever_asked_for_it_and_what_nobody_knows_ends_the_link(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        (shard,) = world.shards
        closed = asyncio.get_running_loop().create_future()

        def received(_link: FrameProtocol, _message: Message) -> None:
            raise AssertionError("nothing is answered")

        _, link = await asyncio.get_running_loop().create_unix_connection(
            lambda: FrameProtocol(received, lambda _, fault: closed.set_result(fault)),
            str(socket_path(world.config.run_dir, 0)),
        )
        link.send(("queue", "list", {}))
        await world.until(lambda: shard.requests == [("queue", "list", {})], "passed on")
        link.close()
        await closed


async def test_a_damaged_record_is_reported_and_the_others_are_delivered(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.hop.answer = lambda _: put_off()
        await world.submit(b"a@relay.test", content=b"Subject: damaged\r\n\r\nhere\r\n")
        await world.submit(b"b@relay.test")
        await world.until(lambda: len(world.deliveries("b@relay.test")) == 1, "tried")
        await world.written()
        await world.stop()
        world.hop.answer = lambda _: None
        for path in world.config.spool_dir.glob("log-*/*.seg"):
            octets = path.read_bytes()
            path.write_bytes(octets.replace(b"Subject: damaged", b"Subject: DAMAGED"))
        await world.start()
        assert [fields["reason"] for fields in world.events("corrupt record")]
        assert world.metric("relay_spool_corrupt_records_total") == 1
        await world.in_time(lambda: world.hop.recipients, 120.0, "the other one")
        assert world.hop.recipients == ["b@relay.test"]


async def test_a_drain_opens_no_connection(tmp_path: Path) -> None:
    """One that is opened behind its back is still there when the worker closes its poll, which then fails."""
    async with World(tmp_path) as world:
        (shard,) = world.shards
        shard.dispatcher._outbound._feeds.is_draining = True
        await world.submit(b"b@relay.test")
        await world.until(world.entries, "queued")
        await settled()
        assert world.hop.connections == 0
