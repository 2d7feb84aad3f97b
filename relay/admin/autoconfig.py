"""What mail programs ask for to set themselves up: Thunderbird's XML, Outlook's, and Apple's profile. Pure functions.

Only what a person would have to type is told: our name, the ports, and the address as the name to log in with. That is
the same for every address of a domain, so nobody learns which addresses exist.

Not here: HTTP (public.py), DNS records (relay/cli/dns.py).
"""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Iterable
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from relay.config.model import Config

_OUTLOOK: Final = "http://schemas.microsoft.com/exchange/autodiscover/"
_ORDER: Final = ("imap", "pop3", "submission")
_NAMESPACE: Final = uuid.UUID("6d1f0f3e-3f0a-5c53-9d3c-0d2c5a1b7e64")
"""Profiles of one address get the same identifier each time, so that a newer one replaces the older."""


class Service(NamedTuple):
    """One way in that a person can use."""

    kind: str
    """``imap``, ``pop3`` or ``submission``."""
    port: int
    tls: str
    """``implicit``, ``starttls`` or ``none``."""


def services(config: Config) -> tuple[Service, ...]:
    """The listeners that people can log in at; those that begin with TLS first (RFC 8314 3)."""
    offered = [
        Service(each.kind, each.port, each.tls)
        for each in config.listeners
        if each.kind in _ORDER and (each.tls != "none" or each.plaintext_login)
    ]
    return tuple(sorted(offered, key=lambda each: (_ORDER.index(each.kind), each.tls != "implicit", each.tls)))


def thunderbird(config: Config, domain: str) -> bytes:
    """clientConfig 1.1, which Thunderbird, K-9, Evolution and others read."""
    root = ET.Element("clientConfig", version="1.1")
    provider = ET.SubElement(root, "emailProvider", id=domain)
    _texts(provider, ("domain", domain), ("displayName", domain), ("displayShortName", domain))
    for each in services(config):
        is_out = each.kind == "submission"
        server = ET.SubElement(
            provider, "outgoingServer" if is_out else "incomingServer", type="smtp" if is_out else each.kind
        )
        socket_type = {"implicit": "SSL", "starttls": "STARTTLS", "none": "plain"}[each.tls]
        _texts(
            server,
            ("hostname", config.hostname),
            ("port", str(each.port)),
            ("socketType", socket_type),
            ("authentication", "password-cleartext"),
            ("username", "%EMAILADDRESS%"),
        )
    return _document(root)


def outlook(config: Config, address: str) -> bytes:
    """The answer of Autodiscover (POX)."""
    root = ET.Element("Autodiscover", xmlns=f"{_OUTLOOK}responseschema/2006")
    response = ET.SubElement(root, "Response", xmlns=f"{_OUTLOOK}outlook/responseschema/2006a")
    account = ET.SubElement(response, "Account")
    _texts(account, ("AccountType", "email"), ("Action", "settings"))
    for each in _best(services(config)):
        protocol = ET.SubElement(account, "Protocol")
        _texts(
            protocol,
            ("Type", {"imap": "IMAP", "pop3": "POP3", "submission": "SMTP"}[each.kind]),
            ("Server", config.hostname),
            ("Port", str(each.port)),
            ("LoginName", address),
            ("DomainRequired", "off"),
            ("SPA", "off"),
            ("SSL", "off" if each.tls == "none" else "on"),
            ("Encryption", {"implicit": "SSL", "starttls": "TLS", "none": "None"}[each.tls]),
            ("AuthRequired", "on"),
        )
    return _document(root)


def apple(config: Config, address: str) -> bytes:
    """A configuration profile for Apple Mail; empty when there is no way in or none out."""
    best = {each.kind: each for each in _best(services(config))}
    incoming, outgoing = best.get("imap") or best.get("pop3"), best.get("submission")
    if incoming is None or outgoing is None:
        return b""
    name = str(uuid.uuid5(_NAMESPACE, address.casefold()))
    mail = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{config.hostname}.{name}.mail",
        "PayloadUUID": str(uuid.uuid5(_NAMESPACE, name)),
        "PayloadDisplayName": address,
        "EmailAccountDescription": address,
        "EmailAddress": address,
        "EmailAccountType": "EmailTypeIMAP" if incoming.kind == "imap" else "EmailTypePOP",
        "IncomingMailServerHostName": config.hostname,
        "IncomingMailServerPortNumber": incoming.port,
        "IncomingMailServerUseSSL": incoming.tls != "none",
        "IncomingMailServerUsername": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": config.hostname,
        "OutgoingMailServerPortNumber": outgoing.port,
        "OutgoingMailServerUseSSL": outgoing.tls != "none",
        "OutgoingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingPasswordSameAsIncomingPassword": True,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{config.hostname}.{name}",
        "PayloadUUID": name,
        "PayloadDisplayName": f"Mail for {address}",
        "PayloadContent": [mail],
    }
    return plistlib.dumps(profile)


def _best(offered: Iterable[Service]) -> list[Service]:
    """The first of each kind."""
    best: dict[str, Service] = {}
    for each in offered:
        best.setdefault(each.kind, each)
    return list(best.values())


def _texts(parent: ET.Element, *pairs: tuple[str, str]) -> None:
    for name, text in pairs:
        ET.SubElement(parent, name).text = text


def _document(root: ET.Element) -> bytes:
    ET.indent(root)
    octets: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return octets + b"\n"
