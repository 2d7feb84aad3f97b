"""Names and TLSA records against chains of certificates (RFC 6125, RFC 6698, RFC 7672)."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from relay.mail.tls_policy import DANE_EE, DANE_TA, TlsaRecord
from relay.net.peer_certificates import expires_at, mismatch_of_names, mismatch_of_records, public_key_info
from tests.support.authorities import Issued, root, self_signed
from tests.support.tls import make_pair

ROOT = root()
MIDDLE = ROOT.issue(is_authority=True, common_name="Middle")
LEAF = MIDDLE.issue("mx.example.org", "*.wild.example")
NAMES = ("mx.example.org",)
NOW = datetime.now(UTC)


def record(usage: int, selector: int, matching: int, issued: Issued) -> TlsaRecord:
    selected = issued.public_key_info if selector else issued.der
    digest = {
        0: bytes,
        1: lambda octets: hashlib.sha256(octets).digest(),
        2: lambda octets: hashlib.sha512(octets).digest(),
    }
    return TlsaRecord(usage, selector, matching, digest[matching](selected))


def why(chain: tuple[bytes, ...], *records: TlsaRecord, names: tuple[str, ...] = NAMES, now: datetime = NOW) -> str:
    return mismatch_of_records(chain, records, names, now)


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mx.example.org", "a.wild.example"])
def test_a_certificate_is_for_its_names(name: str):
    assert mismatch_of_names(LEAF.der, (name,)) == ""
    assert mismatch_of_names(LEAF.der, ("other.example", name)) == ""


@pytest.mark.parametrize(
    "name",
    ["example.org", "a.mx.example.org", "a.b.wild.example", "wild.example", ".wild.example", "mx.example.or", ""],
)
def test_a_certificate_is_not_for_others(name: str):
    """RFC 6125 6.4.3: a wildcard stands for one whole label."""
    assert "it is for mx.example.org, *.wild.example, not for" in mismatch_of_names(LEAF.der, (name,))


@pytest.mark.parametrize("presented", ["*", "*.com", "m*.example.org", "mx.*.org", "*.*.org", "mx.*"])
def test_a_wildcard_is_the_first_label_only_and_never_a_whole_domain(presented: str):
    names = ("mx.example.org", "example.com", "com")
    assert mismatch_of_names(MIDDLE.issue(presented).der, names) != ""


def test_case_and_the_last_dot_do_not_count():
    assert mismatch_of_names(MIDDLE.issue("MX.Example.org.").der, NAMES) == ""


def test_the_common_name_counts_only_where_it_may_and_there_is_no_other():
    """RFC 6125 6.4.4; RFC 8461 4.1 wants a DNS name."""
    old = MIDDLE.issue(common_name="mx.example.org")
    assert mismatch_of_names(old.der, NAMES) == "it is for no host, not for mx.example.org"
    assert mismatch_of_names(old.der, NAMES, with_common_name=True) == ""
    both = MIDDLE.issue("a.example", common_name="mx.example.org")
    assert mismatch_of_names(both.der, NAMES, with_common_name=True) != ""


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_is_matched_as_an_address(address: str):
    addressed = MIDDLE.issue("192.0.2.9", addresses=("192.0.2.1", "2001:db8::1"))
    assert mismatch_of_names(addressed.der, (address,)) == ""
    assert mismatch_of_names(addressed.der, ("192.0.2.9",)) != "", "a DNS name that looks like one"
    assert mismatch_of_names(addressed.der, ("192.0.2.2",)) != ""


def test_the_text_about_a_strangers_names_is_short_and_plain():
    strange = MIDDLE.issue("a.example\n250 OK", *(f"{number}.example" for number in range(1000)))
    assert mismatch_of_names(strange.der, NAMES) == (
        "it is for 0.example, 1.example, 2.example, ..., not for mx.example.org"
    )


# ---- usage 3 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_a_record_of_the_servers_own_certificate_matches_it_and_no_other(selector: int, matching: int):
    """RFC 6698 2.1.1 to 2.1.3."""
    wanted = record(DANE_EE, selector, matching, LEAF)
    assert why(LEAF.chain(), wanted) == ""
    assert why((LEAF.der,), wanted) == ""
    other = MIDDLE.issue("mx.example.org")
    assert why(other.chain(), wanted) == "no TLSA record matches it"
    assert why((other.der, LEAF.der), wanted) == "no TLSA record matches it", "not at another place of the chain"


def test_neither_names_nor_dates_count_for_it():
    """RFC 7672 3.1.1."""
    old = self_signed("elsewhere.example", days=-1)
    assert why(old.chain(), record(DANE_EE, 1, 1, old)) == ""


def test_one_of_several_records_is_enough():
    """RFC 7671 8.1: while a key is changed both stand there."""
    others = [record(DANE_EE, 1, 1, MIDDLE), record(DANE_TA, 1, 1, self_signed("x"))]
    assert why(LEAF.chain(), *others, record(DANE_EE, 0, 1, LEAF)) == ""


def test_the_stronger_digest_counts():
    """RFC 7671 9: the weaker one may be what somebody has found a collision for."""
    wrong = record(DANE_EE, 1, 2, MIDDLE)
    assert why(LEAF.chain(), record(DANE_EE, 1, 1, LEAF), wrong) == "no TLSA record matches it"
    assert why(LEAF.chain(), record(DANE_EE, 0, 1, LEAF), wrong) == "", "of another selector"
    assert why(LEAF.chain(), record(DANE_EE, 1, 0, LEAF), wrong) == "", "no digest"


def test_usages_0_and_1_match_nothing():
    """RFC 7672 3.1.3."""
    assert why(LEAF.chain(), record(1, 1, 1, LEAF), record(0, 1, 1, ROOT)) == "no TLSA record matches it"


def test_a_server_without_a_certificate_matches_nothing():
    assert why((), record(DANE_EE, 1, 1, LEAF)) == "the server has sent none"


# ---- usage 2 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("authority", [ROOT, MIDDLE], ids=["root", "middle"])
def test_an_authority_in_the_chain_is_enough(authority: Issued, selector: int, matching: int):
    """RFC 7672 3.1.2; it need not be a root."""
    wanted = record(DANE_TA, selector, matching, authority)
    assert why(LEAF.chain(), wanted) == ""
    assert why(root("Root").issue("mx.example.org").chain(), wanted) != ""


def test_an_authority_that_is_not_in_the_chain_counts_when_the_record_is_all_of_it():
    assert why(LEAF.chain(with_root=False), record(DANE_TA, 0, 0, ROOT)) == ""
    assert why(LEAF.chain(with_root=False), record(DANE_TA, 1, 0, ROOT)) == "no TLSA record matches it"
    assert why(LEAF.chain(with_root=False), record(DANE_TA, 0, 1, ROOT)) == "no TLSA record matches it"


def test_an_authority_that_only_stands_in_the_chain_vouches_for_nobody():
    """The signatures count, not that somebody shows the authority's certificate."""
    stranger = self_signed("mx.example.org")
    assert "no chain leads to the authority" in why((stranger.der, ROOT.der), record(DANE_TA, 1, 1, ROOT))
    named = root("Middle").issue("mx.example.org")
    assert "no chain leads to the authority" in why((named.der, MIDDLE.der, ROOT.der), record(DANE_TA, 1, 1, MIDDLE))


