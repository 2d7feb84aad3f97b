"""Addresses on cold paths: configuration, accounts, the command line, look-ups that need more than an equal sign.

Theory: inside Relay an address is ``bytes``: local part, "@", domain (mail/envelope.py), read by the one grammar of
_paths.pyx. This module adds what a person's input needs: a reason and a place when it is wrong, and names of
domains in the one form in which they are compared: A-labels, lower case (RFC 5890 2.3.2.1).

Invariant: ``parse_address(parse_address(text)) == parse_address(text)``.

Not here: paths with brackets and source routes (_paths), who may use an address (relay/policy).
"""

from __future__ import annotations

import ipaddress
from typing import Final

import idna

from relay.mail import _paths

WHY: Final[dict[str, str]] = {
    "keyword": "FROM: or TO: is missing",
    "no-angle": 'the address must stand in angle brackets, "<local@domain>"',
    "unclosed": 'the closing ">" is missing',
    "after-path": 'a space is missing after ">"',
    "null": "the null path <> is no recipient",
    "local": "the local part is malformed",
    "quoted": "the quoted local part is malformed",
    "no-domain": "the domain is missing",
    "domain": "the domain is malformed",
    "literal": "the address literal is malformed",
    "route": "the source route is malformed",
    "utf8": "it is not valid UTF-8",
    "local-too-long": "the local part is longer than 64 octets",
    "label-too-long": "a label of the domain is longer than 63 octets",
    "domain-too-long": "the domain is longer than 255 octets",
    "path-too-long": "the path is longer than 256 octets",
}
"""What each path error of _paths means, for a person."""


class AddressError(ValueError):
    """Text that is not an address. ``where`` is the offset (octets of its UTF-8 form) at which that was noticed."""

    def __init__(self, where: int, why: str) -> None:
        super().__init__(f"{why} (at octet {where + 1})")
        self.where = where
        self.why = why


def parse_address(text: str | bytes) -> bytes:
    """The address that ``text`` spells, in the form in which addresses are compared.

    Domain in lower case and as A-labels, local part with the fewest quotes (RFC 5321 4.1.2), in UTF-8. AddressError
    when ``text`` is not one.
    """
    octets = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    error, _, _, _, address, _, where = _paths.parse_mailbox(octets)
    if error:
        raise AddressError(where, WHY[error])
    local, _, domain = address.rpartition(b"@")
    return local + b"@" + ascii_domain(domain)


def domain_of(address: bytes) -> bytes:
    """The domain of a parsed address; ``b""`` when it has none (null path, bare postmaster)."""
    # The last "@": a quoted local part may hold others, a domain cannot.
    return address[address.rfind(b"@") + 1 :] if b"@" in address else b""


def local_part_of(address: bytes) -> bytes:
    """The local part of a parsed address as written, quotes included."""
    return address[: address.rfind(b"@")] if b"@" in address else address


def base_address(address: bytes, delimiter: str) -> bytes:
    """``address`` without its sub-address: ``user+tag@d`` is ``user@d`` (RFC 5233 1).

    ``delimiter`` is any of the characters of the string. An address without one, one whose local part begins with it
    (nothing would be left) and one with a quoted local part are returned as they are.
    """
    local = local_part_of(address)
    if local.startswith(b'"'):
        return address
    ends = [at for mark in delimiter if (at := local.find(mark.encode(), 1)) > 0]
    return local[: min(ends)] + address[len(local) :] if ends else address


def is_role(local_part: bytes, delimiter: str = "") -> bool:
    """Whether ``local_part``, without its sub-address, is one that postmaster answers for: ``postmaster`` (RFC 5321
    4.5.1) or ``MAILER-DAEMON``, the author of what the mail system itself writes; in any letter case."""
    return base_address(local_part, delimiter).lower() in {b"postmaster", b"mailer-daemon"}


def ascii_domain(domain: bytes) -> bytes:
    """``domain`` in lower case and as A-labels (IDNA 2008 after UTS 46 mapping); AddressError when it has none.

    ASCII labels, address literals among them, are only brought to lower case.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain.decode(), uts46=True).lower()
    except (idna.IDNAError, UnicodeError) as fault:
        raise AddressError(0, f"the domain has no ASCII form: {fault}") from fault


def ascii_octets(domain: bytes) -> bytes:
    """``domain`` with its U-labels as A-labels (RFC 5890), for comparison; as it is when it has none or bad ones."""
    if domain.isascii():
        return domain
    try:
        return ascii_domain(domain)
    except AddressError:
        return domain


def ascii_form(address: bytes) -> bytes | None:
    """``address`` with its domain as A-labels, the form that needs no SMTPUTF8 (RFC 6531 3.2); None when its local part
    is not ASCII, or the domain has no A-labels."""
    if address.isascii():
        return address
    local, at, domain = address.rpartition(b"@")
    if not at or not local.isascii():
        return None
    try:
        return local + b"@" + ascii_domain(domain)
    except AddressError:
        return None


def shown_domain(domain: bytes) -> str:
    """``domain`` for a person's eyes: U-labels where A-labels are valid ones, else as it is."""
    text = domain.decode(errors="backslashreplace")
    if b"xn--" not in domain.lower():
        return text
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return text


def literal_address(domain: str) -> str:
    """The IP address in ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321 4.1.3); empty when there is none."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return ""
    inner = domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            return str(ipaddress.IPv6Address(inner[5:]))
        return str(ipaddress.IPv4Address(inner))
    except ValueError:
        return ""
