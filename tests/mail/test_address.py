"""Addresses on cold paths."""

from __future__ import annotations

import pytest
from hypothesis import given

from relay.mail import _paths
from relay.mail.address import (
    WHY,
    AddressError,
    ascii_domain,
    base_address,
    domain_of,
    literal_address,
    local_part_of,
    parse_address,
    shown_domain,
)
from tests.fastparse import samples


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("User@Example.ORG", b"User@example.org"),
        ('"user"@example.org', b"user@example.org"),
        ("jörg@Bücher.example", "jörg@".encode() + b"xn--bcher-kva.example"),
        ("u@BÜCHER.example", b"u@xn--bcher-kva.example"),
        ("u@faß.example", b"u@xn--fa-hia.example"),
        ("u@[IPv6:2001:DB8::1]", b"u@[ipv6:2001:db8::1]"),
        (b"u@d", b"u@d"),
    ],
)
def test_an_address_has_one_form(text: str | bytes, address: bytes) -> None:
    """RFC 5321 2.4: the domain's letter case means nothing; RFC 5890 2.3.2.1: A-labels and U-labels name the same."""
    assert parse_address(text) == address
    assert parse_address(address) == address


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("", 0, "the local part is malformed"),
        ("user", 4, "the domain is missing"),
        ("us er@d", 2, "the local part is malformed"),
        ("user@", 5, "the domain is malformed"),
        ("user@a..b", 7, "the domain is malformed"),
        ("<user@d>", 0, "the local part is malformed"),
        ("user@d,", 6, "the domain is malformed"),
        ("u\udcff@d", 1, "it is not valid UTF-8"),
        ("x" * 65 + "@d", 67, "the local part is longer than 64 octets"),
    ],
)
def test_what_is_no_address_is_told_with_its_place(text: str, where: int, why: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert (caught.value.where, caught.value.why) == (where, why)
    assert str(caught.value) == f"{why} (at octet {where + 1})"


def test_a_domain_without_an_ascii_form_is_no_domain() -> None:
    with pytest.raises(AddressError, match="no ASCII form"):
        parse_address("u@\u2603.example")


@given(samples.paths().map(lambda path: path.partition(b"<")[2].partition(b">")[0]))
def test_parsing_is_idempotent(octets: bytes) -> None:
    try:
        address = parse_address(octets)
    except AddressError:
        return
    assert parse_address(address) == address


def test_the_parts_of_an_address_are_parted_at_the_last_at_sign() -> None:
    """RFC 5321 4.1.2: a quoted local part may hold "@"."""
    assert domain_of(b'"a@evil.example"@ours.example') == b"ours.example"
    assert local_part_of(b'"a@evil.example"@ours.example') == b'"a@evil.example"'
    assert (domain_of(b""), local_part_of(b"postmaster"), domain_of(b"postmaster")) == (b"", b"postmaster", b"")


@pytest.mark.parametrize(
    ("address", "delimiter", "base"),
    [
        (b"user+tag@d", "+", b"user@d"),
        (b"user+a+b@d", "+", b"user@d"),
        (b"user-a+b@d", "+-", b"user@d"),
        (b"user+@d", "+", b"user@d"),
        (b"user@d+x", "+", b"user@d+x"),
        (b"+tag@d", "+", b"+tag@d"),
        (b"user+tag@d", "", b"user+tag@d"),
        (b"user@d", "+", b"user@d"),
        (b'"a b+c"@d', "+", b'"a b+c"@d'),
        (b"postmaster", "+", b"postmaster"),
    ],
)
def test_sub_addressing_is_taken_off(address: bytes, delimiter: str, base: bytes) -> None:
    """RFC 5233 1."""
    assert base_address(address, delimiter) == base


def test_domains_are_shown_as_people_write_them() -> None:
    assert shown_domain(b"xn--bcher-kva.example") == "bücher.example"
    assert shown_domain(b"xn--999999999.example") == "xn--999999999.example"
    assert shown_domain(b"example.org") == "example.org"
    assert ascii_domain("bücher.example".encode()) == b"xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("domain", "address"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[ipv6:2001:DB8:0::1]", "2001:db8::1"),
        ("[2001:db8::1]", ""),
        ("[192.0.2]", ""),
        ("[x-y:1]", ""),
        ("192.0.2.1", ""),
        ("[192.0.2.1", ""),
    ],
)
def test_address_literals(domain: str, address: str) -> None:
    """RFC 5321 4.1.3."""
    assert literal_address(domain) == address


def test_every_path_error_has_its_words() -> None:
    assert set(WHY) == set(_paths.PATH_ERRORS) - {""}
