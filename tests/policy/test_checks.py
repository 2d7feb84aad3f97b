"""Who may send where, as one table (I4)."""

import asyncio
import dataclasses
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from relay.config.model import Config, DomainSettings, Listener, RelayDomain
from relay.directory.directory import Directory
from relay.directory.resolution import LISTED, UNKNOWN, Becomes, Resolution
from relay.mail.next_hop import NextHop
from relay.policy.assembly import checks_of
from relay.policy.checks import TRUSTED_NETWORK
from relay.policy.facts import Facts
from relay.policy.verdict import Answer, Verdict
from tests.support.directories import Accounts, directory_of

HOP = NextHop("smtp", "127.0.0.1", 2526)


class Peer(NamedTuple):
    """A View."""

    client_address: str = "192.0.2.1"
    listener: str = "mx"
    is_submission: bool = False
    is_trusted: bool = False
    account: str = ""
    helo: bytes = b"client.example"
    reverse_path: bytes = b""
    recipients: tuple[bytes, ...] = ()
    octets: int = 0
    tls: str = ""
    facts: Facts = Facts()


STRANGER = Peer()
TRUSTED = Peer(is_trusted=True)
USER = Peer(account="anna@local.test")

CONFIG = Config(
    hostname="mx.relay.example",
    data_dir=Path("/nonexistent"),
    domains=DomainSettings(local=("local.test", "other.test")),
    relay_domains=(
        RelayDomain("relay.test", HOP),
        RelayDomain("listed.test", HOP, recipients=("Known@listed.test",)),
    ),
    trusted_networks=("10.0.0.0/8", "2001:db8::/32", "192.0.2.25"),
)


class Rules:
    """All checks of one listener, by stage; one has an answer at most in these tests."""

    def __init__(self, config: Config, directory: Directory, kind: str = "mx") -> None:
        self.checks = list(checks_of(Listener(kind, kind, "127.0.0.1", 0), config, directory))

    def ask(self, stage: str, peer: Peer, about: Any) -> Answer:
        answers = [check.ask(peer, about) for check in self.checks if check.stage == stage]
        found = [answer for answer in answers if answer is not None]
        assert len(found) <= 1
        return found[0] if found else None

    def connect(self, peer: Peer) -> Answer:
        return self.ask("connect", peer, None)

    def mail(self, peer: Peer, reverse_path: bytes) -> Answer:
        return self.ask("mail", peer, reverse_path)

    def rcpt(self, peer: Peer, recipient: bytes) -> Answer:
        return self.ask("rcpt", peer, recipient)


def rules_of(kind: str = "mx", **changes: object) -> Rules:
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    return Rules(config, directory_of(config, b"anna@local.test", b"bert+x@local.test"), kind)


def status(rules: Rules, peer: Peer, recipient: bytes) -> str:
    """The enhanced status of the refusal, or ``ok``, or ``-> address`` when the recipient is replaced."""
    answer = rules.rcpt(peer, recipient)
    if answer is None:
        return "ok"
    assert isinstance(answer, Verdict)
    if answer.reply is None:
        assert answer.instead is not None
        return f"-> {b' '.join(answer.instead).decode()}"
    assert recipient.decode(errors="backslashreplace") in answer.reply.text
    return answer.reply.status


