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
    "mailbox": "Logins, IMAP, POP3 and deliveries beside Dovecot, on copies of the same Maildirs.",
    "mime": "The MIME structure scanner beside the standard library's email parser.",
    "hostile": "Every parser of strangers' text on what is made to be slow for it.",
    "crash": "Kill -9 under load, everything accounted for.",
}

SIZES: Final = {
    "fanout": "Recipients of each message.",
    "idle": "Sessions.",
    "backlog": "Messages.",
    "slow-destination": "Messages queued for each of the two destinations.",
    "mailbox": "Messages in the big mailbox; a fifth as many idle sessions.",
    "crash": "Kills.",
}
"""What --size is; the others have none."""
WITHOUT: Final = {
    "servers": ("backlog", "mime", "hostile", "crash"),
    "repetitions": ("crash",),
    "seconds": ("idle", "backlog", "hostile"),
    "works": ("fanout", "idle", "backlog", "slow-destination", "crash"),
}
"""Setting -> the scenarios that it means nothing to."""


def scenario(name: str) -> Any:
    """The scenario's module."""
    return import_module(f"benchmarks.scenarios.{name.replace('-', '_')}")
