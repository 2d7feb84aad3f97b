"""Which of our ports is for what, in words for a client that is at the wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relay.config.model import Listener

_WORDS: Final = (("imap", "IMAP"), ("pop3", "POP3"), ("submission", "sending mail (SMTP)"))


def directions(listeners: Iterable[Listener]) -> str:
    """``IMAP: port 993 with TLS, 143 with STARTTLS; POP3: ...``; ports that begin with TLS come first (RFC 8314)."""
    everything = tuple(listeners)
    parts = []
    for kind, name in _WORDS:
        ports = [_port(each) for each in everything if each.kind == kind and each.tls == "implicit"]
        ports += [_port(each) for each in everything if each.kind == kind and each.tls != "implicit"]
        if ports:
            parts.append(f"{name}: port {', '.join(dict.fromkeys(ports))}")
    return "; ".join(parts)


def _port(listener: Listener) -> str:
    how = {"implicit": " with TLS", "starttls": " with STARTTLS", "none": ""}[listener.tls]
    return f"{listener.port}{how}"
