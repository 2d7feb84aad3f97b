"""What replies mean to an operator: every refusal of ours, every class of reply of others, each with the right news."""

from __future__ import annotations

import re

import pytest

from relay.cli import journey_text, meanings
from relay.cli.journey_text import meanings_of
from relay.config.declare import Setting, declarations
from relay.config.model import Config
from relay.mail import reply as words
from relay.mail.reply import PATH_REPLIES, Reply
from relay.policy import checks
from relay.policy.verdict import Verdict
from relay.smtp import refusals
from relay.smtp.refusals import REFUSALS

STATUSES = [f"{kind}.{subject}.{detail}" for kind in "45" for subject in range(8) for detail in range(31)]
CODES = [*range(400, 460), *range(500, 560)]


def refusals_of(module) -> dict[str, Reply]:
    found = {}
    for name, value in vars(module).items():
        reply = value.reply if isinstance(value, Verdict) else value
        if isinstance(reply, Reply) and reply.code >= 400:
            found[name] = reply
    return found


def refused(reply: Reply, reason: str = "") -> list[str]:
    text = f"{reply.text}: <a@b.test>"
    return meanings_of(
        {"result": "refused", "code": reply.code, "status": reply.status, "text": text, "reason": reason}
    )


@pytest.mark.parametrize("name", sorted(name for name in REFUSALS if REFUSALS[name].reason))
def test_every_refusal_of_the_session_is_explained(name):
    assert refused(*REFUSALS[name])


def test_every_cause_that_ends_a_transaction_is_explained():
    from relay.telemetry.metrics import CLOSED, REASONS

    unexplained = {"refused", "mixup", "tls_failed", "drained", "slow"}  # none of them is why a transaction ended
    assert set(REASONS) | set(CLOSED) - unexplained <= set(journey_text._REASONS)


@pytest.mark.parametrize(
    ("reply", "reason", "is_said", "is_not_said"),
    [
        (checks.NOT_YOUR_ADDRESS, "sender_rejected", "auth.senders", "none of ours"),
        (checks.NOT_YOUR_ADDRESS, "relay_denied", "auth.senders", "none of ours"),
        (checks.NOT_YOUR_FROM, "sender_rejected", "auth.senders", "none of ours"),
        (checks.LOGIN_NEEDED.reply, "auth_required", "logged-in accounts", "none of ours"),
        (words.RELAYING_DENIED, "relay_denied", "none of ours", "auth.senders"),
        (words.NO_SUCH_RECIPIENT, "unknown_recipient", "relay account list", "none of ours"),
        (words.TLS_BUSY, "memory", "tls.max_handshakes", "memory_budget"),
        (words.AUTH_LATER, "auth_failed", "auth.max_failures", "without TLS"),
        (words.AUTH_NEEDS_TLS, "auth_failed", "plaintext_login", "docs/"),
        (refusals.BUSY, "memory", "memory_budget", "max_handshakes"),
    ],
)
def test_refusals_that_share_a_status_or_a_reason_are_told_apart(reply, reason, is_said, is_not_said):
    """550 5.7.1 for a sender's address was explained as a domain that is none of ours."""
    (meaning,) = refused(reply, reason)
    assert is_said in meaning
    assert is_not_said not in meaning


def test_every_policy_refusal_has_words_or_a_reason_of_its_own():
    for name, reply in refusals_of(checks).items():
        assert meanings.of_our_reply(reply.text) or reply.code == 530 or meanings.of_our_status(reply.status), name


def test_each_kind_of_refused_recipient_is_explained_once():
    told = meanings_of(
        {
            "result": "refused",
            "reason": "sequence",
            "status": "5.5.1",
            "text": "No valid recipients",
            "refusals": ["a@b.test: 550 5.1.1", "c@b.test: 550 5.1.1", "d@e.test: 550 5.7.1"],
        }
    )
    assert len(told) == 2
    assert "no such account" in told[0]
    assert "none of ours" in told[1]


def test_all_paths_with_errors_are_explained_by_their_reason():
    for replies_of_command in PATH_REPLIES.values():
        for reply in replies_of_command.values():
            assert refused(reply, "syntax")


# ---- others ---------------------------------------------------------------------------------------------------------


def outcome(code: int, status: str, text: str = "", **more) -> str:
    return meanings.of_outcome({"outcome": "deferred", "code": code, "status": status, "text": text, **more})


@pytest.mark.parametrize("code", CODES)
def test_every_reply_code_and_status_has_a_meaning_of_its_class(code):
    for status in STATUSES:
        meaning = outcome(code, status)
        assert meaning
        if code < 500:
            assert not meaning.startswith("That server does not want this mail"), "it may want it later"
            assert "does not exist there." not in meaning or "cannot tell" in meaning


