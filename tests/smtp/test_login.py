"""AUTH (RFC 4954) where a dialog cannot show it."""

import base64

import pytest

from relay.auth import Login, Trouble
from tests.smtp.stand import FakeStream, Stand

PLAIN = base64.b64encode(b"\0anna@local.test\0secret").decode()


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def stand(**settings) -> Stand:
    return Stand(kind="submission", plaintext_login=True, **settings)


def logged_in(stand: Stand):
    peer = stand.connect().hello()
    assert peer.say(f"AUTH PLAIN {PLAIN}") == ["235 2.7.0 You are logged in"]
    return peer


def test_the_envelope_the_received_field_and_the_log_name_the_account():
    """RFC 3848: ESMTPA."""
    world = stand()
    peer = logged_in(world)
    assert peer.say("MAIL FROM:<anna@local.test>", "RCPT TO:<x@elsewhere.example>", "DATA")[-1].startswith("354")
    assert peer.say("From: anna@local.test", "", "Hello.", ".")[0].startswith("250")
    (record,) = world.spool.records
    assert record.envelope.client.account == "anna@local.test"
    assert b" with ESMTPA id " in record.received
    assert world.log.lines[-1]["account"] == "anna@local.test"
    assert world.logins.clients[0].protocol == "smtp"
    assert "secret" not in str(world.log.lines) + str(world.log.events)


def test_an_account_is_forgotten_when_tls_begins():
    """RFC 3207 4.2: what was known before the handshake does not count."""
    world = stand(tls=True)
    peer = logged_in(world)
    assert peer.say("STARTTLS") == ["220 2.0.0 Ready to start TLS"]
    peer.session.secured(FakeStream())
    assert peer.session.account == ""
    assert any("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in line for line in peer.say("EHLO client.example"))
    assert peer.say("MAIL FROM:<anna@local.test>")[0].startswith("530 5.7.0")


@pytest.mark.parametrize("trouble", [Trouble.THROTTLED, Trouble.BUSY])
def test_what_may_be_right_later_is_answered_454(trouble):
    """RFC 4954 6, so that clients do not ask for another password."""
    world = stand()
    world.logins.trouble = trouble
    assert world.connect().hello().say(f"AUTH PLAIN {PLAIN}")[0].startswith("454 4.7.0 ")


def test_a_response_above_12288_octets_ends_the_exchange_and_only_that():
    """RFC 4954 4."""
    world = stand()
    peer = world.connect().hello()
    assert peer.say("AUTH LOGIN") == ["334 VXNlcm5hbWU6"]
    assert peer.say("A" * 12288) == ["500 5.5.6 Line of the login is too long"]
    assert peer.say("NOOP") == ["250 2.0.0 Ok"]
    assert world.logins.came_to == [Trouble.TOO_LONG]
    assert peer.say("AUTH LOGIN") == ["334 VXNlcm5hbWU6"]
    assert peer.say("A" * 12284) == ["334 UGFzc3dvcmQ6"], "longer than a command may be"


@pytest.mark.parametrize(
    ("lines", "stage"),
    [(["AUTH LOGIN"], "mechanism"), (["AUTH LOGIN", coded("anna@local.test")], "name"),
     ([f"AUTH SCRAM-SHA-256 {coded('n,,n=anna@local.test,r=x')}"], "challenge")],
)  # fmt: skip
@pytest.mark.parametrize("end", ["lost", "timeout"])
def test_an_exchange_that_the_client_leaves_is_counted(lines, stage, end):
    world = stand()
    peer = world.connect().hello()
    for line in lines:
        assert peer.say(line)[0].startswith("334")
    if end == "timeout":
        world.pass_time(400)
    peer.session.lost()
    assert world.logins.came_to == [Trouble.ABANDONED]
    assert world.logins.begun.stage == stage


def test_an_exchange_that_has_ended_is_not_counted_again():
    world = stand()
    peer = logged_in(world)
    peer.session.lost()
    world.connect().hello().session.lost()
    assert world.logins.came_to == []


def test_what_comes_while_a_password_is_checked_waits():
    world = stand()
    world.logins.waits = object()  # an awaitable that nobody awaits
    peer = world.connect().hello()
    assert peer.say(f"AUTH PLAIN {PLAIN}", "NOOP") == []
    assert peer.session.question is world.logins.waits
    peer.session.answered(Login("anna@local.test"))
    assert peer.take() == b"235 2.7.0 You are logged in\r\n250 2.0.0 Ok\r\n"


def test_a_fault_of_ours_is_temporary():
    world = stand()
    world.logins.waits = object()  # an awaitable that nobody awaits
    peer = world.connect().hello()
    peer.say(f"AUTH PLAIN {PLAIN}")
    peer.session.answered(RuntimeError("cause"))
    assert peer.take().startswith(b"454 4.7.0 ")


def test_failed_logins_end_the_session_as_other_errors_do():
    world = stand(max_errors=3)
    peer = world.connect().hello()
    said = [line for _ in range(3) for line in peer.say(f"AUTH PLAIN {coded('a' + chr(0) + 'b' + chr(0) + 'c')}")]
    assert said[-1].startswith("421 4.7.0")


def test_any_sender_is_allowed_where_the_setting_says_so():
    peer = logged_in(stand(senders="any"))
    assert peer.say("MAIL FROM:<boss@elsewhere.example>") == ["250 2.1.0 Sender ok"]


@pytest.mark.parametrize(
    ("field", "is_refused"),
    [
        ("From: anna@local.test", False),
        ("FROM : Anna <ANNA+x@LOCAL.test>", False),
        ("From: =?utf-8?q?A?=\r\n <anna@local.test>", False),
        ("From: bert@local.test", True),
        ("From: anna@local.test\r\nFrom: bert@local.test", True),
        ("From: nobody", True),
        ("From:", True),
        ("To: bert@local.test", False),
        ("X-From: bert@local.test", False),
    ],
)
def test_the_author_is_the_account(field, is_refused):
    peer = logged_in(stand())
    peer.say("MAIL FROM:<anna@local.test>", "RCPT TO:<x@elsewhere.example>", "DATA")
    (reply,) = peer.say(field, "", "From: body@elsewhere.example", ".")
    assert reply.startswith("550 5.7.1" if is_refused else "250 2.0.0"), reply
