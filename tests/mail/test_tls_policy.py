"""The value of a TLS policy: what makes two of them equal, and what they look like in a key and in a frame."""

from __future__ import annotations

import msgpack
import pytest

from relay.mail.tls_policy import NO_TLS, TlsaRecord, TlsPolicy, dane, encrypt, opportunistic, verify

KEY = TlsaRecord(3, 1, 1, bytes(32))
AUTHORITY = TlsaRecord(2, 0, 2, bytes(64))
EACH = (
    NO_TLS, opportunistic(), opportunistic("1.3"), encrypt(), verify("a.test"), verify("a.test", min_version="1.3"),
    verify(anchors="/etc/ca;1.pem"), dane((KEY,)), dane((KEY, AUTHORITY), "a.test"),
)  # fmt: skip


@pytest.mark.parametrize("policy", EACH, ids=lambda policy: policy.token)
def test_a_policy_comes_through_a_frame(policy: TlsPolicy):
    frame = msgpack.packb(policy.pack())
    assert TlsPolicy.unpack(msgpack.unpackb(frame, use_list=False, raw=False)) == policy


def test_the_tokens_of_different_policies_differ():
    tokens = [policy.token for policy in EACH]
    assert len(set(tokens)) == len(EACH)
    assert not any(set("; ") & set(token) for token in tokens)


def test_no_policy_leaves_no_trace():
    assert NO_TLS.token == ""
    assert NO_TLS.pack() == ()
    assert TlsPolicy.unpack(()) is NO_TLS


def test_a_token_is_the_same_in_every_process():
    """The shard of a group is made of it."""
    assert verify("mx.example.org").token == "verify/ac10b21ce44a8761"
    assert encrypt("1.3").token == "encrypt/1.3"


def test_the_order_of_names_and_records_does_not_matter():
    assert verify("B.test.", "a.test") == verify("a.test", "b.test", "b.test")
    assert dane((KEY, AUTHORITY)) == dane((AUTHORITY, KEY, KEY))


@pytest.mark.parametrize(
    ("policy", "is_required"),
    [(NO_TLS, False), (opportunistic(), False), (encrypt(), True), (verify(), True), (dane((KEY,)), True)],
)
def test_only_some_policies_forbid_clear_text(policy: TlsPolicy, is_required: bool):
    assert policy.is_required == is_required


@pytest.mark.parametrize(
    "record",
    [
        KEY._replace(usage=0), KEY._replace(usage=1), KEY._replace(usage=4), KEY._replace(selector=2),
        KEY._replace(matching=3), KEY._replace(data=bytes(31)), KEY._replace(matching=2), KEY._replace(data=b""),
        KEY._replace(matching=0, data=b""),
    ],
)  # fmt: skip
def test_records_that_can_match_nothing_ask_for_encryption_alone(record: TlsaRecord):
    """RFC 7672 2.2, 3.1.3."""
    assert not record.is_usable
    assert dane((record,)) == encrypt()
    assert dane((record, KEY)).records == (KEY,)


def test_no_records_are_no_policy():
    with pytest.raises(ValueError, match="no TLSA records"):
        dane(())