TABLE = [
    # recipient                           stranger                      trusted
    (b"anna@local.test",                  "ok",                         "ok"),
    (b"ANNA@local.test",                  "ok",                         "ok"),
    (b"anna+tag@local.test",              "ok",                         "ok"),
    (b"anna+@local.test",                 "ok",                         "ok"),
    (b"bert+x@local.test",                "ok",                         "ok"),
    (b"bert@local.test",                  "5.1.1",                      "5.1.1"),
    (b"anna-tag@local.test",              "5.1.1",                      "5.1.1"),
    (b"anna@other.test",                  "5.1.1",                      "5.1.1"),
    (b"+@local.test",                     "5.1.1",                      "5.1.1"),
    (b"+tag@local.test",                  "5.1.1",                      "5.1.1"),
    (b'"anna+tag"@local.test',            "5.1.1",                      "5.1.1"),
    (b"anna%elsewhere.test@local.test",   "5.1.1",                      "5.1.1"),
    (b"elsewhere.test!anna@local.test",   "5.1.1",                      "5.1.1"),
    (b'"x@elsewhere.test"@local.test',    "5.1.1",                      "5.1.1"),
    (b"postmaster",                       "-> anna@local.test",         "-> anna@local.test"),
    (b"POSTMASTER",                       "-> anna@local.test",         "-> anna@local.test"),
    (b"Postmaster@other.test",            "-> anna@local.test",         "-> anna@local.test"),
    (b"postmaster@relay.test",            "ok",                         "ok"),
    (b"postmaster@listed.test",           "ok",                         "ok"),
    (b"anyone@relay.test",                "ok",                         "ok"),
    (b"anyone%elsewhere.test@relay.test", "5.7.1",                      "ok"),
    (b"elsewhere.test!x@relay.test",      "5.7.1",                      "ok"),
    (b'"x@elsewhere.test"@relay.test',    "5.7.1",                      "ok"),
    (b"known@listed.test",                "ok",                         "ok"),
    (b"KNOWN+tag@listed.test",            "ok",                         "ok"),
    (b"unknown@listed.test",              "5.1.1",                      "5.1.1"),
    (b"x@elsewhere.test",                 "5.7.1",                      "ok"),
    (b"postmaster@elsewhere.test",        "5.7.1",                      "ok"),
    (b"x@sub.local.test",                 "5.7.1",                      "ok"),
    (b"x@local.test.evil.test",           "5.7.1",                      "ok"),
    (b"x@evil-relay.test",                "5.7.1",                      "ok"),
    (b"x@[127.0.0.1]",                    "5.7.1",                      "ok"),
    (b"x@mx.relay.example",               "5.7.1",                      "ok"),
]  # fmt: skip


@pytest.mark.parametrize(("recipient", "for_stranger", "for_trusted"), TABLE, ids=[repr(row[0]) for row in TABLE])
def test_recipients(recipient: bytes, for_stranger: str, for_trusted: str) -> None:
    rules = rules_of()
    assert status(rules, STRANGER, recipient) == for_stranger
    assert status(rules, TRUSTED, recipient) == for_trusted
    assert status(rules, USER, recipient) == for_trusted


@pytest.mark.parametrize(
    ("recipient", "for_stranger", "for_trusted"),
    [
        (b"a..b@elsewhere.test", "5.7.1", "ok"),
        (b"a.@elsewhere.test.", "5.7.1", "ok"),
        (b"anyone@relay.test.", "ok", "ok"),
        (b"unknown@listed.test.", "5.1.1", "5.1.1"),
        (b"anna@local.test.", "-> anna@local.test", "-> anna@local.test"),
        (b"anna+x@local.test.", "-> anna+x@local.test", "-> anna+x@local.test"),
        (b"nobody@local.test.", "5.1.1", "5.1.1"),
        (b"an..na@local.test", "5.1.1", "5.1.1"),
        (b"anna.@local.test", "5.1.1", "5.1.1"),
        (b"postmaster@mx.relay.example.", "-> anna@local.test", "-> anna@local.test"),
        (b"x@mx.relay.example.", "5.7.1", "ok"),
        (b"x@.", "5.7.1", "ok"),
    ],
)
def test_a_dot_at_the_end_is_the_root_and_stays_where_mail_goes_on(
    recipient: bytes, for_stranger: str, for_trusted: str
) -> None:
    def said(peer: Peer) -> str:
        answer = rules_of().rcpt(peer, recipient)
        if answer is None:
            return "ok"
        assert isinstance(answer, Verdict)
        return answer.reply.status if answer.reply else f"-> {b' '.join(answer.instead or ()).decode()}"

    assert (said(STRANGER), said(TRUSTED)) == (for_stranger, for_trusted)


def test_without_a_delimiter_there_are_no_sub_addresses() -> None:
    rules = rules_of(smtp=dataclasses.replace(CONFIG.smtp, recipient_delimiter=""))
    assert status(rules, STRANGER, b"anna+tag@local.test") == "5.1.1"


def test_postmaster_goes_to_the_configured_address() -> None:
    assert status(rules_of(postmaster="boss@elsewhere.test"), STRANGER, b"postmaster") == "-> boss@elsewhere.test"


def test_postmaster_with_an_account_of_its_own_gets_its_mail_itself() -> None:
    rules = Rules(CONFIG, directory_of(CONFIG, b"postmaster@local.test"))
    assert status(rules, STRANGER, b"postmaster@local.test") == "ok"
    assert status(rules, STRANGER, b"Postmaster@local.test") == "ok"


