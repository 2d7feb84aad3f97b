"""The targets of the hot path, each with the value that was measured for it, reached or not.

A target is a limit on one figure of one result file: a value of Relay's, or its ratio to the direct path or to
Postfix in the same run. What was not measured stays "not measured"; nothing is taken from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PER_CONNECTION: Final = "smtp-source, a connection per message, 1 KiB"
REUSED: Final = "smtp-source, connections reused, 1 KiB"
REUSED_10K: Final = "smtp-source, connections reused, 10 KiB"
REUSED_100K: Final = "smtp-source, connections reused, 100 KiB"
REUSED_1M: Final = "smtp-source, connections reused, 1 MiB"
PIPELINED: Final = "own generator, pipelined, 1 KiB"
STREAMED: Final = "own generator, BDAT, 16 in flight, 1 KiB"
LOCK_STEP: Final = "own generator, lock-step, 1 KiB"
NEW_CONNECTION: Final = "own generator, a connection per message, 1 KiB"
PIPELINED_100K: Final = "own generator, pipelined, 100 KiB"
PIPELINED_1M: Final = "own generator, pipelined, 1 MiB"
MIB: Final = 1 << 20
NAMES: Final = {"postfix": "Postfix", "dovecot": "Dovecot"}


@dataclass(frozen=True)
class Target:
    """``over``: the server whose value ours is divided by; ``work`` may be the beginning of the work's name."""

    title: str
    scenario: str
    work: str
    value: str
    limit: float
    at_most: bool = False
    over: str = ""
    scale: float = 1.0
    unit: str = ""

    def limit_text(self) -> str:
        """The limit, with sign and unit."""
        return f"{'≤' if self.at_most else '≥'} {self.text(self.limit)}"

    def text(self, value: float) -> str:
        """A value as this target's are written."""
        if self.over == "direct" or self.unit == "%":
            return f"{value * 100:.0f} %{' of direct' if self.over == 'direct' else ''}"
        if self.over:
            return f"{_number(value)} × {NAMES.get(self.over, self.over)}"
        return f"{_number(value)} {self.unit}".rstrip()

    def measured(self, found: Mapping[str, Mapping[str, Any]]) -> float | None:
        """The figure, from ``found``: scenario -> work -> server -> values. None when something was not measured."""
        works = found.get(self.scenario, {})
        matching = [servers for name, servers in works.items() if name.startswith(self.work)]
        servers = matching[0] if matching else {}
        ours = servers.get("relay", {}).get(self.value)
        if self.over and self.over != "alone":
            other = servers.get(self.over, {}).get(self.value)
            return ours / other if ours is not None and other else None
        if self.over == "alone":
            alone = [servers for name, servers in works.items() if name.endswith("alone")]
            other = alone[0].get("relay", {}).get(self.value) if alone else None
            return 1 - ours / other if ours is not None and other else None
        return None if ours is None else ours * self.scale

    def is_reached(self, value: float) -> bool:
        """Whether ``value`` is within the limit."""
        return value <= self.limit if self.at_most else value >= self.limit


