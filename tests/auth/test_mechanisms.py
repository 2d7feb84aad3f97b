"""The mechanisms as machines: RFC 4616, RFC 5802, RFC 7677, and LOGIN."""

import base64
import hashlib
import hmac

import pytest

from relay.auth import scram
from relay.auth.exchange import make, offered
from relay.auth.steps import Accepted, Challenge, CheckPassword, CheckProof, Login, Refused, Trouble

OK = Login("alice@demo.test")
KEYS = scram.make_keys("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)


def exchange(name, keys=KEYS, bindings=None, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"):
    made = make(name, keys_of=lambda _: keys, bindings=bindings or {}, nonce=nonce)
    assert made is not None
    return made


def coded(octets):
    return base64.b64encode(octets)


def said(step):
    assert isinstance(step, Challenge), step
    return base64.b64decode(step.octets)


# --- what is offered ---


def test_nothing_is_offered_in_the_clear_unless_the_listener_allows_it():
    assert offered(is_secure=False, allows_plaintext=False, has_bindings=False) == ()
    assert offered(is_secure=False, allows_plaintext=True, has_bindings=False) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert offered(is_secure=True, allows_plaintext=False, has_bindings=True)[0] == "SCRAM-SHA-256-PLUS"


def test_there_is_no_exchange_for_an_unknown_mechanism():
    assert make("CRAM-MD5", keys_of=lambda _: KEYS, bindings={}, nonce="x") is None


# --- PLAIN ---


def test_plain_with_an_initial_response_asks_for_one_check():
    """RFC 4616 4."""
    plain = exchange("PLAIN")
    assert plain.start(coded(b"\0tim\0tanstaaftanstaaf")) == CheckPassword("tim", "tanstaaftanstaaf", "PLAIN")
    assert plain.checked(OK) == Accepted("alice@demo.test")


def test_plain_without_an_initial_response_gets_an_empty_challenge():
    plain = exchange("PLAIN")
    assert said(plain.start(None)) == b""
    assert plain.answer(coded(b"Tim\0tim\0x")) == CheckPassword("tim", "x", "PLAIN")


def test_plain_refuses_to_act_as_somebody_else():
    assert exchange("PLAIN").start(coded(b"kurt\0tim\0x")) == Refused(Trouble.AUTHORIZATION)


@pytest.mark.parametrize(
    "message",
    [b"", b"tim", b"tim\0x", b"\0tim\0x\0y", b"\0\0x", b"\0tim\0", b"\0tim\0\xff", b"\0tim\0" + b"x" * 1025],
    ids=range(8),
)
def test_plain_refuses_what_is_not_three_parts_of_utf8(message):
    assert exchange("PLAIN").start(coded(message) or b"=") == Refused(Trouble.MALFORMED)


def test_a_check_never_shows_its_password():
    assert "secret" not in repr(CheckPassword("tim", "secret", "PLAIN"))
    assert "secret" not in str(CheckPassword("tim", "secret", "PLAIN"))


# --- LOGIN ---


def test_login_asks_for_name_and_password():
    login = exchange("LOGIN")
    assert said(login.start(None)) == b"Username:"
    assert said(login.answer(coded(b"tim"))) == b"Password:"
    assert login.answer(coded(b"x")) == CheckPassword("tim", "x", "LOGIN")


def test_login_takes_the_name_as_initial_response():
    assert said(exchange("LOGIN").start(coded(b"tim"))) == b"Password:"


# --- lines ---


def test_a_star_cancels():
    """RFC 4954 4."""
    login = exchange("LOGIN")
    login.start(None)
    assert login.answer(b"*") == Refused(Trouble.CANCELLED)


@pytest.mark.parametrize("line", [b"!", b"dGlt=", b"dG lt", b"dGl", b"\xff", b"=dGlt"])
def test_what_is_not_base64_is_malformed(line):
    assert exchange("PLAIN").start(line) == Refused(Trouble.MALFORMED)


def test_a_response_above_the_limit_is_too_long():
    """RFC 4954 4: 12288 octets with CRLF."""
    login = exchange("LOGIN")
    login.start(None)
    assert login.answer(b"A" * 12287) == Refused(Trouble.TOO_LONG)


# --- SCRAM ---


def test_scram_follows_the_example_of_the_rfc():
    """RFC 7677 3."""
    machine = exchange("SCRAM-SHA-256")
    first = said(machine.start(coded(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")))
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert first == b"r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    proof = b"c=biws,r=" + nonce + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert machine.answer(coded(proof)) == CheckProof("user", is_right=True, mechanism="SCRAM-SHA-256")
    assert said(machine.checked(OK)) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert machine.answer(b"") == Accepted("alice@demo.test")


class ScramClient:
    """The client's side, written from RFC 5802 3 without the server's code."""

    def __init__(self, password, gs2=b"n,,", binding=b"", name=b"alice@demo.test"):
        self.password, self.gs2, self.binding, self.name = password, gs2, binding, name

    def run(self, machine):
        bare = b"n=" + self.name + b",r=clientnonce"
        step = machine.start(coded(self.gs2 + bare))
        if isinstance(step, Refused):
            return step
        first = said(step)
        parts = dict(part.split(b"=", 1) for part in first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without = b"c=" + coded(self.gs2 + self.binding) + b",r=" + parts[b"r"]
        signed = bare + b"," + first + b"," + without
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return machine.answer(coded(without + b",p=" + coded(proof)))


def test_a_wrong_password_makes_a_wrong_proof():
    step = ScramClient(b"pen").run(exchange("SCRAM-SHA-256"))
    assert step == CheckProof("alice@demo.test", is_right=False, mechanism="SCRAM-SHA-256")


def test_plus_accepts_the_binding_of_this_connection_only():
    """RFC 5802 6, RFC 9266."""
    bindings = {"tls-exporter": b"here"}
    client = ScramClient(b"pencil", b"p=tls-exporter,,", b"here")
    step = client.run(exchange("SCRAM-SHA-256-PLUS", bindings=bindings))
    assert isinstance(step, CheckProof)
    assert step.is_right
    elsewhere = ScramClient(b"pencil", b"p=tls-exporter,,", b"elsewhere")
    assert elsewhere.run(exchange("SCRAM-SHA-256-PLUS", bindings=bindings)) == Refused(Trouble.CHANNEL_BINDING)


def test_a_client_that_was_kept_from_plus_is_refused():
    """RFC 5802 6: the flag "y" where PLUS was offered."""
    client = ScramClient(b"pencil", b"y,,")
    assert client.run(exchange("SCRAM-SHA-256", bindings={"tls-exporter": b"x"})) == Refused(Trouble.CHANNEL_BINDING)
    step = client.run(exchange("SCRAM-SHA-256"))
    assert isinstance(step, CheckProof)
    assert step.is_right


@pytest.mark.parametrize("gs2", [b"p=tls-unique,,", b"n,,", b"y,,"])
def test_plus_needs_a_binding_that_there_is(gs2):
    machine = exchange("SCRAM-SHA-256-PLUS", bindings={"tls-exporter": b"x"})
    assert ScramClient(b"pencil", gs2).run(machine) == Refused(Trouble.CHANNEL_BINDING)


def test_a_decoy_never_accepts_and_keeps_its_salt():
    decoy = scram.decoy_keys(b"secret", "nobody@demo.test", lambda _place: 4096)
    assert decoy == scram.decoy_keys(b"secret", "nobody@demo.test", lambda _place: 4096)
    assert decoy.salt != scram.decoy_keys(b"secret", "another@demo.test", lambda _place: 4096).salt
    step = ScramClient(b"pencil").run(exchange("SCRAM-SHA-256", decoy))
    assert isinstance(step, CheckProof)
    assert not step.is_right


@pytest.mark.parametrize(
    "first",
    [b"", b"n", b"n,,", b"n,,n=user", b"n,,m=x,n=user,r=a", b"n,,n=,r=a", b"n,,n=a=b,r=a", b"n,,n=user,r=",
     b"x,,n=u,r=a", b"n,,r=a,n=user", b"n,,n=us\xff,r=a", b"n,,n=user,r=a b", b"n,,n=user,r=" + b"a" * 513],
    ids=range(13),
)  # fmt: skip
def test_a_broken_first_message_is_malformed(first):
    assert exchange("SCRAM-SHA-256").start(coded(first) or b"=") == Refused(Trouble.MALFORMED)


def test_scram_refuses_to_act_as_somebody_else():
    assert exchange("SCRAM-SHA-256").start(coded(b"n,a=kurt,n=tim,r=x")) == Refused(Trouble.AUTHORIZATION)
    assert isinstance(exchange("SCRAM-SHA-256").start(coded(b"n,a=TIM,n=tim,r=x")), Challenge)


@pytest.mark.parametrize("final", [b"", b"c=biws", b"c=biws,r=x,p=", b"r=x,c=biws,p=AAAA", b"c=!,r=x,p=AAAA"])
def test_a_broken_final_message_is_malformed(final):
    machine = exchange("SCRAM-SHA-256")
    machine.start(coded(b"n,,n=user,r=abc"))
    assert machine.answer(coded(final)) == Refused(Trouble.MALFORMED)


def test_keys_survive_being_written_and_read():
    """RFC 5803."""
    assert scram.read_keys(scram.write_keys(KEYS)) == KEYS
    for bad in ("", "SCRAM-SHA-256$1:AAAA$AAAA:AAAA", "SCRAM-SHA-1" + scram.write_keys(KEYS)[13:]):
        with pytest.raises(ValueError):
            scram.read_keys(bad)