ROLES = (
    b"postmaster", b"PostMaster", b"postmaster@local.test", b"postmaster@other.test", b"Postmaster+x@local.test",
    b"mailer-daemon@local.test", b"postmaster@mx.relay.example", b"MAILER-DAEMON@mx.relay.example",
)  # fmt: skip


@pytest.mark.parametrize("recipient", ROLES)
def test_what_our_bounces_come_from_and_name_is_postmasters(recipient: bytes) -> None:
    """RFC 5321 4.5.1; bounces are written as MAILER-DAEMON@hostname and name postmaster@hostname."""
    for peer in (STRANGER, TRUSTED, USER):
        assert status(rules_of(), peer, recipient) == "-> anna@local.test"


def test_nobody_else_at_our_hostname_is_ours() -> None:
    assert status(rules_of(), STRANGER, b"anna@mx.relay.example") == "5.7.1"


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("192.0.2.25", True),
        ("192.0.2.26", False),
        ("2001:db8:ffff::1", True),
        ("2001:db9::1", False),
        ("::ffff:10.0.0.1", True),
        ("::a00:1", False),
        ("", False),
        ("unix", False),
    ],
)
def test_clients_in_trusted_networks_are_trusted(address: str, is_trusted: bool) -> None:
    peer = Peer(client_address=address, facts=Facts())
    answer = rules_of().connect(peer)
    assert (isinstance(answer, Verdict) and answer.is_trusted) == is_trusted
    assert (peer.facts.get(TRUSTED_NETWORK) is not None) == is_trusted


def test_the_network_that_made_a_client_trusted_is_a_fact() -> None:
    peer = Peer(client_address="::ffff:10.0.0.1", facts=Facts())
    rules_of().connect(peer)
    assert peer.facts.shown() == ["trusted_network=10.0.0.0/8"]


def test_without_trusted_networks_nobody_is_trusted() -> None:
    assert rules_of(trusted_networks=()).connect(Peer(client_address="127.0.0.1")) is None


def test_submission_needs_a_login_or_a_trusted_network() -> None:
    """RFC 6409 4.3."""
    rules = rules_of("submission")
    answer = rules.mail(Peer(is_submission=True), b"anna@local.test")
    assert isinstance(answer, Verdict)
    assert answer.reply is not None
    assert (answer.reply.code, answer.reply.status) == (530, "5.7.0")
    assert rules.mail(Peer(is_submission=True, is_trusted=True), b"") is None
    assert rules.mail(Peer(is_submission=True, account="anna@local.test"), b"") is None
    assert rules_of().mail(STRANGER, b"") is None


def test_mail_for_postmaster_is_refused_for_the_time_being_where_nobody_could_read_it() -> None:
    answer = Rules(CONFIG, directory_of(CONFIG)).rcpt(STRANGER, b"postmaster@local.test")
    assert isinstance(answer, Verdict)
    assert answer.reply is not None
    assert (answer.kind, answer.reply.code, answer.reply.status) == ("defer", 450, "4.3.5")


class Late:
    """A source that answers later."""

    name = "late"

    def __init__(self, means: Resolution | Exception | None) -> None:
        self.means = means

    def covers(self, domain: bytes) -> bool:
        return True

    async def find(self, address: bytes) -> Resolution | None:
        await asyncio.sleep(0)
        if isinstance(self.means, Exception):
            raise self.means
        return self.means


@pytest.mark.parametrize(
    ("means", "said"),
    [
        (Becomes((b"anna@local.test",)), "-> anna@local.test"),
        (Becomes((b"anna@local.test", b"x@far.test")), "-> anna@local.test x@far.test"),
        (LISTED, "ok"),
        (UNKNOWN, "5.1.1"),
        (None, "5.1.1"),
        (OSError("away"), "4.4.3"),
    ],
)
def test_an_answer_of_the_directory_that_is_late_is_judged_like_any_other(means: Any, said: str) -> None:
    async def asked() -> str:
        directory = Directory(["local.test"], {}, Accounts(), sources=(Late(means),))
        answer = Rules(CONFIG, directory).rcpt(STRANGER, b"list@local.test")
        assert isinstance(answer, Awaitable)
        verdict = await answer
        if verdict is None:
            return "ok"
        return verdict.reply.status if verdict.reply else f"-> {b' '.join(verdict.instead or ()).decode()}"

    assert asyncio.run(asked()) == said
