"""The configuration of ``relay serve`` without a file: everything on loopback and unprivileged, for trying out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from relay.config.model import (
    AdminSettings,
    Config,
    DomainSettings,
    Listener,
    RelayDomain,
)
from relay.config.readers import ReaderSettings
from relay.config.smtp import SmtpSettings
from relay.mail.next_hop import NextHop

DEMO_DOMAIN: Final = "demo.test"
DEMO_ACCOUNT: Final = f"demo@{DEMO_DOMAIN}"
DEMO_RELAY_DOMAIN: Final = "relay.test"
"""Mail for it goes to port 2526 on loopback, where a sink can be put. The names are reserved (RFC 2606 2)."""


def demo(data_dir: Path) -> Config:
    """The demo with everything below ``data_dir``. Root may serve it, because containers start as root."""
    return Config(
        hostname="relay.localhost",
        data_dir=data_dir.absolute(),
        allow_root=True,
        postmaster=DEMO_ACCOUNT,
        trusted_networks=("127.0.0.0/8", "::1/128"),
        listeners=(
            Listener("mx", "mx", "127.0.0.1", 2525),
            Listener("submission", "submission", "127.0.0.1", 2587),
            Listener("submissions", "submission", "127.0.0.1", 2465, tls="implicit"),
            Listener("imap", "imap", "127.0.0.1", 2143),
            Listener("imaps", "imap", "127.0.0.1", 2993, tls="implicit"),
            Listener("pop3", "pop3", "127.0.0.1", 2110),
            Listener("pop3s", "pop3", "127.0.0.1", 2995, tls="implicit"),
            Listener("sieve", "managesieve", "127.0.0.1", 2419),
        ),
        admin=AdminSettings(address="127.0.0.1", port=8025),
        domains=DomainSettings(local=(DEMO_DOMAIN,)),
        relay_domains=(RelayDomain(DEMO_RELAY_DOMAIN, NextHop("smtp", "127.0.0.1", 2526)),),
        # Everybody who tries it comes from the same address.
        smtp=SmtpSettings(max_connections_per_client=20_000),
        readers=ReaderSettings(max_connections_per_client=20_000),
    )
