"""Addresses for the address test (RFC 5228 5.1, RFC 5233): mailboxes in their order, groups opened.

They are read by relay/mail/header_addresses.py; what has no addr-spec is left out.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from relay.mail.header_addresses import addresses

_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


class Address(NamedTuple):
    """One mailbox."""

    local: str
    """Without quotes."""
    domain: str
    """Empty for a null reverse-path alone."""

    @property
    def text(self) -> str:
        """As the ``:all`` part is compared (RFC 5228 2.7.4)."""
        return f"{self.local}@{self.domain}" if self.domain else self.local


def parse_addresses(value: bytes) -> list[Address]:
    """The addresses of one field value as it stands in the message."""
    found: list[Address] = []
    for each in addresses(value):
        domain = (each.domain or b"").rstrip(b".")
        if each.local and domain and not each.has_gap:
            found.append(Address(each.local.decode("utf-8", "replace"), domain.decode("utf-8", "replace")))
    return found


def parse_path(path: str) -> Address:
    """The address of an envelope; the null reverse-path has neither part."""
    local, at, domain = path.rpartition("@")
    return Address(_unquoted(local), domain) if at else Address(_unquoted(path), "")


def _unquoted(local: str) -> str:
    if len(local) >= 2 and local.startswith('"') and local.endswith('"'):
        return _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return local


def part_of(address: Address, part: str, delimiter: str) -> str | None:
    """The part that is compared; None where there is none (``:detail`` without a delimiter, RFC 5233 4)."""
    match part:
        case "localpart":
            return address.local
        case "domain":
            return address.domain
        case "user":
            return address.local.partition(delimiter)[0] if delimiter else address.local
        case "detail":
            _, found, detail = address.local.partition(delimiter) if delimiter else ("", "", "")
            return detail if found else None
        case _:
            return address.text
