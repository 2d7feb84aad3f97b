"""A message whose local delivery hangs, or takes the worker with it, in the real appliance: others' mail goes on, and
the second time it is held with a reason.

What hangs: its script makes a mailbox, and the test holds the lock on the account's folder, as a program would that
stands still.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink

ANN, BOB = "ann@local.test", "bob@local.test"
POISON = "Subject: poison\r\n\r\nhello\r\n"
SCRIPT = 'require ["fileinto", "mailbox"]; if header "subject" "poison" { fileinto :create "Made"; }'
MORE = '[queue]\nretry_first = "1h"\n[delivery]\nlocal_timeout = "{seconds}s"\n'
BUSY = 'relay_store_threads{state="busy"}'


class Poisoned(Appliance):
    """An appliance in which deliveries of POISON to ann hang."""

    queue_id = ""
    descriptor = -1

    def poison(self) -> None:
        folder = self.data / "mail" / "local.test" / "ann"
        (folder / "sieve").mkdir(parents=True)
        (folder / "sieve" / "x.sieve").write_text(SCRIPT)
        (folder / "sieve" / "active").symlink_to("x.sieve")
        self.descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        self.queue_id = self.send(ANN, content=POISON)

    def heal(self) -> None:
        os.close(self.descriptor)
        self.run("queue", "release", self.queue_id)
        made = self.data / "mail" / "local.test" / "ann" / ".Made" / "new"
        wait_for(lambda: made.exists() and len(list(made.iterdir())) == 1, 20, self.tail)
        wait_for(lambda: not self.queue(), 20, self.tail)

    def retry(self) -> None:
        self.run("queue", "retry", self.queue_id)

    def told(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.events() if line.get("event") == event]

    def gets(self, account: str, count: int) -> None:
        self.send(account)
        wait_for(lambda: len(self.stored(account)) == count, 20, self.tail)

    def delivery_worker(self) -> int:
        return next((pid for pid, name in self.workers().items() if name.startswith("delivery")), 0)

    def has_another_worker_than(self, pid: int) -> None:
        wait_for(lambda: self.delivery_worker() not in (0, pid), 20, self.tail)

    def is_held(self, why: str) -> None:
        wait_for(lambda: [each["state"] for each in self.queue()] == ["hold"], 20, self.tail)
        (entry,) = self.queue()
        assert str(entry["text"]).startswith("set aside after it happened 2 times: ")
        assert why in str(entry["text"])
        assert "set aside after it happened 2 times" in self.run("queue", "show", self.queue_id)
        (line,) = self.told("message set aside")
        assert (line["level"], line["queue_id"], line["mailbox"]) == ("error", self.queue_id, ANN)
        assert self.metrics()["relay_delivery_set_aside_total"] == 1


Make = Callable[[int], Poisoned]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with Sink() as sink:

        def made(seconds: int) -> Poisoned:
            appliance = Poisoned(
                tmp_path, sink.port, more=MORE.format(seconds=seconds), expects=("message set aside", "worker lost")
            )
            appliance.add_account(ANN)
            appliance.add_account(BOB)
            return appliance

        yield made


def test_a_delivery_that_hangs_is_given_up_and_the_second_time_its_message_is_held(make: Make) -> None:
    with make(2) as relay:
        relay.poison()
        relay.gets(BOB, 1)
        relay.gets(ANN, 1)
        wait_for(lambda: relay.told("local delivery suspected"), 20, relay.tail)
        (line,) = relay.told("local delivery suspected")
        assert (line["cause"], line["queue_id"], line["mailbox"]) == ("hung", relay.queue_id, ANN)
        wait_for(lambda: [each["state"] for each in relay.queue()] == ["deferred"], 20, relay.tail)
        assert relay.metrics()['relay_delivery_suspects_total{cause="hung"}'] == 1
        relay.retry()
        relay.is_held("did not come to an end")
        relay.gets(BOB, 2)
        relay.terminate()
        relay.start()
        (entry,) = relay.queue()
        assert (entry["state"], entry["queue_id"]) == ("hold", relay.queue_id)
        assert "did not come to an end" in entry["text"]
        relay.heal()
        assert (len(relay.stored(ANN)), len(relay.stored(BOB))) == (1, 2)


def test_a_message_that_the_worker_dies_with_is_tried_alone_and_the_second_time_held(make: Make) -> None:
    """A kill stands for a crash, and for the end of a worker that hangs: nothing of the process's own is left."""
    with make(60) as relay:
        relay.poison()
        for _ in range(2):
            wait_for(lambda: relay.metrics()[BUSY] == 1, 20, relay.tail)
            pid = relay.delivery_worker()
            os.kill(pid, signal.SIGKILL)
            relay.has_another_worker_than(pid)
            wait_for(relay.queue, 20, relay.tail)
        relay.is_held("the delivery worker died")
        relay.gets(BOB, 1)
        relay.gets(ANN, 1)
        relay.heal()
        assert (len(relay.stored(ANN)), len(relay.stored(BOB))) == (1, 1)
