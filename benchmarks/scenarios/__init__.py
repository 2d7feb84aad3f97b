"""The scenarios by name. Each is a module with ``DEFAULTS``, ``COLUMNS`` and ``run(run, settings)``."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

SUMMARIES: Final = {
    "relay": "End to end: generator, server, sink; beside the direct path and other servers.",
    "accept": "Taking in only: nothing is delivered meanwhile.",
    "fanout": "One message, 100 recipients, one next hop.",
    "latency": "How long the answer to the end of data takes, at fixed rates.",
    "idle": "Memory of idle sessions.",
    "backlog": "Deferred messages: memory, restart, drain.",
    "slow-destination": "A dead and a tarpit destination beside healthy ones: what do those lose?",
    "tls": "STARTTLS, one message per connection: the share of OpenSSL's handshake rate.",
    "mime": "The MIME structure scanner beside the standard library's email parser.",
    "crash": "Kill -9 under load, everything accounted for.",
}
"""Not here yet: IMAP and POP3."""


def scenario(name: str) -> Any:
    """The scenario's module."""
    return import_module(f"benchmarks.scenarios.{name.replace('-', '_')}")
