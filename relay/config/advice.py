"""What may be meant, but mostly is not: advice about a configuration without errors, from the settings alone.

Each rule names the setting, what follows from it, and what to write instead. Nothing here keeps Relay from serving.

Not here: what must hold (check.py), what the machine has to say (relay/supervisor/premises.py).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Final

from relay.config.check import Problem
from relay.config.model import Config

_WIDEST: Final = {4: 8, 6: 16}
"""Prefixes shorter than that hold more of the world than anybody owns, by version of IP."""
_RESERVED: Final = ("localhost", "local", "test", "invalid", "internal", "lan", "home", "localdomain")
"""Top-level names that no other server finds (RFC 2606, RFC 6762, and what routers invent)."""


def advice(config: Config) -> Iterator[Problem]:
    """Key path and text of everything that deserves a second look."""
    for rule in _RULES:
        yield from rule(config)


def _networks(config: Config) -> Iterator[Problem]:
    for number, text in enumerate(config.trusted_networks):
        network = ipaddress.ip_network(text)
        if 0 < network.prefixlen < _WIDEST[network.version] and not network.is_private:
            yield (
                ("trusted_networks", number),
                f'"{text}" lets much of the internet send anywhere through this server; name your own networks only',
            )


def _hostname(config: Config) -> Iterator[Problem]:
    is_known_to_others = "." in config.hostname and config.hostname.rpartition(".")[2] not in _RESERVED
    if not is_known_to_others and any(is_public(each.address) for each in config.listeners):
        yield (
            ("hostname",),
            f'"{config.hostname}" is no name in DNS, and many servers refuse mail from such; set it to this machine\'s',
        )


def _domains(config: Config) -> Iterator[Problem]:
    takes_mail = config.domains.local or config.relay_domains
    if any(each.kind == "mx" for each in config.listeners) and not takes_mail:
        yield (
            ("domains", "local"),
            "there is no domain whose mail is taken in here; list those with mailboxes, or add a [[relay_domain]]",
        )


def _logins(config: Config) -> Iterator[Problem]:
    for number, listener in enumerate(config.listeners):
        if listener.plaintext_login and is_public(listener.address):
            yield (
                ("listener", number, "plaintext_login"),
                f'passwords sent to "{listener.name}" can be read on the way; take it out, clients can use TLS',
            )


def _admin(config: Config) -> Iterator[Problem]:
    address = ipaddress.ip_address(config.admin.address)
    if (address.is_unspecified or address.is_global) and config.admin.token is None:
        text = f"{address} can be reached by others, and everybody may ask there"
        yield ("admin", "address"), f'{text}: set admin.token_file, or write "127.0.0.1" or a private address'


def is_public(address: str) -> bool:
    """Whether somebody on another machine can connect to a listener at ``address``."""
    return not ipaddress.ip_address(address).is_loopback


_RULES: Final[tuple[Callable[[Config], Iterator[Problem]], ...]] = (_hostname, _networks, _domains, _logins, _admin)
