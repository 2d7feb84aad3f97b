"""Whether to send us mail, and whether to start us anew: decided from facts alone.

Ready means that a message handed to us now would be taken in and carried on. Alive means less: the processes run; an
orchestrator that restarts what is not alive must not do so because a disk is full.

A single worker that died does not make us unready: its successor starts at once, and its backlog waits in the socket.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from relay.admin.facts import Facts
from relay.config.queue import SpoolSettings
from relay.config.units import show_size

NEEDED: Final = ("smtp", "delivery")
"""Roles without which mail is not taken in or not carried on."""
STUCK_SECONDS: Final = 10.0
"""All store threads of a worker taken for so long, without one coming back: nobody can log in, or nothing is delivered
to mailboxes, until threads come back or are replaced."""
SUPERVISOR_BEATS: Final = 4
"""The supervisor is dead or stuck after so many times the beat timeout; it has other things to wait for, too."""


class Reason(NamedTuple):
    """Why not."""

    code: str
    """For programs: draining, no_worker, crash_loop, disk_low, sync_failed, store_threads, supervisor_hung."""
    text: str
    """For people."""


def not_ready(facts: Facts, beat_timeout: float, spool: SpoolSettings) -> tuple[Reason, ...]:
    """The reasons not to send us mail; none when we are ready. ``beat_timeout`` in seconds; ``spool``: the limits."""
    reasons = list(not_alive(facts, beat_timeout))
    if facts.is_draining:
        reasons.append(Reason("draining", "the appliance drains to stop"))
    # A standby has its predecessor still at work; between generations there is no delivery worker in `ready`.
    serving = {process.role for process in facts.processes if process.state in ("ready", "standby")}
    reasons += [Reason("no_worker", f"no {role} worker is ready") for role in NEEDED if role not in serving]
    reasons += [
        Reason("crash_loop", f"{_count(count, f'{role} worker')} held back after dying again and again")
        for role, count in facts.throttled
    ]
    if facts.disk_low_workers:
        reasons.append(
            Reason(
                "disk_low",
                f"the spool's file system is nearly full: {room_text(facts.free_bytes, facts.free_inodes, spool)}; "
                f"{_count(facts.disk_low_workers, 'worker')} refusing new mail",
            )
        )
    if facts.sync_failed_workers:
        reasons.append(
            Reason(
                "sync_failed",
                f"writing to the spool fails; {_count(facts.sync_failed_workers, 'worker')} refusing new mail",
            )
        )
    reasons += [
        Reason("store_threads", f"all store threads of {worker} are taken, and none has come back for {seconds:.0f} s")
        for worker, seconds in facts.stuck
        if seconds > STUCK_SECONDS
    ]
    return tuple(reasons)


def not_alive(facts: Facts, beat_timeout: float) -> tuple[Reason, ...]:
    """The reasons to start the appliance anew; none while the supervisor does its work.

    A supervisor that has never beaten is not judged: its own parent watches it.
    """
    for process in facts.processes:
        if process.role == "supervisor" and process.beat:
            age = (facts.now - process.beat) / 1_000_000
            if age > SUPERVISOR_BEATS * beat_timeout:
                return (Reason("supervisor_hung", f"the supervisor has not beaten for {age:.0f} s"),)
    return ()


def _count(count: int, noun: str) -> str:
    return f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"


def room_text(free_bytes: int, free_inodes: int, spool: SpoolSettings) -> str:
    """What is free beside what must be, and which setting says so; of inodes only where they are counted."""
    parts = [f"{free_bytes / 2**20:.1f} MiB free, and spool.min_free_bytes is {show_size(spool.min_free_bytes)}"]
    if free_inodes >= 0:
        parts.append(f"{free_inodes} inodes free, and spool.min_free_inodes is {spool.min_free_inodes}")
    return "; ".join(parts)
