"""Address lists of header fields, as ENVELOPE shows them (RFC 9051 7.5.2); read by relay/mail/header_addresses.py."""

from __future__ import annotations

from typing import NamedTuple

from relay.mail import header_addresses


class Address(NamedTuple):
    """One address, or the begin (no host, a mailbox) or end (neither) of a group."""

    name: bytes | None
    mailbox: bytes | None
    host: bytes | None


def addresses(value: bytes) -> list[Address]:
    """The addresses of a field's value, folded or not."""
    return [Address(*each[:3]) for each in header_addresses.addresses(value)]
