"""The number of delivery workers is changed by a reload (more of shards in tests/dispatch/test_shards.py)."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from relay.queue.routing import shard_of
from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink


def sinks_of_both_shards() -> tuple[Sink, Sink]:
    """Two sinks that are not started, whose next hops hash to shard 0 and 1."""
    found: dict[int, Sink] = {}
    tried = []
    while len(found) < 2:
        sink = Sink().__enter__()
        tried.append(sink)
        found.setdefault(shard_of(f"smtp://127.0.0.1:{sink.port}", 2), sink)
    for sink in tried:
        sink.__exit__()
    return found[0], found[1]


def test_a_change_of_the_number_of_delivery_workers_loses_nothing(tmp_path: Path) -> None:
    """Entries move to other shards: each is taken by one of the new workers, with what was tried."""
    first, second = sinks_of_both_shards()
    more = (
        f'[queue]\nretry_first = "1h"\nretry_max = "1h"\n'
        f'\n[[relay_domain]]\ndomain = "other.test"\nnext_hop = "smtp://127.0.0.1:{second.port}"\n'
    )
    first.answer = second.answer = lambda stage, argument: "450 4.2.0 later" if stage == "rcpt" else None
    with first, second, Appliance(tmp_path, first.port, delivery_workers=2, more=more) as relay:
        for number in range(10):
            relay.send(f"a{number}@relay.test", f"b{number}@other.test", f"c{number}@other.test")
        wait_for(lambda: [entry["attempts"] for entry in relay.queue()] == [1] * 20, 10, "tried")
        before = relay.waiting()
        for generation, workers in ((2, 1), (3, 3)):
            relay.write_config(delivery_workers=workers)
            os.kill(relay.pid, signal.SIGHUP)
            wait_for(partial(relay.serves, generation), 20, "reloaded")
            wait_for(lambda: len(relay.queue()) == 20, 10, lambda: f"{len(relay.queue())}\n{relay.tail()}")
            assert relay.waiting() == before
        first.answer = second.answer = lambda stage, argument: None
        relay.run("queue", "retry", "--all")
        wait_for(lambda: len(first.messages) == len(second.messages) == 10, 10, "delivered")
        wait_for(lambda: not relay.queue(), 10, "an empty queue")
        assert sorted(message.recipients for message in second.messages) == [
            (f"b{number}@other.test", f"c{number}@other.test") for number in range(10)
        ]
