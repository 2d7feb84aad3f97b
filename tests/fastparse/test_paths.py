"""The path grammar of MAIL and RCPT, example by example (RFC 5321 4.1.2, 4.1.3, RFC 6531 3.3)."""

from __future__ import annotations

import pytest

from relay import _fastparse
from relay.mail import _paths
from relay.smtp import _parameters
from tests.fastparse.twin_paths import Path


def mail(argument: bytes) -> Path:
    return Path(*_paths.parse_path("MAIL", argument))


def rcpt(argument: bytes) -> Path:
    return Path(*_paths.parse_path("RCPT", argument))


@pytest.mark.parametrize(
    ("path", "address", "flags"),
    [
        (b"<user@example.org>", b"user@example.org", set()),
        (b"<User@EXAMPLE.Org>", b"User@example.org", set()),
        (b"<user@localhost>", b"user@localhost", set()),
        (b"<a.b-c+d=e!f%g#$&'*/?^_`{|}~@x.y>", b"a.b-c+d=e!f%g#$&'*/?^_`{|}~@x.y", set()),
        (b'<"a b"@x>', b'"a b"@x', {"quoted"}),
        (b'<"a"@x>', b"a@x", {"quoted"}),
        (b'<"\\a\\.b"@x>', b"a.b@x", {"quoted"}),
        (b'<"a\\"b\\\\c"@x>', b'"a\\"b\\\\c"@x', {"quoted"}),
        (b'<"a@b"@x>', b'"a@b"@x', {"quoted"}),
        (b'<"a>b"@x>', b'"a>b"@x', {"quoted"}),
        (b'<"a..b"@x>', b'"a..b"@x', {"quoted"}),
        (b'<""@x>', b'""@x', {"quoted"}),
        (b"<u@[192.0.2.1]>", b"u@[192.0.2.1]", {"literal"}),
        (b"<u@[IPv6:2001:DB8::1]>", b"u@[ipv6:2001:db8::1]", {"literal"}),
        (b"<u@[IPv6:1:2:3:4:5:6:7:8]>", b"u@[ipv6:1:2:3:4:5:6:7:8]", {"literal"}),
        (b"<u@[IPv6:::ffff:192.0.2.1]>", b"u@[ipv6:::ffff:192.0.2.1]", {"literal"}),
        (b"<u@[IPv6:::]>", b"u@[ipv6:::]", {"literal"}),
        (b"<u@[x-tag:anything!]>", b"u@[x-tag:anything!]", {"literal"}),
        (b"<@a.example,@b:user@c>", b"user@c", {"routed"}),
        (b'<@a:"b:c"@d>', b'"b:c"@d', {"routed", "quoted"}),
        ("<jörg@bücher.example>".encode(), "jörg@bücher.example".encode(), {"utf8"}),
        ('<"ö ö"@x>'.encode(), '"ö ö"@x'.encode(), {"utf8", "quoted"}),
        (b"<u@a_b.example>", b"u@a_b.example", set()),
        (b"<u@xn--bcher-kva.example>", b"u@xn--bcher-kva.example", set()),
        (b"<u@1a.2-b.c3>", b"u@1a.2-b.c3", set()),
    ],
)  # fmt: skip
def test_a_good_path_gives_its_address(path: bytes, address: bytes, flags: set[str]) -> None:
    found = rcpt(b"TO:" + path)
    assert (found.error, found.address, set(found.flags)) == ("", address, flags)
    assert mail(b"FROM:" + path)[:5] == found[:5]


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (b"<a..b@docomo.example>", b"a..b@docomo.example"),
        (b"<a.@docomo.example>", b"a.@docomo.example"),
        (b"<a...@Docomo.example>", b"a...@docomo.example"),
        (b"<.a@x.example>", b".a@x.example"),
        (b"<a@x.example.>", b"a@x.example."),
        (b"<a@x.>", b"a@x."),
        (b"<@r.example:a..@x.example.>", b"a..@x.example."),
        (b'<"a..b"@x.example.>', b'"a..b"@x.example.'),
        ("<ö..@bücher.example.>".encode(), "ö..@bücher.example.".encode()),
    ],
)
def test_addresses_of_large_providers_are_kept_as_written_where_that_is_wanted(path: bytes, address: bytes) -> None:
    for verb, keyword in (("MAIL", b"FROM:"), ("RCPT", b"TO:")):
        found = Path(*_paths.parse_path(verb, keyword + path + b" SIZE=1", lenient=True))
        assert (found.error, found.address, found.params) == ("", address, b"SIZE=1")
        assert _paths.parse_path(verb, keyword + path)[0] in {"local", "domain"}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"<.@x>", "local"),
        (b"<...@x>", "local"),
        (b"<a@x..>", "domain"),
        (b"<a@.>", "domain"),
        (b"<a@.x>", "domain"),
        (b"<a@x..y>", "domain"),
        (b"<a@x.1.>", "domain"),
        (b"<a@-x.>", "domain"),
        (b"<a@x-.>", "domain"),
        (b"<a..>", "no-domain"),
        (b"<postmaster.>", "no-domain"),
        (b"<" + b"a." * 33 + b"@x>", "local-too-long"),
        (b"<a@" + b"x" * 64 + b".>", "label-too-long"),
    ],
)
def test_leniency_has_its_end(path: bytes, error: str) -> None:
    assert _paths.parse_path("RCPT", b"TO:" + path, lenient=True)[0] == error


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"user@example.org", "no-angle"),
        (b"<user@example.org", "unclosed"),
        (b"<", "unclosed"),
        (b'<"a@b>', "unclosed"),
        (b'<"a\\', "unclosed"),
        (b"<u@[1.2.3.4", "unclosed"),
        (b"<@a", "unclosed"),
        (b"<a@b>c", "after-path"),
        (b"<a@b>>", "after-path"),
        (b"<a@b>\tSIZE=1", "after-path"),
        (b"<a b@c>", "local"),
        (b"<.a@b>", "local"),
        (b"<a.@b>", "local"),
        (b"<a..b@c>", "local"),
        (b"< a@b>", "local"),
        (b"<a(comment)@b>", "local"),
        (b"<a\r@b>", "local"),
        (b"<a\0@b>", "local"),
        (b"<a\\@b@c>", "local"),
        (b'<"a"b@c>', "local"),
        (b'<a"b"@c>', "local"),
        (b'<"a\0"@b>', "quoted"),
        (b'<"a\r"@b>', "quoted"),
        (b'<"a\\\n"@b>', "quoted"),
        (b"<user>", "no-domain"),
        (b'<"postmaster">', "no-domain"),
        (b"<@a:postmaster>", "no-domain"),
        (b"<a@>", "domain"),
        (b"<a@.b>", "domain"),
        (b"<a@b.>", "domain"),
        (b"<a@b..c>", "domain"),
        (b"<a@-b>", "domain"),
        (b"<a@b-.c>", "domain"),
        (b"<a@b c>", "domain"),
        (b"<a@b@c>", "domain"),
        (b"<a@b:25>", "domain"),
        (b"<a@127.0.0.1>", "domain"),
        (b"<a@1>", "domain"),
        (b"<a@b,c>", "domain"),
        (b"<a@[1.2.3.4]x>", "domain"),
        (b"<a@[]>", "literal"),
        (b"<a@[1.2.3]>", "literal"),
        (b"<a@[1.2.3.4.5]>", "literal"),
        (b"<a@[1.2.3.256]>", "literal"),
        (b"<a@[1.2.3.04]>", "literal"),
        (b"<a@[0x7f.0.0.1]>", "literal"),
        (b"<a@[IPv6:1]>", "literal"),
        (b"<a@[IPv6:]>", "literal"),
        (b"<a@[IPv6:1::2::3]>", "literal"),
        (b"<a@[IPv6:1:2:3:4:5:6:7::]>", "literal"),
        (b"<a@[IPv6:12345::]>", "literal"),
        (b"<a@[IPv6::1]>", "literal"),
        (b"<a@[IPv6:1:2:3:4:5:6:7:1.2.3.4]>", "literal"),
        (b"<a@[IPv6:fe80::1%eth0]>", "literal"),
        (b"<a@[::1]>", "literal"),
        (b"<a@[-:x]>", "literal"),
        (b"<a@[tag:]>", "literal"),
        (b"<a@[1.2.3.4\\]]>", "literal"),
        (b"<@a@b>", "route"),
        (b"<@a,b:c@d>", "route"),
        (b"<@:c@d>", "route"),
        (b"<@a,:c@d>", "route"),
        (b"<@[1.2.3.4]:c@d>", "route"),
        (b"<a\xff@b>", "utf8"),
        (b"<a@\xc3>", "utf8"),
        (b"<\xc0\x80@b>", "utf8"),
        (b"<\xed\xa0\x80@b>", "utf8"),
        (b"<\xf4\x90\x80\x80@b>", "utf8"),
    ],
)
def test_a_bad_path_is_told_by_its_kind(path: bytes, error: str) -> None:
    assert rcpt(b"TO:" + path).error == error
    assert mail(b"FROM:" + path).error == error