def _number(value: float) -> str:
    """Three digits, or all of them before the point."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2}f}"


def _against(title: str, work: str, direct: float, postfix: float) -> list[Target]:
    found = [Target(title, "relay", work, "per_second", direct, over="direct")] if direct else []
    return [*found, Target(title, "relay", work, "per_second", postfix, over="postfix")]


def _beside_dovecot(title: str, work: str, least: float) -> Target:
    return Target(title, "mailbox", work, "per_second", least, over="dovecot")


TARGETS: Final = (
    *_against("smtp-source 1 KiB, a connection per message", PER_CONNECTION, 0.85, 9),
    *_against("smtp-source 1 KiB, connections reused", REUSED, 0.65, 22),
    *_against("smtp-source 10 KiB, connections reused", REUSED_10K, 0.85, 17),
    Target("own generator, pipelined, 1 KiB", "relay", PIPELINED, "per_second", 30_000, unit="messages/s"),
    *_against("own generator, pipelined, 1 KiB", PIPELINED, 0, 45),
    Target("own generator, pipelined by BDAT, 1 KiB", "relay", STREAMED, "per_second", 30_000, unit="messages/s"),
    *_against("own generator, pipelined by BDAT, 1 KiB", STREAMED, 0, 45),
    Target("CPU per message, pipelined", "relay", PIPELINED, "cpu_us", 25, at_most=True, unit="µs"),
    Target("CPU per message, pipelined by BDAT", "relay", STREAMED, "cpu_us", 25, at_most=True, unit="µs"),
    Target("CPU per message, lock-step", "relay", LOCK_STEP, "cpu_us", 50, at_most=True, unit="µs"),
    Target("CPU per message, new connection", "relay", NEW_CONNECTION, "cpu_us", 100, at_most=True, unit="µs"),
    Target("accept latency with sync, one session, p50", "latency", "one session", "accept_p50_ms", 0.5,
           at_most=True, unit="ms"),
    Target("an idle session", "idle", "10,000", "bytes_per_session", 2048, at_most=True, unit="octets"),
    Target("fan-out, 100 recipients to one next hop", "fanout", "100 recipients", "per_second", 50_000,
           unit="recipients/s"),
    Target("a million deferred: memory", "backlog", "1,000,000", "pss_bytes", 300, at_most=True, scale=1 / MIB,
           unit="MiB"),
    Target("a million deferred: accepting after start", "backlog", "1,000,000", "accepting_seconds", 2, at_most=True,
           unit="s"),
    Target("a million deferred: all due again after start", "backlog", "1,000,000", "known_seconds", 30, at_most=True,
           unit="s"),
    Target("healthy traffic's loss beside a dead and a tarpit destination, 100,000 queued each", "slow-destination",
           "beside a dead and a tarpit destination with 100,000", "per_second", 0.10, at_most=True, over="alone",
           unit="%"),
    Target("STARTTLS, one message per connection, resumed", "tls", "STARTTLS, a connection per message, resumed",
           "accept_per_second", 0.60, over="direct"),
    Target("100 KiB messages, smtp-source", "relay", REUSED_100K, "per_second", 0.70, over="direct"),
    Target("1 MiB messages, smtp-source", "relay", REUSED_1M, "per_second", 0.70, over="direct"),
    Target("100 KiB messages, own generator, pipelined", "relay", PIPELINED_100K, "per_second", 0.70, over="direct"),
    Target("1 MiB messages, own generator, pipelined", "relay", PIPELINED_1M, "per_second", 0.70, over="direct"),
    _beside_dovecot("IMAP logins", "logins", 1),
    _beside_dovecot("SELECT of 10,000 messages", "SELECT of 10,000", 1),
    Target("SELECT of 100,000 messages, warm", "mailbox", "SELECT of 100,000", "each_ms", 50, at_most=True, unit="ms"),
    _beside_dovecot("FETCH of header fields of 10,000 messages", "FETCH of header fields", 2),
    _beside_dovecot("FETCH of bodies", "FETCH of bodies", 1),
    _beside_dovecot("SEARCH BODY", "SEARCH BODY", 1),
    _beside_dovecot("APPEND, durable", "APPEND", 1),
    _beside_dovecot("deliveries into mailboxes, durable", "deliveries", 2),
    _beside_dovecot("POP3 download", "POP3 download", 1),
    Target("an idle IMAP session that waits in IDLE", "mailbox", "2,000 idle", "bytes_per_session", 1, at_most=True,
           over="dovecot"),
    Target("MIME structure scan, 1 MiB multipart", "mime", "1 MiB multipart", "bytes_per_second", 5, scale=1e-9,
           unit="GB/s"),
    Target("MIME structure scan, 1 MiB multipart, beside email", "mime", "1 MiB multipart", "bytes_per_second", 100,
           over="email"),
    Target("kill -9 under load: lost or altered", "crash", "kill -9", "lost", 0, at_most=True, unit="messages"),
)  # fmt: skip
