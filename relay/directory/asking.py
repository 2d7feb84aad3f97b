"""Sources that have to be asked, and what is remembered of their answers.

Theory: a source may answer at once (then it is trusted to be as quick as a table, and nothing is remembered), or with
an awaitable. Each address is asked for once at a time, however many sessions wait; answers stay for ``fresh`` seconds,
up to a bound. A source that fails, or is silent for ``deadline`` seconds, makes the address one that is not known now;
that is not remembered.

Belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

from relay.directory.resolution import SOURCE_FAILED, NotKnownNow, Resolution

FRESH: Final = 60.0
REMEMBERED: Final = 10_000
DEADLINE: Final = 10.0
UNDER_WAY: Final = 1_000
"""Addresses that are asked for at the same time; any more are not known now."""


class Source(Protocol):
    """Where addresses are asked for."""

    @property
    def name(self) -> str:
        """For the log."""

    def covers(self, domain: bytes) -> bool:
        """Whether it is asked about addresses at ``domain``, one of ours; asked once, when the directory is made."""

    def find(self, address: bytes) -> Resolution | Awaitable[Resolution | None] | None:
        """What ``address`` (in lower case, with and then without its sub-address) means. None when it knows nothing of
        it and the next source is to be asked. What it raises makes the address one that is not known now."""


Found = Resolution | None | Awaitable[Resolution | None]
OnFault = Callable[[str, BaseException], None]
_Questions = Iterator[tuple[Source, bytes]]


class Asked:
    """The sources of some domains, in their order."""

    def __init__(
        self,
        sources: Sequence[Source],
        on_fault: OnFault,
        *,
        fresh: float = FRESH,
        remembered: int = REMEMBERED,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``on_fault(name, fault)`` gets what a source raised, and TimeoutError."""
        self._sources = tuple(sources)
        self._on_fault = on_fault
        self._fresh = fresh
        self._limit = remembered
        self._deadline = deadline
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Resolution | None]] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[Resolution | None]] = {}

    def find(self, address: bytes, base: bytes) -> Found:
        """What ``address`` means, or ``base``, which is ``address`` without its sub-address; None when no source knows
        either."""
        kept = self._known.get(address)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        task = self._under_way.get(address)
        if task is not None:
            return asyncio.shield(task)
        questions = ((source, each) for each in dict.fromkeys((address, base)) for source in self._sources)
        for source, each in questions:
            found = self._ask(source, each)
            if isinstance(found, Resolution):
                return found
            if found is not None:
                return self._wait(address, source, found, questions)
        return None

    def is_known(self, address: bytes) -> bool:
        """Whether ``find`` would answer from memory."""
        kept = self._known.get(address)
        return kept is not None and self._clock() < kept[0]

    def _wait(
        self, address: bytes, source: Source, answer: Awaitable[Resolution | None], questions: _Questions
    ) -> Found:
        if len(self._under_way) >= UNDER_WAY:
            _give_up(answer)
            return SOURCE_FAILED
        task = asyncio.ensure_future(self._rest(source, answer, questions))
        self._under_way[address] = task
        task.add_done_callback(lambda done: self._answered(address, done))
        return asyncio.shield(task)

    async def _rest(
        self, source: Source, answer: Awaitable[Resolution | None], questions: _Questions
    ) -> Resolution | None:
        """What comes of ``answer`` of ``source``, and of the further questions."""
        try:
            async with asyncio.timeout(self._deadline):
                found = await answer
                while found is None:
                    source, address = next(questions, (source, b""))
                    if not address:
                        return None
                    later = self._ask(source, address)
                    found = later if later is None or isinstance(later, Resolution) else await later
                return found
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            self._on_fault(source.name, fault)
            return SOURCE_FAILED

    def _ask(self, source: Source, address: bytes) -> Found:
        try:
            return source.find(address)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            self._on_fault(source.name, fault)
            return SOURCE_FAILED

    def _answered(self, address: bytes, done: asyncio.Task[Resolution | None]) -> None:
        del self._under_way[address]
        if done.cancelled() or isinstance(found := done.result(), NotKnownNow):
            return
        self._known[address] = (self._clock() + self._fresh, found)
        self._known.move_to_end(address)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)


def _give_up(answer: Awaitable[Resolution | None]) -> None:
    """A question that nobody waits for."""
    close = getattr(answer, "cancel", None) or getattr(answer, "close", None)
    if close is not None:
        close()


async def or_else(answer: Awaitable[Resolution | None], otherwise: Callable[[], Resolution]) -> Resolution:
    """What ``answer`` comes to, or ``otherwise()`` when no source knew."""
    found = await answer
    return otherwise() if found is None else found
