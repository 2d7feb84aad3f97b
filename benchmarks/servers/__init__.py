"""The servers that can be measured, by name. ``direct`` is none: the generator talks straight to the sink."""

from __future__ import annotations

from typing import Final

from benchmarks.servers.base import Server, Site
from benchmarks.servers.direct import Direct
from benchmarks.servers.dovecot import Dovecot
from benchmarks.servers.exim import Exim
from benchmarks.servers.haraka import Haraka
from benchmarks.servers.mailboxes import MailboxServer, RelayMailboxes
from benchmarks.servers.opensmtpd import OpenSmtpd
from benchmarks.servers.postfix import Postfix
from benchmarks.servers.relay import Relay

SERVERS: Final[dict[str, type[Server]]] = {
    kind.name: kind for kind in (Direct, Relay, Postfix, Exim, OpenSmtpd, Haraka)
}
READERS: Final[dict[str, type[MailboxServer]]] = {kind.name: kind for kind in (RelayMailboxes, Dovecot)}
"""Those with mailboxes that people read."""

__all__ = ["READERS", "SERVERS", "Server", "Site"]
