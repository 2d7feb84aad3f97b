"""Which of our ports is for what, in words for a client that is at the wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relay.config.model import Listener

_WORDS: Final = (("imap", "IMAP"), ("pop3", "POP3"), ("submission", "sending mail (SMTP)"),
          ("managesieve", "filter scripts (ManageSieve)"))  # fmt: skip
MOST: Final = 3
"""Ports told of each kind: a reply is one line of 512 octets (RFC 5321 4.5.3.1.5, RFC 1939 3)."""


def directions(listeners: Iterable[Listener]) -> str:
    """``IMAP: port 993 with TLS, 143 with STARTTLS; POP3: ...``; ports that begin with TLS come first (RFC 8314)."""
    everything = tuple(listeners)
    parts = []
    for kind, name in _WORDS:
        ports = [_port(each) for each in everything if each.kind == kind and each.tls == "implicit"]
        ports += [_port(each) for each in everything if each.kind == kind and each.tls != "implicit"]
        if ports:
            parts.append(f"{name}: port {', '.join(list(dict.fromkeys(ports))[:MOST])}")
    return "; ".join(parts)


def _port(listener: Listener) -> str:
    how = {"implicit": " with TLS", "starttls": " with STARTTLS", "none": ""}[listener.tls]
    return f"{listener.port}{how}"
