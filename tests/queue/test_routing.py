"""Where recipients go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.next_hop import NextHop
from relay.mail.tls_policy import NO_TLS, TlsaRecord, TlsPolicy, dane, encrypt, opportunistic, verify
from relay.queue.group import Group
from relay.queue.routing import LOCAL_LANES, Route, Router, group_key, mx_group_key, shard_of
from tests.queue.world import World
from tests.support.directories import local_directory

HOP = NextHop("smtp", "10.0.0.1", 2526)
LMTP = NextHop("lmtp", path="/run/lmtp")
SMART = NextHop("smtp", "smart.example", 587)


def router(smarthost: NextHop | None = None) -> Router:
    directory = local_directory("demo.test", "xn--bcher-kva.test", hostname="mx.example", delimiter="+")
    return Router(directory, {"relay.test": HOP, "other.test": HOP, "box.test": LMTP}, smarthost)


def fields(route: Route) -> tuple[object, ...]:
    return route.kind, route.key, route.next_hop, route.domain


def test_all_spellings_of_a_local_address_wait_in_one_lane():
    """It follows from the address alone: workers that see accounts appear at different moments must agree."""
    key = router().route(b"demo@demo.test").key
    assert key.startswith("local:")
    for recipient in (b"demo+lists@demo.test", b"Demo@demo.test", b"DEMO+x@demo.test", b"demo@demo.test."):
        assert router().route(recipient).key == key


@pytest.mark.parametrize(
    "recipient",
    [
        b"postmaster",
        b"Postmaster@demo.test",
        b"PostMaster+x@demo.test",
        b"MAILER-DAEMON@demo.test",
        b"postmaster@mx.example",
        b"Mailer-Daemon@mx.example",
    ],
)
def test_postmaster_in_any_case_and_without_domain_is_ours(recipient: bytes):
    """RFC 5321 4.5.1."""
    assert router().route(recipient).kind == "local"


@pytest.mark.parametrize("domain", [b"demo.test", b"relay.test", b"elsewhere.test", b"mx.example", b"[192.0.2.1]"])
def test_a_dot_at_the_end_of_a_domain_changes_nothing_about_where_it_goes(domain: bytes):
    rules = router()
    for local_part in (b"demo", b"a..b", b"postmaster"):
        recipient = local_part + b"@" + domain
        assert fields(rules.route(recipient + b".")) == fields(rules.route(recipient))


def test_others_at_our_hostname_go_by_dns_even_after_postmaster():
    rules = router()
    assert rules.route(b"postmaster@mx.example").kind == "local"
    assert rules.route(b"ann@mx.example").key == "mx:mx.example"
    assert rules.route(b"postmaster@mx.example").kind == "local"


def test_domains_with_one_next_hop_share_a_group():
    one, two = router().route(b"a@relay.test"), router().route(b"b@other.test")
    assert one.key == two.key == "smtp://10.0.0.1:2526"
    assert one.next_hop == HOP
    assert fields(router().route(b"a@box.test")) == ("lmtp", "lmtp:///run/lmtp", LMTP, "")


def test_one_next_hop_under_two_tls_policies_is_two_groups():
    """Their connections are not for each other's recipients, so neither is anything else that a group has."""
    checked = HOP._replace(tls=verify("mx.test"))
    rules = Router(
        local_directory("demo.test"),
        {"relay.test": HOP, "plain.test": HOP, "checked.test": checked, "same.test": checked},
    )
    route = {name: rules.route(f"a@{name}.test".encode()) for name in ("relay", "plain", "checked", "same")}
    assert route["relay"].key == route["plain"].key == "smtp://10.0.0.1:2526"
    assert route["checked"].key == route["same"].key == f"smtp://10.0.0.1:2526;tls={checked.tls.token}"
    assert route["checked"].next_hop == checked
    world = World({})
    groups = {name: world.scheduler.group(each.key, each.next_hop) for name, each in route.items()}
    assert groups["relay"] is groups["plain"]
    assert groups["checked"] is groups["same"]
    assert groups["relay"] is not groups["checked"]
    found = groups["checked"]
    assert isinstance(found, Group)
    assert isinstance(found.hop, NextHop)
    assert found.hop.tls == checked.tls


POLICIES = (
    NO_TLS, opportunistic(), encrypt(), encrypt("1.3"), verify("a.test"), verify("b.test"), verify(anchors="/a.pem"),
    dane((TlsaRecord(3, 1, 1, b"x" * 32),)), dane((TlsaRecord(3, 1, 1, b"y" * 32),)),
)  # fmt: skip


@pytest.mark.parametrize("tls", POLICIES, ids=lambda tls: tls.token)
def test_an_mx_set_has_a_group_for_each_policy(tls: TlsPolicy):
    key = mx_group_key(("b.test", "a.test"), tls)
    assert key == mx_group_key(("a.test", "b.test"), tls)
    assert [each for each in POLICIES if mx_group_key(("a.test", "b.test"), each) == key] == [tls]


def test_a_key_without_a_policy_is_what_it_always_was():
    """Which worker has a group follows from its key, and may not change when Relay does."""
    assert group_key(str(HOP)) == group_key(str(HOP), HOP.tls) == "smtp://10.0.0.1:2526"
    assert mx_group_key(("b.test", "a.test")) == "mx-set:a.test,b.test"


def test_all_else_goes_by_mx_or_to_the_smarthost():
    assert fields(router().route(b"a@example.org")) == ("mx", "mx:example.org", None, "example.org")
    assert router(SMART).route(b"a@example.org").key == "smtp://smart.example:587"


@pytest.mark.parametrize(
    ("recipient", "key"),
    [
        (b"a@[192.0.2.1]", "smtp://192.0.2.1:25"),
        (b"a@[IPv6:2001:db8::1]", "smtp://[2001:db8::1]:25"),
        (b"a@[ipv6:2001:DB8::1]", "smtp://[2001:db8::1]:25"),
        (b"a@[tag:thing]", "mx:[tag:thing]"),
    ],
)
def test_an_address_literal_is_its_own_next_hop(recipient: bytes, key: str):
    """RFC 5321 4.1.3."""
    assert router().route(recipient).key == key


def test_u_labels_and_a_labels_are_one_domain():
    """RFC 5890 2.3.2."""
    assert router().route("x@bücher.test".encode()).kind == "local"


def test_an_at_sign_in_a_quoted_local_part_is_not_the_domain():
    assert router().route(b'"a@relay.test"@example.org').key == "mx:example.org"
    assert router().route(b'"x@relay.test"@demo.test').kind == "local"


def test_lanes_are_few():
    keys = {router().route(b"user%d@demo.test" % n).key for n in range(500)}
    assert len(keys) == LOCAL_LANES


@given(st.binary(max_size=80))
def test_any_octets_have_a_route_and_a_shard(recipient: bytes):
    route = router().route(recipient)
    assert 0 <= shard_of(route.key, 3) < 3


def test_the_shard_of_a_key_never_changes():
    """Journals and copies rely on it between versions."""
    assert shard_of("mx:example.org", 1000) == 970


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("relay.queue.routing._CACHE_LIMIT", 10)
    small = router()
    for n in range(100):
        assert small.route(b"a@d%d.example" % n).key == f"mx:d{n}.example"
    assert len(small._known) <= 10