def test_lengths_are_told_apart_from_syntax() -> None:
    """RFC 5321 4.5.3.1: 64, 255 and 256 octets are the last that pass."""
    label = b"d" * 63
    long_domain = b".".join([label, label, label, b"d" * 62])
    assert rcpt(b"TO:<" + b"x" * 64 + b"@d>").error == ""
    assert rcpt(b"TO:<" + b"x" * 65 + b"@d>").error == "local-too-long"
    assert rcpt(b'TO:<"' + b"x" * 63 + b'"@d>').error == "local-too-long"
    assert rcpt(b"TO:<x@" + label + b"d>").error == "label-too-long"
    assert rcpt(b"TO:<x@" + long_domain + b".dd>").error == "domain-too-long"
    assert rcpt(b"TO:<x@" + long_domain + b">").error == "path-too-long"
    assert rcpt(b"TO:<x@" + long_domain[:-2] + b">").error == ""
    assert rcpt(b"TO:<xx@" + long_domain[:-1] + b">").error == "path-too-long"
    assert rcpt(b"TO:<@" + long_domain + b":a@b>").error == "path-too-long"
    assert rcpt(b"TO:<" + b"x" * 65 + b"@-d>").error == "domain"


def test_an_endless_path_is_a_length_fault_not_a_crash() -> None:
    assert rcpt(b"TO:<" + b"x" * 100_000 + b"@d>").error == "local-too-long"
    assert rcpt(b"TO:<" + b"@a," * 50_000 + b"@a:u@d>").error == "path-too-long"
    assert rcpt(b"TO:<" + b"x" * 100_000).error == "unclosed"


