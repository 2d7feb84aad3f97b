"""relay/dispatch/mx_resolution.py: where a domain goes, how many are looked up at once, and what a fault does."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.dispatch import mx_resolution
from relay.dispatch.mx_resolution import MxResolution
from relay.dispatch.remote import MxHosts, RemoteGroup
from relay.dispatch.shard import Place
from relay.dispatch.tasks import Tasks
from relay.mail.outcome import DEFERRED, Outcome, deferred, failed
from relay.queue.routing import shard_of

HOSTS = ("b.hosts.test", "a.hosts.test")
GROUP = "mx-set:a.hosts.test,b.hosts.test"


class World:
    """In place of the scheduler, the log and the resolver."""

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.events: list[str] = []
        self.tasks = Tasks()
        self.changes = 0
        self.answer: dict[str, tuple[str, ...] | Outcome | Exception] = {}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        shard_ = SimpleNamespace(
            place=Place(shard, shards, 1), scheduler=self, sink=self, wakeup=self, tasks=self.tasks
        )
        self.resolution = MxResolution(cast("Any", shard_), self.exchangers)

    async def exchangers(self, domain: str) -> tuple[str, ...] | Outcome:
        self.asked.append(domain)
        await self.gate.wait()
        answer = self.answer.get(domain, HOSTS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def changed(self) -> None:
        self.changes += 1

    def resolved(self, *arguments: Any) -> None:
        self.calls.append(("resolved", *arguments[:3]))

    def unresolved(self, key: str, outcome: Outcome, *_: Any) -> None:
        self.calls.append(("unresolved", key, outcome))

    def rejected(self, key: str, outcome: Outcome, _until: int) -> None:
        self.calls.append(("rejected", key, outcome))

    def event(self, _level: str, name: str, **_fields: object) -> None:
        self.events.append(name)

    async def settle(self) -> None:
        await self.tasks.wait(10)


async def test_domains_with_one_set_of_hosts_go_to_one_group_that_keeps_their_order() -> None:
    world = World()
    world.answer["two.test"] = HOSTS[::-1]
    for domain in ("one.test", "two.test"):
        world.resolution.resolve(f"mx:{domain}", domain)
    await world.settle()
    assert world.calls == [
        ("resolved", "mx:one.test", GROUP, MxHosts(HOSTS)),
        ("resolved", "mx:two.test", GROUP, MxHosts(HOSTS[::-1])),
    ]
    assert world.changes == 2


async def test_a_group_that_hashes_to_another_shard_is_a_remote_one() -> None:
    there = shard_of(GROUP, 2)
    world = World(1 - there, 2)
    world.resolution.resolve("mx:one.test", "one.test")
    await world.settle()
    assert world.calls == [("resolved", "mx:one.test", GROUP, RemoteGroup(there, GROUP, MxHosts(HOSTS)))]


async def test_a_domain_that_takes_no_mail_is_rejected_and_one_that_cannot_be_looked_up_waits() -> None:
    world = World()
    no, later = failed("5.1.10", "null MX", "dns"), deferred("4.4.3", "SERVFAIL", "dns")
    world.answer |= {"null.test": no, "fail.test": later}
    for domain in world.answer:
        world.resolution.resolve(domain, domain)
    await world.settle()
    assert world.calls == [("rejected", "null.test", no), ("unresolved", "fail.test", later)]
    assert world.events == ["domain not resolved"] * 2


async def test_a_fault_of_ours_counts_as_temporary_and_senders_learn_nothing_of_it() -> None:
    """I8."""
    world = World()
    world.answer["odd.test"] = RuntimeError("/etc/secret")
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    world.resolution.resolve("odd.test", "odd.test")
    await world.settle()
    ((_, _, outcome),) = world.calls
    assert (outcome.kind, "secret" in outcome.text) == (DEFERRED, False)
    assert faults == [world.answer["odd.test"]]


async def test_so_many_domains_are_looked_up_at_once_and_the_others_in_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I10: a million domains that are due at once must not take a million sockets."""
    monkeypatch.setattr(mx_resolution, "LOOKUPS", 3)
    world = World()
    world.gate.clear()
    domains = [f"d{number}.test" for number in range(10)]
    for domain in domains:
        world.resolution.resolve(domain, domain)
    await asyncio.sleep(0)
    assert world.asked == domains[:3]
    world.gate.set()
    await world.settle()
    assert world.asked == domains
    assert sorted(key for _, key, *_ in world.calls) == domains
    world.gate.clear()
    for domain in domains[:4]:
        world.resolution.resolve(domain, domain)
    await asyncio.sleep(0)
    assert world.asked[10:] == domains[:3], "and as many the next time"
    world.tasks.cancel()