def test_the_servers_own_certificate_is_no_authority():
    assert why(LEAF.chain(), record(DANE_TA, 1, 1, LEAF)) == "no TLSA record matches it"
    alone = self_signed("mx.example.org")
    for matching in (0, 1):
        assert why((alone.der, alone.der), record(DANE_TA, 0, matching, alone)) == "no TLSA record matches it"


BAD = {
    "expired": MIDDLE.issue("mx.example.org", days=-1),
    "not yet good": MIDDLE.issue("mx.example.org", starts=1),
    "by somebody expired": ROOT.issue(is_authority=True, days=-1).issue("mx.example.org"),
    "by no authority": ROOT.issue("a.example").issue("mx.example.org"),
    "by one that may not sign": ROOT.issue(is_authority=True, may_sign=False).issue("mx.example.org"),
    "not for servers": MIDDLE.issue("mx.example.org", for_servers=False),
    "with an unknown critical extension": MIDDLE.issue("mx.example.org", critical="1.3.6.1.4.1.99999.1"),
    "outside the domain of its authority": ROOT.issue(is_authority=True, permitted="example.com").issue(
        "mx.example.org"
    ),
    "for another name": MIDDLE.issue("mx.example.com"),
}


@pytest.mark.parametrize("issued", BAD.values(), ids=BAD)
def test_a_certificate_below_the_authority_has_to_be_good(issued: Issued):
    """RFC 5280 6.1, RFC 7672 3.1.2."""
    assert why(issued.chain(), record(DANE_TA, 1, 1, ROOT)) not in ("", "no TLSA record matches it")


