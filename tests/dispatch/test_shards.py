"""Several shards: each takes the recipients that hash to it, of every message."""

from __future__ import annotations

from pathlib import Path

from relay.config.model import RelayDomain
from relay.mail.next_hop import NextHop
from relay.queue.routing import shard_of
from tests.dispatch.world import DAY, Hop, World, put_off


def domains_of_both_shards() -> tuple[RelayDomain, RelayDomain]:
    """Two domains whose next hops hash to shard 0 and 1 of two."""
    hops = [NextHop("smtp", f"hop{number}.test", 25) for number in range(100)]
    first, second = (next(hop for hop in hops if shard_of(str(hop), 2) == shard) for shard in (0, 1))
    return RelayDomain("relay.test", first), RelayDomain("other.test", second)


def world_of_two(folder: Path) -> tuple[World, Hop, Hop]:
    domains = domains_of_both_shards()
    world = World(folder, shards=2, relay_domains=domains)
    first, second = Hop(), Hop()
    world.hops = {domains[0].next_hop.host: first, domains[1].next_hop.host: second}
    return world, first, second


async def test_messages_with_recipients_in_both_shards_reach_both_once(tmp_path: Path) -> None:
    world, first, second = world_of_two(tmp_path)
    async with world:
        for number in range(50):
            name = f"{number}".encode()
            await world.submit(b"a" + name + b"@relay.test", b"x@other.test", b"y@other.test", shard=number % 2)
        await world.idle()
        assert sorted(first.messages) == sorted((f"a{number}@relay.test",) for number in range(50))
        assert second.messages == [("x@other.test", "y@other.test")] * 50
        for shard, others in zip(world.shards, ("a", "xy"), strict=True):
            assert shard.metric("relay_delivery_recipients_total", "delivered") == 50 * len(others)


async def test_a_change_of_the_number_of_shards_loses_nothing(tmp_path: Path) -> None:
    """Entries move to other shards: each is taken by one of the new ones, with what was tried."""
    world, first, second = world_of_two(tmp_path)
    first.answer = second.answer = lambda _: put_off()

    def state() -> list[tuple[str, int, int, int]]:
        return sorted((each.queue_id, each.count, each.attempts, each.due_at) for each in world.entries())

    async with world:
        for number in range(10):
            names = [f"{letter}{number}".encode() for letter in "abc"]
            await world.submit(names[0] + b"@relay.test", names[1] + b"@other.test", names[2] + b"@other.test")
        await world.until(lambda: [each.attempts for each in world.entries()] == [1] * 20, "tried")
        before = state()
        for shards in (1, 3):
            await world.stop()
            await world.start(shards)
            assert state() == before
        first.answer = second.answer = lambda _: None
        await world.pass_time(DAY)
        await world.idle()
        assert len(first.messages) == 10
        assert sorted(second.messages) == [(f"b{number}@other.test", f"c{number}@other.test") for number in range(10)]
