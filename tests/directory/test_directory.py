"""Who exists, and what an address means."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable
from pathlib import Path

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.auth import AccountError, AccountFile
from relay.config.model import Config, DomainSettings, RelayDomain
from relay.directory.directory import Directory, postmaster_trouble
from relay.directory.resolution import (
    FOREIGN,
    LISTED,
    NOBODY_IS_POSTMASTER,
    UNKNOWN,
    UNLISTED,
    AtAccount,
    Becomes,
    Resolution,
)
from relay.directory.tables import read_recipients
from relay.mail.next_hop import NextHop
from relay.mail.outcome import Outcome
from relay.mda.addressee import account_of
from relay.queue.routing import Router
from tests.support.directories import Accounts, directory_of

HOP = NextHop("smtp", "127.0.0.1", 2526)
CONFIG = Config(
    hostname="mx.relay.example",
    data_dir=Path("/nonexistent"),
    domains=DomainSettings(local=("local.test", "other.test", "xn--bcher-kva.test")),
    relay_domains=(
        RelayDomain("relay.test", HOP),
        RelayDomain("listed.test", HOP, recipients=("Known@listed.test",)),
    ),
)
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ACCOUNTS = (b"anna@local.test", b"bert+x@local.test", b"x@xn--bcher-kva.test", b'"a+b"@local.test', b"bert@local.test")


def meaning(found: object) -> object:
    """A resolution as a value to compare."""
    assert isinstance(found, Resolution)
    match found:
        case AtAccount():
            return found.account
        case Becomes():
            return found.addresses
    return found


TABLE = [
    (b"anna@local.test", b"anna@local.test"),
    (b"ANNA@local.test", b"anna@local.test"),
    (b"anna+tag@local.test", b"anna@local.test"),
    (b"Anna+@local.test", b"anna@local.test"),
    (b"anna@local.test.", b"anna@local.test"),
    (b"anna+x@local.test.", b"anna@local.test"),
    (b"bert+x@local.test", b"bert+x@local.test"),
    (b"BERT+X@local.test", b"bert+x@local.test"),
    (b"bert+y@local.test", b"bert@local.test"),
    (b'"a+b"@local.test', b'"a+b"@local.test'),
    (b'"anna+b"@local.test', UNKNOWN),
    (b"+tag@local.test", UNKNOWN),
    (b"anna-tag@local.test", UNKNOWN),
    (b"anna@other.test", UNKNOWN),
    (b'"x@elsewhere.test"@local.test', UNKNOWN),
    ("x@bücher.test".encode(), b"x@xn--bcher-kva.test"),
    (b"postmaster", (b"anna@local.test",)),
    (b"PostMaster+x@other.test", (b"anna@local.test",)),
    (b"mailer-daemon@local.test", (b"anna@local.test",)),
    (b"MAILER-DAEMON@mx.relay.example", (b"anna@local.test",)),
    (b"postmaster@mx.relay.example.", (b"anna@local.test",)),
    (b"anna@mx.relay.example", FOREIGN),
    (b"nobody", UNKNOWN),
    (b"local.test", UNKNOWN),
    (b"anyone@relay.test", UNLISTED),
    (b"postmaster@relay.test", UNLISTED),
    (b"anyone@relay.test.", UNLISTED),
    (b"known@listed.test", LISTED),
    (b"KNOWN+tag@listed.test", LISTED),
    (b"PostMaster@listed.test", LISTED),
    (b"mailer-daemon@listed.test", UNKNOWN),
    (b"unknown@listed.test.", UNKNOWN),
    (b"x@elsewhere.test", FOREIGN),
    (b"x@sub.local.test", FOREIGN),
    (b"x@[127.0.0.1]", FOREIGN),
    (b"x@.", FOREIGN),
]


@pytest.mark.parametrize(("address", "means"), TABLE, ids=[repr(row[0]) for row in TABLE])
def test_addresses(address: bytes, means: object) -> None:
    config = dataclasses.replace(CONFIG, postmaster="Anna@local.test".lower())
    directory = directory_of(config, *ACCOUNTS)
    assert meaning(directory.resolve(address)) == means
    assert meaning(directory.known(address)) == means


@pytest.mark.parametrize(("address", "means"), TABLE, ids=[repr(row[0]) for row in TABLE])
def test_what_is_an_account_or_postmaster_here_is_routed_to_a_lane_and_all_else_that_exists_is_not(
    address: bytes, means: object
) -> None:
    directory = directory_of(dataclasses.replace(CONFIG, postmaster="anna@local.test"), *ACCOUNTS)
    route = Router.from_config(CONFIG, directory).route(address)
    if isinstance(means, bytes | tuple):
        assert route.kind == "local"
        assert asyncio.run(account_of(directory, address)) == (
            means if isinstance(means, bytes) else b"anna@local.test"
        )
    elif means is not UNKNOWN:
        assert route.kind != "local"


@given(st.binary(max_size=80))
def test_any_octets_mean_something(address: bytes) -> None:
    assert isinstance(directory_of(CONFIG, *ACCOUNTS).resolve(address), Resolution)


def test_without_a_delimiter_there_are_no_sub_addresses() -> None:
    directory = Directory.of(
        dataclasses.replace(CONFIG, smtp=dataclasses.replace(CONFIG.smtp, recipient_delimiter="")), Accounts(*ACCOUNTS)
    )
    assert directory.resolve(b"anna+tag@local.test") is UNKNOWN


ROLES = (
    b"postmaster", b"PostMaster", b"postmaster@local.test", b"postmaster@other.test", b"Postmaster+x@local.test",
    b"mailer-daemon@local.test", b"postmaster@mx.relay.example", b"MAILER-DAEMON@mx.relay.example",
)  # fmt: skip


def test_an_account_of_its_own_is_postmaster() -> None:
    assert meaning(directory_of(CONFIG, b"postmaster@local.test").resolve(b"Postmaster@local.test")) == (
        b"postmaster@local.test"
    )


@pytest.mark.parametrize("recipient", ROLES)
@pytest.mark.parametrize("names", ["", "boss@local.test", "boss@mx.relay.example"])
def test_who_gets_mail_for_postmaster_is_not_known_now_where_nobody_could_read_it(names: str, recipient: bytes) -> None:
    """RFC 5321 4.5.1."""
    accounts = Accounts(*((b"anna@local.test",) if names else ()))
    config = dataclasses.replace(CONFIG, postmaster=names)
    directory = Directory.of(config, accounts)
    assert directory.resolve(recipient) is NOBODY_IS_POSTMASTER
    text, is_error = postmaster_trouble(config, accounts)
    assert is_error == bool(names)
    assert names in text
    accounts.names = frozenset([b"boss@local.test"])
    assert directory.look()
    if names != "boss@mx.relay.example":
        assert meaning(directory.resolve(recipient)) == (b"boss@local.test",)


@pytest.mark.parametrize("names", ["", "anna@local.test", "Anna+ops@local.test", "boss@relay.test", "x@elsewhere.test"])
def test_a_postmaster_that_can_be_reached_is_no_trouble(names: str) -> None:
    config = dataclasses.replace(CONFIG, postmaster=names)
    assert postmaster_trouble(config, Accounts(b"anna@local.test")) == ("", False)


def test_an_account_that_was_made_a_moment_ago_is_there(tmp_path: Path) -> None:
    """Or mail that another worker has accepted for it would bounce."""
    path = tmp_path / "accounts"
    directory = Directory.of(CONFIG, AccountFile(path, QUICK, 4096))
    assert directory.look()
    assert directory.resolve(b"a@local.test") is UNKNOWN
    AccountFile(path, QUICK, 4096).add("a@local.test", "x")
    assert meaning(directory.resolve(b"a@local.test")) == b"a@local.test"
    assert directory.resolve(b"b@local.test") is UNKNOWN
    assert meaning(directory.resolve(b"postmaster")) == (b"a@local.test",)
    assert directory.look()  # whoever reports it hears of it once
    assert not directory.look()


def test_accounts_that_cannot_be_read_any_more_stay_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    AccountFile(path, QUICK, 4096).add("a@local.test", "x")
    directory = Directory.of(CONFIG, AccountFile(path, QUICK, 4096))
    path.write_text("nonsense\n")
    assert meaning(directory.resolve(b"a@local.test")) == b"a@local.test"
    assert directory.resolve(b"b@local.test") is UNKNOWN
    with pytest.raises(AccountError):
        directory.look()


def test_who_tolerates_faults_gets_them_and_a_directory(tmp_path: Path) -> None:
    (tmp_path / "accounts").write_text("nonsense\n")
    missing = RelayDomain("relay.test", HOP, recipients_file=tmp_path / "missing")
    config = dataclasses.replace(CONFIG, relay_domains=(missing,))
    faults: list[Exception] = []
    directory = Directory.of(config, AccountFile(tmp_path / "accounts"), faults.append)
    assert [type(fault) for fault in faults] == [FileNotFoundError, AccountError]
    assert directory.resolve(b"x@relay.test") is UNLISTED
    with pytest.raises(FileNotFoundError):
        Directory.of(config, Accounts())


def test_recipients_of_a_relay_domain_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipients"
    path.write_text("# ours\nOne@relay.test  # first\n\ntwo@relay.test\n", encoding="utf-8")
    config = dataclasses.replace(CONFIG, relay_domains=(RelayDomain("relay.test", HOP, recipients_file=path),))
    directory = directory_of(config)
    assert directory.resolve(b"one@relay.test") is LISTED
    assert directory.resolve(b"two@relay.test") is LISTED
    assert directory.resolve(b"three@relay.test") is UNKNOWN
    path.write_text("one@relay.test\nnonsense\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"recipients:2: not an address: nonsense"):
        read_recipients(path)


# ---- sources that are asked ------------------------------------------------------------------------------------------


class Scripted:
    """A source with an answer for each address: a value, an exception, a future, or a coroutine function."""

    name = "scripted"

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[bytes] = []

    def covers(self, domain: bytes) -> bool:
        return domain in {b"local.test", b"relay.test"}

    def find(self, address: bytes) -> Resolution | Awaitable[Resolution | None] | None:
        self.asked.append(address)
        answer = self.answers.get(address.partition(b"@")[0].decode().replace("+", "_"))
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer  # type: ignore[return-value]


def asking(
    *sources: Scripted, faults: list[tuple[str, BaseException]] | None = None, deadline: float = 10.0
) -> Directory:
    noted = [] if faults is None else faults
    directory = Directory(
        ["local.test", "other.test"],
        {b"relay.test": None},
        Accounts(b"anna@local.test"),
        delimiter="+",
        sources=sources,
        on_fault=lambda name, fault: noted.append((name, fault)),
        deadline=deadline,
    )
    directory.reload()
    return directory


LIST = Becomes((b"anna@local.test", b"x@elsewhere.test"))


async def resolved(directory: Directory, address: bytes) -> Resolution:
    answer = directory.resolve(address)
    return answer if isinstance(answer, Resolution) else await answer


def test_a_source_that_answers_at_once_needs_no_coroutine_and_is_asked_after_the_accounts() -> None:
    source = Scripted(list=LIST, anna=UNKNOWN)
    directory = asking(source)
    assert directory.resolve(b"list@local.test") is LIST
    assert directory.resolve(b"LIST+tag@local.test") is LIST
    assert meaning(directory.resolve(b"anna@local.test")) == b"anna@local.test"
    assert directory.resolve(b"nobody@local.test") is UNKNOWN
    assert directory.resolve(b"nobody@other.test") is UNKNOWN
    assert source.asked == [
        b"list@local.test", b"list+tag@local.test", b"list@local.test", b"nobody@local.test"
    ]  # fmt: skip


def test_a_late_answer_is_awaited_shared_and_remembered() -> None:
    async def main() -> None:
        late: asyncio.Future[Resolution | None] = asyncio.get_running_loop().create_future()
        source = Scripted(list=late)
        directory = asking(Scripted(), source)
        assert directory.known(b"list@local.test") is None
        assert source.asked == []
        first, second = (asyncio.ensure_future(resolved(directory, b"list@local.test")) for _ in range(2))
        gone = asyncio.ensure_future(resolved(directory, b"List@local.test"))
        await asyncio.sleep(0)
        gone.cancel()
        late.set_result(LIST)
        assert await first is LIST
        assert await second is LIST
        assert source.asked == [b"list@local.test"]
        assert directory.known(b"list@local.test") is LIST
        assert directory.resolve(b"list@local.test") is LIST
        assert isinstance(await account_of(directory, b"list@local.test"), Outcome)

    asyncio.run(main())


def test_what_no_source_knows_is_postmasters_or_nobodys_and_at_a_relay_domain_for_the_next_hop() -> None:
    async def nothing() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        for address, means in (
            (b"postmaster@local.test", (b"anna@local.test",)),
            (b"nobody@local.test", UNKNOWN),
            (b"nobody@relay.test", UNLISTED),
        ):
            directory = asking(Scripted(postmaster=nothing, nobody=nothing), Scripted())
            assert meaning(await resolved(directory, address)) == means
            assert meaning(directory.known(address)) == means

    asyncio.run(main())


def test_a_sub_address_is_asked_for_with_its_tag_and_then_without() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        nothing, late = loop.create_future(), loop.create_future()
        nothing.set_result(None)
        late.set_result(LIST)
        source = Scripted(list_tag=nothing, list=late)
        assert await resolved(asking(source), b"list+tag@local.test") is LIST
        assert source.asked == [b"list+tag@local.test", b"list@local.test"]

    asyncio.run(main())


def test_a_source_that_fails_or_is_silent_makes_the_address_not_known_now_and_that_is_not_remembered() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("away")

    async def main() -> None:
        faults: list[tuple[str, BaseException]] = []
        source = Scripted(raises=OSError("gone"), fails=fails, silent=asyncio.get_running_loop().create_future())
        directory = asking(source, faults=faults, deadline=0.01)
        for name in (b"raises", b"fails", b"silent"):
            found = await resolved(directory, name + b"@local.test")
            outcome = await account_of(directory, b"raises@local.test")
            assert isinstance(outcome, Outcome)
            assert (outcome.kind, outcome.status) == ("deferred", "4.4.3")
            assert getattr(found, "reply").code == 451  # noqa: B009 - the class is what is asked for
            assert directory.known(name + b"@local.test") is None
        assert {type(fault) for _, fault in faults} == {OSError, ConnectionError, TimeoutError}
        source.answers = dict.fromkeys(source.answers, LIST)
        assert await resolved(directory, b"fails@local.test") is LIST

    asyncio.run(main())
