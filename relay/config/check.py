"""What must hold between settings; each setting by itself has been checked before."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Final

from relay.config import units
from relay.config.model import SMTP_KINDS, Config, Listener
from relay.config.positions import KeyPath
from relay.mail.next_hop import NextHop

Problem = tuple[KeyPath, str]

_BEGIN_WITH_TLS: Final = {25: 465, 587: 465, 143: 993, 110: 995}
"""Ports where clients do not begin with TLS, and the port of the same protocol where they do."""

_KINDS_OF_KEYS: Final = 2
"""ECDSA and RSA: so many certificates can have one name. Whether they differ in that is seen when they are read."""
_SPECIAL_USES: Final = ("\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")
"""Those that a mailbox can have here."""


def problems(config: Config) -> Iterator[Problem]:
    """Key path and message of everything in ``config`` that does not fit together."""
    for rule in _RULES:
        yield from rule(config)


def _listeners(config: Config) -> Iterator[Problem]:
    names: set[str] = set()
    places: dict[tuple[str, int], str] = {}
    for number, listener in enumerate(config.listeners):
        if listener.name in names:
            yield ("listener", number, "name"), f'"{listener.name}" names another listener already'
        if listener.name in {"admin", "autoconfig"}:
            yield ("listener", number, "name"), f'"{listener.name}" is the name of a port of Relay\'s own'
        if listener.smtp and listener.kind not in SMTP_KINDS:
            yield (
                ("listener", number, "smtp"),
                f"has no effect: no SMTP is spoken at a listener of kind {listener.kind}",
            )
        names.add(listener.name)
        place = (listener.address, listener.port)
        if place in places and listener.port:
            yield ("listener", number, "port"), f'"{places[place]}" listens on {place[0]} port {place[1]} already'
        places.setdefault(place, listener.name)
    admin = (config.admin.address, config.admin.port)
    if admin in places and config.admin.port:
        yield ("admin", "port"), f'"{places[admin]}" listens on {admin[0]} port {admin[1]} already'
    public = (config.autoconfig.address, config.autoconfig.port)
    if public[1] and (public == admin or public in places):
        yield ("autoconfig", "port"), f'"{places.get(public, "admin")}" listens on {public[0]} port {public[1]} already'


def _tls(config: Config) -> Iterator[Problem]:
    for number, listener in enumerate(config.listeners):
        path: KeyPath = ("listener", number, "tls")
        if listener.port in _BEGIN_WITH_TLS.values() and listener.tls == "starttls":
            yield path, f'clients begin with TLS on port {listener.port} (RFC 8314): write tls = "implicit"'
        if (other := _BEGIN_WITH_TLS.get(listener.port)) and listener.tls == "implicit":
            yield (
                path,
                f'clients do not begin with TLS on port {listener.port}: write tls = "starttls", or take port {other}',
            )
    seen: dict[str, list[int]] = {}
    for number, files in enumerate(config.certificates):
        for name in files.names:
            if len(seen.setdefault(name, [])) == _KINDS_OF_KEYS:
                others = " and ".join(str(other + 1) for other in seen[name])
                yield ("certificate", number, "names"), f'"{name}" gets certificates {others} already'
            seen[name].append(number)


def _relay_domains(config: Config) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, relayed in enumerate(config.relay_domains):
        path: KeyPath = ("relay_domain", number)
        if relayed.domain in config.domains.local:
            yield (*path, "domain"), f'"{relayed.domain}" is in domains.local already: it is either local or relayed'
        if relayed.domain in seen:
            yield (*path, "domain"), f'"{relayed.domain}" is a relay domain already'
        seen.add(relayed.domain)
        for recipient in relayed.recipients or ():
            if not recipient.endswith("@" + relayed.domain):
                yield (*path, "recipients"), f'"{recipient}" is not an address of {relayed.domain}'


def _queue(config: Config) -> Iterator[Problem]:
    if config.queue.retry_first > config.queue.retry_max:
        longest = units.show_duration(config.queue.retry_max)
        yield ("queue", "retry_first"), f'must not be longer than queue.retry_max ("{longest}")'


def _shares(config: Config) -> Iterator[Problem]:
    if config.smtp.max_connections < config.workers.smtp:
        yield ("smtp", "max_connections"), f"must be at least one for each of the {config.workers.smtp} smtp workers"
    if config.readers.max_connections < config.workers.mailbox:
        yield (
            ("readers", "max_connections"),
            f"must be at least one for each of the {config.workers.mailbox} mailbox workers",
        )
    if config.delivery.max_connections < config.workers.delivery:
        yield (
            ("delivery", "max_connections"),
            f"must be at least one for each of the {config.workers.delivery} delivery workers",
        )
    if config.smtp.memory_budget < 2 * config.smtp.large_content:
        yield ("smtp", "memory_budget"), "must be at least twice smtp.large_content"
    if config.spool.segment_size < 2 * config.smtp.large_content:
        yield ("spool", "segment_size"), "must be at least twice smtp.large_content"


def _hidden(config: Config) -> Iterator[Problem]:
    for text in config.readers.hidden_capabilities:
        account, _, names = text.rpartition(": ")
        if not account.strip() or not names.strip():
            yield ("readers", "hidden_capabilities"), f'"{text}" must be "account: CAPABILITY CAPABILITY"'


def _privileges(config: Config) -> Iterator[Problem]:
    if config.group and not config.user:
        yield ("group",), "has no effect without user"
    if config.user == "root":
        yield ("user",), "is root; leave it out and set allow_root = true when that is meant"


def _open_relay(config: Config) -> Iterator[Problem]:
    for number, text in enumerate(config.trusted_networks):
        if text.endswith("/0"):
            yield (
                ("trusted_networks", number),
                f'"{text}" lets everybody send anywhere through this server (an open relay); name your own networks',
            )


def _next_hops(config: Config) -> Iterator[Problem]:
    """A next hop that is this server brings each message back until it has made ``smtp.max_hops`` rounds."""
    for path, hop in fixed_next_hops(config):
        listener = next((each for each in config.listeners if leads_to(hop, each, config.hostname)), None)
        if listener is not None:
            yield (
                path,
                f'{hop} is this server itself (listener "{listener.name}"): mail would go in a circle; name another',
            )


def fixed_next_hops(config: Config) -> Iterator[tuple[KeyPath, NextHop]]:
    """Every next hop in ``config`` with its key path."""
    if config.smarthost is not None:
        yield ("smarthost",), config.smarthost
    for number, relayed in enumerate(config.relay_domains):
        yield ("relay_domain", number, "next_hop"), relayed.next_hop


def leads_to(hop: NextHop, listener: Listener, hostname: str) -> bool:
    """Whether ``hop`` is ``listener`` as far as names and addresses alone tell. Nothing is looked up."""
    if hop.path or not hop.port or hop.port != listener.port:
        return False
    listening = ipaddress.ip_address(listener.address)
    if hop.host == hostname:
        return not listening.is_loopback
    if hop.host == "localhost":
        return listening.is_loopback or listening.is_unspecified
    try:
        address = ipaddress.ip_address(hop.host)
    except ValueError:
        return False
    is_any = listening.is_unspecified and listening.version == address.version
    return address == listening or (is_any and (address.is_loopback or address.is_unspecified))


def _mailbox_limits(config: Config) -> Iterator[Problem]:
    for number, limit in enumerate(config.mailbox_limits):
        path: KeyPath = ("mailbox_limit", number)
        if limit.expiry and not limit.mailbox:
            yield (*path, "expiry"), "says of a mailbox when its messages go: name the mailbox"
        if limit.mailbox and not (limit.quota or limit.quota_messages or limit.expiry):
            yield (*path, "mailbox"), "has no limit: give quota, quota_messages or expiry"
        if limit.mailbox.startswith("\\") and limit.mailbox not in _SPECIAL_USES:
            yield (*path, "mailbox"), f"no special use (RFC 6154): {', '.join(_SPECIAL_USES)}"


def _default_mailboxes(config: Config) -> Iterator[Problem]:
    path: KeyPath = ("mailbox", "defaults")
    names: set[str] = set()
    given: set[str] = set()
    for line in config.mailbox.defaults:
        name, _, use = line.rpartition(" ")
        if not use.startswith("\\"):
            name, use = line, ""
        if use and use not in _SPECIAL_USES:
            yield path, f'"{line}": no special use (RFC 6154): {", ".join(_SPECIAL_USES)}'
        if not name.strip() or "" in name.strip().split("/") or not name.isprintable():
            yield path, f'"{line}": a mailbox needs a name, with levels separated by single slashes'
        if name.strip() in names:
            yield path, f'"{name.strip()}" is there twice'
        if use and use in given:
            yield path, f"{use} is given twice"
        names.add(name.strip())
        given.add(use)


_RULES: Final[tuple[Callable[[Config], Iterator[Problem]], ...]] = (
    _listeners,
    _tls,
    _relay_domains,
    _queue,
    _shares,
    _hidden,
    _open_relay,
    _next_hops,
    _mailbox_limits,
    _default_mailboxes,
    _privileges,
)
