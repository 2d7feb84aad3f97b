"""Which checks a listener has: made from the configuration, at start and at a reload.

Not here: what they check (checks.py), how they are asked (pipeline.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from relay.config.model import Config, Listener
from relay.directory.directory import Directory
from relay.policy.checks import Mailboxes, Relaying, Room, Senders, Trusted, login
from relay.policy.pipeline import ACCEPT, Check

RESOLVING: Final = 60.0
"""Seconds for ``relaying``: the directory gives up its sources before."""


def checks_of(
    listener: Listener, config: Config, directory: Directory, mailboxes: Mailboxes | None = None
) -> Iterator[Check]:
    """Those of ``listener``; ``mailboxes`` is asked about room where it is given."""
    if config.trusted_networks:
        yield Check("trusted", "connect", Trusted(config.trusted_networks).connect)
    if listener.kind == "submission":
        senders = Senders(config.auth.senders, config.smtp.recipient_delimiter)
        yield Check("login", "mail", login)
        yield Check("senders", "mail", senders.mail)
        yield Check("senders", "content", senders.content)
    yield Check("relaying", "rcpt", Relaying(directory).rcpt, deadline=RESOLVING)
    if mailboxes is not None:
        room = Room(directory, mailboxes)
        yield Check("room", "rcpt", room.rcpt, on_error=ACCEPT)
        yield Check("room", "content", room.content, on_error=ACCEPT)