@pytest.mark.parametrize("status", STATUSES)
def test_what_never_was_a_reply_has_a_meaning_that_blames_nobody_elses_reply(status):
    assert outcome(0, status)


@pytest.mark.parametrize(
    "text",
    [
        "Recipient address rejected: Greylisted, try later",
        "<a@b.test>: Recipient address rejected: Greylisting in effect, please come back later",
        "Graylisted - please try again in 5 minutes",
        "Grey-listed, retry",
    ],
)
@pytest.mark.parametrize(
    ("code", "status"), [(450, "4.7.1"), (451, "4.7.1"), (451, "4.7.0"), (450, "4.2.0"), (451, "4.0.0")]
)
def test_greylisting_is_told_as_such_and_not_as_a_refusal(code, status, text):
    assert "greylisting" in outcome(code, status, text)
    assert "does not want this mail" not in outcome(code, status, text)


@pytest.mark.parametrize(
    ("code", "status", "text", "said"),
    [
        (550, "5.1.1", "User unknown", "does not exist there"),
        (550, "5.0.0", "no such user", "does not exist there, or a rule"),
        (552, "5.2.2", "over quota", "mailbox is full"),
        (452, "4.2.2", "over quota", "mailbox is full"),
        (552, "5.0.0", "too big", "larger than that server takes"),
        (550, "5.7.1", "Message rejected", "does not want this mail"),
        (550, "4.7.1", "Message rejected", "does not want this mail"),
        (450, "5.7.1", "wait", "does not want it now"),
        (554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "block list"),
        (550, "5.7.25", "no PTR", "name in DNS (PTR)"),
        (450, "4.7.1", "Client host rejected: cannot find your reverse hostname, [192.0.2.1]", "name in DNS (PTR)"),
        (550, "5.7.23", "SPF fail", "SPF"),
        (554, "5.7.1", "<a@b.test>: Relay access denied", "does not take mail for this domain"),
        (421, "4.7.0", "Too many concurrent SMTP connections", "only so much"),
        (421, "4.3.2", "Shutting down", "no mail at the moment"),
        (421, "4.0.0", "bye", "ended the session"),
        (521, "5.0.0", "no mail", "takes no mail"),
        (0, "4.4.1", "cannot connect: Connection refused", "Nobody answers"),
        (0, "4.4.2", "timed out at stage banner", "silent"),
        (0, "4.4.3", "no answer", "resolver"),
        (0, "5.1.2", "domain b.test does not exist", "does not exist"),
        (0, "5.1.10", "null MX", "RFC 7505"),
        (0, "5.4.6", "would come back", "domains.local"),
        (0, "4.3.1", "the mail system is full", "this machine"),
        (0, "4.3.0", "the mailbox cannot be written", "this machine"),
        (0, "4.4.0", "it has not been its turn yet", "turn"),
    ],
)
def test_replies_of_a_next_hop_are_explained_by_what_they_are_about(code, status, text, said):
    assert said in outcome(code, status, text)


def test_what_expired_says_so_beside_the_last_reply():
    told = meanings.of_outcome({"outcome": "expired", "code": 450, "status": "4.7.1", "text": "Greylisted"})
    assert "greylisting" in told
    assert "queue.lifetime" in told
    assert meanings.of_outcome({"outcome": "expired", "code": 0, "status": "4.4.7", "text": ""}).count("lifetime") == 1


def test_a_full_mailbox_of_ours_names_the_setting():
    assert "mailbox.quota" in outcome(552, "5.2.2", "full", transport="local")


def test_a_delivery_needs_no_explanation():
    assert not meanings.of_outcome({"outcome": "delivered", "code": 250, "status": "2.0.0"})


def test_every_setting_that_an_explanation_names_exists():
    known = set()
    for _, declared in declarations(Config):
        known.add(declared.key)
        if not isinstance(declared, Setting):
            known |= {f"{declared.key}.{inner.key}" for _, inner in declarations(declared.of)}
    tables = (meanings.OUR_WORDS, meanings._OUR_STATUSES, meanings._WORDS, meanings._THERE, meanings._OURS,
              meanings._BY_CODE, journey_text._REASONS)  # fmt: skip
    sections = {name.partition(".")[0] for name in known if "." in name}
    for text in (text for table in tables for text in table.values()):
        for section, key in re.findall(r"\b([a-z_]+)\.([a-z_]+)\b", text):
            assert section not in sections or f"{section}.{key}" in known, text
