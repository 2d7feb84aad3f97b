"""A fixed next hop as it is written in the configuration: where a domain's mail is handed over, and how.

    smtp://mail.example.org         port 25 unless given
    smtp://[2001:db8::1]:2525
    lmtp://127.0.0.1:24             port 24 unless given
    lmtp:///run/dovecot/lmtp        a Unix socket (RFC 2033)

The host is used as it stands (its addresses, not its MX): that is what "fixed" means.

Not here: finding the next hop of a recipient (relay/queue/routing.py), MX lookup (relay/delivery/mx.py).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, NamedTuple

from relay.mail.tls_policy import NO_TLS, TlsPolicy

SMTP_PORT: Final = 25
LMTP_PORT: Final = 24
_NETLOC: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/?#@\s]+))(?::([0-9]{1,5}))?", re.ASCII)
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


class NextHop(NamedTuple):
    """Host and port, or the path of a Unix socket; the other of the two is empty."""

    transport: Literal["smtp", "lmtp"]
    host: str = ""
    """Domain name or IP address (IPv6 without brackets)."""
    port: int = 0
    path: str = ""
    tls: TlsPolicy = NO_TLS
    """What connections to it have to be; not a part of its text."""

    def __str__(self) -> str:
        if self.path:
            return f"{self.transport}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


def parse_next_hop(text: str) -> NextHop:
    """The next hop written in ``text``; ValueError says what is wrong and what is right."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("smtp", "lmtp"):
        raise ValueError(
            f'"{text}" is not a next hop; write smtp://host:port, lmtp://host:port or lmtp:///path/of/socket'
        )
    transport: Literal["smtp", "lmtp"] = "lmtp" if scheme == "lmtp" else "smtp"
    if rest.startswith("/"):
        return _socket(text, transport, rest)
    match = _NETLOC.fullmatch(rest)
    if match is None:
        raise ValueError(
            f'"{text}": the part after {scheme}:// must be host or host:port (an IPv6 address in brackets)'
        )
    port = int(match[3]) if match[3] else LMTP_PORT if transport == "lmtp" else SMTP_PORT
    if not 1 <= port <= 65535:
        raise ValueError(f'"{text}": a port is from 1 to 65535')
    return NextHop(transport, _host(text, match[1], match[2]), port)


def _socket(text: str, transport: Literal["smtp", "lmtp"], path: str) -> NextHop:
    if transport != "lmtp":
        raise ValueError(f'"{text}": a Unix socket speaks LMTP; write lmtp://{path}')
    if len(path.encode()) > 107 or "\0" in path or path.endswith("/"):
        raise ValueError(f'"{text}": not a usable path of a Unix socket (at most 107 octets)')
    return NextHop(transport, path=path)


def _host(text: str, bracketed: str | None, plain: str | None) -> str:
    try:
        return str(ipaddress.IPv6Address(bracketed) if bracketed else ipaddress.IPv4Address(plain or ""))
    except ValueError:
        host = (plain or "").rstrip(".").lower()
    looks_like_an_address = bracketed is not None or re.fullmatch(r"[0-9.]+", host, re.ASCII)
    if looks_like_an_address or not _HOST.fullmatch(host):
        raise ValueError(f'"{text}": "{bracketed or plain}" is not a host name or IP address')
    return host