def test_the_null_path_is_for_senders_only() -> None:
    """RFC 5321 4.5.5."""
    assert mail(b"FROM:<>")[:5] == ("", frozenset({"null"}), b"", b"", b"")
    assert mail(b"FROM:<> BODY=7BIT").params == b"BODY=7BIT"
    assert rcpt(b"TO:<>").error == "null"


@pytest.mark.parametrize("name", [b"postmaster", b"Postmaster", b"POSTMASTER"])
def test_postmaster_needs_no_domain_as_a_recipient(name: bytes) -> None:
    """RFC 5321 4.1.1.3, 4.5.1."""
    assert rcpt(b"TO:<" + name + b">")[:5] == ("", frozenset({"postmaster"}), name, b"", name)
    assert mail(b"FROM:<" + name + b">").error == "no-domain"


def test_spaces_after_the_colon_are_tolerated() -> None:
    assert mail(b"FROM:  <a@b>  SIZE=1 ")[4:6] == (b"a@b", b"SIZE=1")
    assert mail(b"from: <a@b>").error == ""


@pytest.mark.parametrize("argument", [b"", b"FROM", b"FROM <a@b>", b"FROM :<a@b>", b"TO:<a@b>", b"<a@b>", b"FROM\t:<>"])
def test_a_missing_keyword_is_told(argument: bytes) -> None:
    assert mail(argument).error == "keyword"


def test_the_percent_hack_and_bang_paths_are_plain_local_parts() -> None:
    """They name no other domain than the one behind the "@"; policy sees exactly that."""
    assert rcpt(b"TO:<victim%evil.example@ours.example>")[2:4] == (b"victim%evil.example", b"ours.example")
    assert rcpt(b"TO:<evil.example!victim@ours.example>").domain == b"ours.example"
    assert rcpt(b'TO:<"victim@evil.example"@ours.example>').domain == b"ours.example"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", []),
        (b"SIZE=10", [("SIZE", b"SIZE", b"10")]),
        (b"  size=10   X-Y  ", [("SIZE", b"size", b"10"), ("", b"X-Y", None)]),
        (b"ORCPT=rfc822;a+2Bb@c", [("ORCPT", b"ORCPT", b"rfc822;a+2Bb@c")]),
        (b"SIZE=", None),
        (b"=1", None),
        (b"SIZE=1=2", None),
        (b"-X", None),
        (b"A B\tC", None),
        (b"A=\x7f", None),
        (b"A=\xff", None),
        ("A=ü".encode(), [("", b"A", "ü".encode())]),
    ],
)
def test_parameters_are_read(octets: bytes, expected: list[tuple[str, bytes, bytes | None]] | None) -> None:
    """RFC 5321 4.1.2: esmtp-param."""
    assert _parameters.parse_params(octets) == expected


def test_a_huge_size_is_a_large_number_not_a_small_one() -> None:
    """RFC 1870 3 allows 20 digits, which overflow 64 bits."""
    assert _fastparse.parse_decimal(b"99999999999999999999") == 2**63 - 1
    assert _fastparse.parse_decimal(b"18446744073709551617") == 2**63 - 1
    assert _fastparse.parse_decimal(b"00000000000000000001") == 1
    assert _fastparse.parse_decimal(b"000000000000000000001") == -1
    assert [_fastparse.parse_decimal(octets) for octets in (b"", b"-1", b"+1", b"1 ", b"0x1")] == [-1] * 5
