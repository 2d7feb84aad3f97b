"""Where a recipient goes: its route, and the key of the group it waits in.

Recipients that share a key share connections, concurrency, rate and suspension. Keys by kind:

    local     ``local:<lane>``                 a few lanes, so that mailboxes spread over delivery workers and one
                                               message to many mailboxes stays one entry per lane
    smtp/lmtp ``smtp://host:port`` and so on   the next hop as text: domains with one next hop share one group
    mx        ``mx:<domain>``                  until DNS has said which hosts that is (see Scheduler.resolved)

Order of decision: a local domain, a relay domain's next hop, an address literal (RFC 5321 4.1.3), the
smarthost, MX.

Not here: whether the recipient is acceptable (relay/policy); MX lookup (relay/delivery/mx.py).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal
from zlib import crc32

from relay.config.model import Config
from relay.mail.address import AddressError, ascii_domain, is_role
from relay.mail.next_hop import SMTP_PORT, NextHop

LOCAL_LANES: Final = 16
MX_PREFIX: Final = "mx:"
_CACHE_LIMIT: Final = 65_536


class Route:
    """What the router says about one recipient."""

    __slots__ = ("domain", "key", "kind", "mailbox", "next_hop")

    def __init__(
        self,
        kind: Literal["local", "smtp", "lmtp", "mx"],
        key: str,
        next_hop: NextHop | None = None,
        mailbox: bytes = b"",
        domain: str = "",
    ) -> None:
        self.kind = kind
        self.key = key
        """Key of the group, or ``mx:<domain>``."""
        self.next_hop = next_hop
        """For smtp and lmtp."""
        self.mailbox = mailbox
        """For local: the address of the account, sub-addressing removed."""
        self.domain = domain
        """For mx: the domain to look up, as in the envelope (U-labels stay)."""


def shard_of(key: str, shards: int) -> int:
    """Which of ``shards`` delivery workers answers for the group or domain ``key``; stable between runs."""
    return crc32(key.encode("utf-8", "surrogateescape")) % shards


class Router:
    """Routes recipients by the configuration. Answers for other servers' domains are remembered, up to a bound."""

    def __init__(
        self,
        local_domains: Iterable[str],
        next_hops: Mapping[str, NextHop],
        smarthost: NextHop | None = None,
        *,
        postmaster: str = "",
        delimiter: str = "",
        mx_port: int = SMTP_PORT,
        accounts: Container[bytes] = frozenset(),
        hostname: str = "",
        first_account: Callable[[], bytes] = bytes,
    ) -> None:
        """``accounts`` are addresses that exist here: one that holds the delimiter itself, or is a real
        ``postmaster@``, wins over the rule. It may change while the router is in use. ``first_account`` names who is
        postmaster where ``postmaster`` does not."""
        self._local = frozenset(_domain_octets(domain) for domain in local_domains)
        self._next_hops = {_domain_octets(domain): hop for domain, hop in next_hops.items()}
        self._smarthost = smarthost
        self._postmaster = postmaster.encode()
        self._delimiter = delimiter.encode()
        self._delimiter_text = delimiter
        self._mx_port = mx_port
        self._accounts = accounts
        self._hostname = hostname.encode()
        self._first_account = first_account
        self._known: dict[bytes, Route] = {}

    @classmethod
    def from_config(
        cls,
        config: Config,
        accounts: Container[bytes] = frozenset(),
        first_account: Callable[[], bytes] = bytes,
    ) -> Router:
        """The router of ``config``."""
        return cls(
            config.domains.local,
            {each.domain: each.next_hop for each in config.relay_domains},
            config.smarthost,
            postmaster=config.postmaster,
            delimiter=config.smtp.recipient_delimiter,
            mx_port=config.delivery.mx_port,
            accounts=accounts,
            hostname=config.hostname,
            first_account=first_account,
        )

    def route(self, recipient: bytes) -> Route:
        """Where ``recipient`` (local part @ domain, domain in lower case) goes; never fails."""
        local_part, at, domain = recipient.rpartition(b"@")
        if not at:
            return self._to_mailbox(recipient)
        known = self._known.get(domain)
        if known is not None:
            return known
        if _ascii(domain) in self._local:
            return self._to_mailbox(recipient)
        if domain.endswith(b"."):  # the same domain (RFC 1034 3.1), and the same group
            return self.route(recipient[:-1])
        if domain == self._hostname and domain not in self._next_hops:
            # Ours as far as the mail system itself is written to; not remembered, for all else there goes elsewhere.
            return self._to_mailbox(recipient) if is_role(local_part, self._delimiter_text) else self._elsewhere(domain)
        known = self._elsewhere(domain)
        if len(self._known) >= _CACHE_LIMIT:
            self._known.clear()
        self._known[domain] = known
        return known

    def _to_mailbox(self, recipient: bytes) -> Route:
        mailbox = self._mailbox(recipient)
        return Route("local", f"local:{crc32(mailbox) % LOCAL_LANES}", mailbox=mailbox)

    def _mailbox(self, recipient: bytes) -> bytes:
        local_part, _, domain = recipient.rpartition(b"@") if b"@" in recipient else (recipient, b"", b"")
        if recipient in self._accounts:
            return recipient
        base = local_part
        if self._delimiter and local_part.find(self._delimiter) > 0 and not local_part.startswith(b'"'):
            base = local_part.partition(self._delimiter)[0]
        for candidate in (base + b"@" + domain, (base + b"@" + domain).lower()):
            if candidate in self._accounts:
                return candidate
        # RFC 5321 4.5.1: postmaster, or MAILER-DAEMON, in any case, at any domain of ours, or without one.
        if is_role(base):
            return self._postmaster or self._first_account() or base + b"@" + domain
        return base + b"@" + domain

    def _elsewhere(self, domain: bytes) -> Route:
        hop = self._next_hops.get(_ascii(domain))
        if hop is None:
            address = _literal(domain)
            hop = self._smarthost or (NextHop("smtp", address, self._mx_port) if address else None)
        if hop is not None:
            return Route(hop.transport, str(hop), next_hop=hop)
        name = domain.decode("utf-8", "surrogateescape")
        return Route("mx", MX_PREFIX + name, domain=name)


def _domain_octets(domain: str) -> bytes:
    return _ascii(domain.lower().encode("utf-8", "surrogateescape"))


def _ascii(domain: bytes) -> bytes:
    """``domain`` with its U-labels as A-labels (RFC 5890), for comparison; as it is when it has none or bad ones."""
    if domain.isascii():
        return domain
    try:
        return ascii_domain(domain)
    except AddressError:
        return domain


def _literal(domain: bytes) -> str:
    """The address in an address literal (RFC 5321 4.1.3), or an empty string."""
    if not (domain.startswith(b"[") and domain.endswith(b"]")):
        return ""
    text = domain[1:-1].decode("ascii", "replace")
    try:
        if text[:5].lower() == "ipv6:":
            return str(IPv6Address(text[5:]))
        return str(IPv4Address(text))
    except ValueError:
        return ""
