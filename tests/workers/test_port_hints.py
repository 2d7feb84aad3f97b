"""relay/workers/port_hints.py."""

from __future__ import annotations

from relay.config.model import Listener
from relay.workers.port_hints import directions


def test_ports_that_begin_with_tls_come_first() -> None:
    listeners = (
        Listener("mx", "mx", "0.0.0.0", 25),
        Listener("submission", "submission", "0.0.0.0", 587),
        Listener("submissions", "submission", "0.0.0.0", 465, tls="implicit"),
        Listener("imap", "imap", "0.0.0.0", 143, tls="none"),
        Listener("sieve", "managesieve", "0.0.0.0", 4190),
    )
    assert directions(listeners) == (
        "IMAP: port 143; sending mail (SMTP): port 465 with TLS, 587 with STARTTLS; "
        "filter scripts (ManageSieve): port 4190 with STARTTLS"
    )


def test_the_line_stays_short_however_many_listeners_there_are() -> None:
    """A reply is at most 512 octets (RFC 5321 4.5.3.1.5, RFC 1939 3)."""
    kinds = ("imap", "pop3", "submission", "managesieve")
    listeners = [Listener(f"{kind}{n}", kind, "0.0.0.0", 60000 + n) for kind in kinds for n in range(30)]
    assert len(directions(listeners)) < 400
