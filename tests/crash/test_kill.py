"""I1: kill -9 of any process at any instant loses no message that was answered 250.

Each round puts load on a real appliance, kills one process (or all of them through the supervisor) at a random
moment, and goes on. In the end every acknowledged message is at the sink. ``make crash ROUNDS=n`` runs it longer.
The seed is printed, so that a failing run can be looked at again.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

from tests.support.appliance import ANYTHING, Appliance, wait_for
from tests.support.sink import Sink
from tests.support.source import Source, name_of
from tests.support.waiting import pause

ROUNDS = int(os.environ.get("ROUNDS", "20"))
TARGETS = ("smtp", "smtp", "delivery", "delivery", "supervisor", "two")


def test_every_acknowledged_message_survives_kill_9_of_any_process(tmp_path: Path) -> None:
    """DESIGN section 8, I1 and I3."""
    seed = int(os.environ.get("SEED", str(random.randrange(1 << 30))))
    dice = random.Random(seed)
    print(f"SEED={seed} ROUNDS={ROUNDS}")
    acknowledged: set[str] = set()
    killed: Counter[str] = Counter()
    with Sink() as sink, Appliance(tmp_path, sink.port, segment_size="2MiB", expects=ANYTHING) as relay:
        for number in range(ROUNDS):
            source = Source(
                relay.smtp_port,
                sessions=8,
                messages=10**9,
                prefix=f"r{number}",
                size=dice.choice((300, 2000, 20000)),
                ahead=dice.choice((1, 1, 7)),
                recipient=f"someone{number}@relay.test",
            )
            source.start()
            pause(dice.uniform(0.05, 0.7))
            target = TARGETS[number % len(TARGETS)]
            killed[target] += kill(relay, target, dice)
            pause(dice.uniform(0.05, 0.4))
            source.stop.set()
            source.join(30)
            acknowledged |= source.acknowledged
        relay.wait_ready()
        wait_for(
            lambda: (
                len(sink.messages) >= len(acknowledged)  # cheap: looking at each takes time from the sink
                and acknowledged <= {name_of(message.content) for message in sink.messages}
            ),
            60,
            lambda: f"{missing(acknowledged, sink)} of {len(acknowledged)} not at the sink\n{relay.tail()}",
        )
        counts = Counter(name_of(message.content) for message in sink.messages)
        twice = sum(1 for count in counts.values() if count > 1)
        print(f"{len(acknowledged)} acknowledged, {len(counts)} arrived, {twice} more than once, killed {dict(killed)}")
        assert len(acknowledged) > ROUNDS, "the load never got through: nothing was shown"
        assert all(killed[target] for target in TARGETS[: max(1, min(ROUNDS, len(TARGETS)))])
        assert not any(event.get("event") == "crash_loop" for event in relay.events())


def missing(acknowledged: set[str], sink: Sink) -> list[str]:
    """A few of the names that did not arrive."""
    return sorted(acknowledged - {name_of(message.content) for message in sink.messages})[:10]


def kill(relay: Appliance, target: str, dice: random.Random) -> int:
    """Kills what ``target`` names; returns how many processes were hit."""
    if target == "supervisor":
        relay.kill()
        relay.start()
        return 1
    workers = [pid for pid, name in relay.workers().items() if target == "two" or target in name]
    dice.shuffle(workers)
    chosen = workers[: 2 if target == "two" else 1]
    for pid in chosen:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(chosen)
