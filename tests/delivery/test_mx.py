"""What an MX answer means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.mx import leads_back, mx_hosts, no_addresses
from relay.mail.outcome import DEFERRED, FAILED, Outcome
from relay.net.dns import FOUND, NO_NAME, NO_RECORDS, TEMPORARY, Addresses, Answer, MxRecord

OWN = frozenset({"relay.test"})


def keep(hosts: list) -> None:
    """No shuffle."""


def hosts(*records: tuple[int, str], kind: str = FOUND, shuffle=keep):
    answer = Answer(kind, tuple(MxRecord(*record) for record in records), "why")
    return mx_hosts("Example.test", answer, OWN, shuffle)


def test_lower_preference_comes_first():
    """RFC 5321 5.1."""
    assert hosts((20, "b"), (10, "a"), (30, "c")) == ("a", "b", "c")


def test_equal_preferences_are_shuffled_and_only_those():
    assert hosts((10, "a"), (10, "b"), (5, "x"), (20, "y"), shuffle=lambda each: each.reverse()) == ("x", "b", "a", "y")


def test_a_domain_without_mx_is_its_own_host():
    assert hosts(kind=NO_RECORDS) == ("example.test",)


@pytest.mark.parametrize(("kind", "expected"), [(NO_NAME, (FAILED, "5.1.2")), (TEMPORARY, (DEFERRED, "4.4.3"))])
def test_no_such_domain_is_permanent_and_a_failed_lookup_temporary(kind, expected):
    outcome = hosts(kind=kind)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.status, outcome.stage, outcome.text) == (*expected, "dns", "why")


def test_a_null_mx_takes_no_mail():
    """RFC 7505 3."""
    outcome = hosts((0, ""))
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.status) == (FAILED, "5.1.10")


def test_a_null_mx_beside_others_says_nothing():
    assert hosts((0, ""), (10, "a")) == ("a",)


def test_our_own_name_drops_itself_and_all_that_is_not_better():
    """RFC 5321 5.1: only hosts of strictly lower preference may be tried."""
    assert hosts((10, "a"), (20, "relay.test"), (20, "b"), (30, "c")) == ("a",)


@pytest.mark.parametrize("records", [[(10, "relay.test")], [(10, "relay.test"), (10, "a"), (20, "b")]])
def test_nothing_left_is_a_loop(records):
    outcome = hosts(*records)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.status) == (FAILED, "5.4.6")


def test_a_domain_without_mx_that_is_ourselves_is_a_loop():
    outcome = mx_hosts("Relay.test", Answer(NO_RECORDS), OWN, keep)
    assert isinstance(outcome, Outcome)
    assert outcome.status == "5.4.6"


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcdef")), min_size=1))
def test_every_host_is_tried_once_at_its_best_preference(records):
    best: dict[str, int] = {}
    for preference, host in records:
        best[host] = min(preference, best.get(host, 99))
    result = hosts(*records)
    assert sorted(result) == sorted(best)
    assert [best[host] for host in result] == sorted(best.values())


def test_hosts_without_addresses_are_temporary_if_one_lookup_failed():
    nothing, failure = Addresses(NO_NAME, (), "no"), Addresses(TEMPORARY, (), "later")
    assert no_addresses([nothing, failure], "x.test").kind == DEFERRED
    assert (no_addresses([nothing], "x.test").status, no_addresses([nothing, nothing], "x.test").kind) == (
        "5.1.2",
        FAILED,
    )


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "224.0.0.1", "169.254.169.254", "fe80::1"],
)
def test_addresses_of_this_host_or_of_no_host_are_never_an_exchanger(address):
    assert leads_back(address)


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "2001:db8::1"])
def test_addresses_of_other_hosts_may_be_exchangers(address):
    assert not leads_back(address)