GOOD = {
    "for servers": MIDDLE.issue("mx.example.org", for_servers=True),
    "by one that may sign": ROOT.issue(is_authority=True, may_sign=True).issue("mx.example.org"),
    "with a common name alone": MIDDLE.issue(common_name="mx.example.org"),
    "inside the domain of its authority": ROOT.issue(is_authority=True, permitted="example.org").issue(
        "mx.example.org"
    ),
    "by the authority itself": ROOT.issue("mx.example.org"),
}


@pytest.mark.parametrize("issued", GOOD.values(), ids=GOOD)
def test_what_only_public_authorities_have_to_write_is_not_asked_for(issued: Issued):
    assert why(issued.chain(), record(DANE_TA, 1, 1, ROOT)) == ""


def test_more_certificates_than_are_followed_are_refused():
    authority = ROOT
    for _ in range(12):
        authority = authority.issue(is_authority=True)
    assert why(authority.issue("mx.example.org").chain(), record(DANE_TA, 1, 1, ROOT)) != ""


# ---- DER ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rsa_key", [False, True], ids=["ec", "rsa"])
def test_the_key_is_found_where_it_stands(tmp_path, rsa_key: bool):
    pem = make_pair(tmp_path, *(f"{number}.example" for number in range(100)), rsa_key=rsa_key).cert.read_bytes()
    read = x509.load_pem_x509_certificate(pem)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    expected = read.public_key().public_bytes(serialization.Encoding.DER, form)
    assert public_key_info(read.public_bytes(serialization.Encoding.DER)) == expected


@given(st.binary(max_size=200))
def test_any_octets_are_a_key_or_an_error(octets: bytes):
    for each in (octets, LEAF.der[: len(octets)]):
        with pytest.raises(ValueError):
            public_key_info(each)
        assert why((each,), record(DANE_EE, 1, 1, LEAF)) != ""
        assert why((each, ROOT.der), record(DANE_TA, 1, 1, ROOT)) != ""
        assert mismatch_of_names(each, NAMES) != ""
        assert expires_at(each) is None


@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
def test_a_changed_octet_never_passes_for_the_certificate(at: int, change: int):
    changed = bytearray(LEAF.der)
    changed[at] ^= change
    chain = (bytes(changed), *LEAF.chain()[1:])
    assert why(chain, record(DANE_EE, 0, 1, LEAF)) != ""
    assert why(chain, record(DANE_TA, 1, 1, ROOT)) != ""


def test_no_malformed_chain_is_accepted_and_none_raises():
    """The library raises and warns in more than one way; found by this: ValueError while the path is followed."""
    draw = random.Random(7)
    wanted = record(DANE_TA, 1, 1, ROOT)
    for _ in range(2000):
        chain = [bytearray(each) for each in LEAF.chain()]
        changed = draw.choice(chain[:2])
        for _ in range(draw.choice((1, 1, 2, 5))):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        octets = tuple(map(bytes, chain))
        assert octets == LEAF.chain() or why(octets, wanted) != ""
        assert isinstance(mismatch_of_names(bytes(changed), NAMES), str)
        expires_at(bytes(changed))
