"""Domains whose next hop is an MX set: asked for when mail for them is due, remembered while the answer holds.

Theory: entries of such a domain have it as their ``group`` for good, so that an attempt hours later follows the MX of
that hour. When an entry is due it goes to the group that the domain was resolved to; without a valid answer it waits
here. Domains with the same MX set are resolved to the same group and share its connections, rate and suspension.

A domain whose lookup fails temporarily is suspended like a dead next hop, and no attempt is counted.

Not here: the lookup and what its answer means (relay/delivery/mx.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from relay.mail.outcome import Outcome
from relay.queue.action import Action, Resolve
from relay.queue.entry import READY, Entry, EntryList, Reason
from relay.queue.group import Domain, Group, Settings

_REFRESHED: Final = 200


class Domains:
    """The domains of one scheduler; ``out`` is the scheduler's list of actions to come."""

    def __init__(self, settings: Settings, out: list[Action]) -> None:
        self._settings = settings
        self._out = out
        self._timers: list[tuple[int, int, Domain]] = []
        self._sequence = 0
        self.suspended: set[Domain] = set()
        self.rejected: dict[Domain, None] = {}
        """Domains with a rejection and entries that have not been given it yet."""

    def enter(self, domain: Domain, entry: Entry, now: int) -> Group | None:
        """The group where ``entry``, which is due, goes on; None when it has to wait here."""
        if domain.valid_until > now:
            if domain.target is not None:
                return domain.target
            if domain.rejection is not None:
                self.rejected[domain] = None
        else:
            self._ask(domain, now)
        if domain.waiting is None:
            domain.waiting = EntryList()
        entry.state = READY
        domain.waiting.append(entry)
        return None

    def _ask(self, domain: Domain, now: int) -> None:
        if not domain.is_asked and domain.suspended_until <= now:
            domain.is_asked = True
            self._out.append(Resolve(domain.key, domain.domain))

    def resolved(self, domain: Domain, target: Group, valid_until: int) -> Group | None:
        """``domain`` goes to ``target``; returns the group it went to before, when that was another."""
        before = domain.target
        self._answered(domain, valid_until)
        domain.target = target
        if before is target:
            return None
        target.domains.add(domain)
        if before is not None:
            before.domains.discard(domain)
        return before

    def rejection(self, domain: Domain, outcome: Outcome, valid_until: int) -> Group | None:
        """``domain`` takes no mail; returns the group it went to before."""
        before = domain.target
        self._answered(domain, valid_until)
        domain.target = None
        if before is not None:
            before.domains.discard(domain)
        domain.rejection = outcome
        self.rejected[domain] = None
        return before

    def _answered(self, domain: Domain, valid_until: int) -> None:
        domain.is_asked = False
        domain.failures = 0
        domain.suspended_until = 0
        domain.reason = None
        domain.rejection = None
        domain.valid_until = valid_until
        self.suspended.discard(domain)

    def unresolved(self, domain: Domain, reason: Reason, now: int, draw: float) -> None:
        """The lookup failed temporarily. An answer that still holds is kept."""
        domain.is_asked = False
        domain.reason = reason
        domain.failures += 1
        domain.suspended_until = now + self._settings.suspension(domain.failures, draw)
        self.suspended.add(domain)
        self._sequence += 1
        heappush(self._timers, (domain.suspended_until, self._sequence, domain))

    def refresh(self, group: Group, now: int) -> None:
        """``group`` is about to be probed: asks again for domains that go there by an answer that is out of date.

        At most ``_REFRESHED`` at a time: those asked drop out, so the others come with the next probes.
        """
        outdated = (domain for domain in group.domains if domain.entries and domain.valid_until <= now)
        for domain in list(islice(outdated, _REFRESHED)):
            self._ask(domain, now)

    def resume_now(self, domain: Domain, now: int) -> None:
        """An operator wants it tried at once."""
        domain.suspended_until = 0
        self.suspended.discard(domain)
        if domain.waiting and domain.valid_until <= now:
            self._ask(domain, now)

    def rebased(self, delta: int, domains: Iterable[Domain]) -> None:
        """The clock was moved by ``delta``; ``domains`` are all there are."""
        self._timers = [(at + delta, sequence, domain) for at, sequence, domain in self._timers]
        for domain in domains:
            if domain.suspended_until:
                domain.suspended_until += delta
            if domain.valid_until:
                domain.valid_until += delta

    def fire(self, now: int) -> None:
        """Lets time pass: domains whose suspension is over are asked for again."""
        while self._timers and self._timers[0][0] <= now:
            at, _, domain = heappop(self._timers)
            if domain.suspended_until == at:
                domain.suspended_until = 0
                self.suspended.discard(domain)
                if domain.waiting:
                    self._ask(domain, now)

    def next_at(self) -> int | None:
        """When fire() has something to do."""
        return self._timers[0][0] if self._timers else None
