"""The Authenticator, with a quick hasher that counts and a clock that does not run."""

import asyncio
import base64
import json
from datetime import date

import argon2
import pytest

from relay.auth import (
    Accepted,
    Account,
    AccountError,
    AccountFile,
    Authenticator,
    CheckPassword,
    CheckProof,
    Client,
    Login,
    Trouble,
    scram,
)
from relay.config.model import Config
from relay.telemetry import metrics

HOME = Client("192.0.2.1", "imap", "imap", "S1")
AWAY = Client("198.51.100.9", "imap", "imap", "S2")
DAY = date(2026, 11, 25)


class CountingHasher(argon2.PasswordHasher):
    checks = 0

    def verify(self, *words):
        self.checks += 1
        return super().verify(*words)


class World:
    def __init__(self, folder, **settings):
        self.now = 0.0
        self.slept = []
        self.events = []
        self.hasher = CountingHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.accounts = AccountFile(folder / "accounts", self.hasher, 4096)
        self.accounts.add("alice@demo.test", "wonderland")
        self.row = memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")
        wanted = {name: getattr(Config().auth, name) for name in Config().auth.__slots__} | settings
        self.authenticator = Authenticator(
            self.accounts, type(Config().auth)(**wanted), self, self.row, clock=lambda: self.now, sleep=self.sleep
        )

    def event(self, level, event, /, **fields):
        self.events.append({"level": level, "event": event, **fields})

    async def sleep(self, seconds):
        self.slept.append(seconds)  # and the clock stands still: as if all came at once

    async def login(self, password, name="alice@demo.test", client=HOME):
        return await self.authenticator.check(CheckPassword(name, password, "PLAIN"), client)

    def count(self, result, protocol="imap"):
        return self.row[metrics.index("relay_auth_logins_total", protocol, result)]


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path)
    yield world
    await world.authenticator.close()


async def test_the_right_password_is_let_in_whatever_the_case_of_the_name(world):
    assert await world.login("wonderland") == Login("alice@demo.test")
    assert await world.login("wonderland", "ALICE@Demo.Test") == Login("alice@demo.test")
    assert world.count("accepted") + world.count("remembered") == 2


async def test_an_unknown_account_and_a_wrong_password_cost_one_argon2_each_and_get_one_answer(world):
    wrong = await world.login("x")
    assert world.hasher.checks == 1
    unknown = await world.login("x", "nobody@demo.test")
    assert world.hasher.checks == 2
    assert wrong == unknown == Login("", Trouble.CREDENTIALS)
    assert world.count("credentials") == 2


async def test_a_client_that_comes_again_is_not_computed_again(world):
    for _ in range(20):
        assert (await world.login("wonderland")).account
    assert world.hasher.checks == 1
    assert world.count("remembered") == 19
    world.now += 601
    await world.login("wonderland")
    assert world.hasher.checks == 2


async def test_a_remembered_login_is_no_shortcut_for_another_network_or_password(world):
    await world.login("wonderland")
    await world.login("wonderland", client=AWAY)
    assert world.hasher.checks == 2
    assert (await world.login("wonderlane")).trouble is Trouble.CREDENTIALS
    assert world.hasher.checks == 3


async def test_a_changed_password_and_a_removed_account_are_out_at_once(world):
    await world.login("wonderland")
    world.accounts.passwd("alice@demo.test", "glass")
    assert (await world.login("wonderland")).trouble is Trouble.CREDENTIALS
    assert (await world.login("glass")).account
    world.accounts.remove("alice@demo.test")
    assert (await world.login("glass")).trouble is Trouble.CREDENTIALS


async def test_an_app_password_is_good_for_its_protocols_and_costs_no_argon2(world):
    password = world.accounts.add_app_password("alice@demo.test", "phone", ["imap"], DAY)
    spaced = "-".join(password[at : at + 5] for at in range(0, 20, 5)).upper()
    assert (await world.login(spaced)).account
    assert world.hasher.checks == 0
    other = await world.login(password, client=Client("192.0.2.1", "smtp", "submission", "S3"))
    assert other.trouble is Trouble.CREDENTIALS
    assert world.hasher.checks == 1
    world.accounts.remove_app_password("alice@demo.test", "PHONE")
    assert (await world.login(password)).trouble is Trouble.CREDENTIALS


async def test_failures_are_slowed_and_then_not_looked_at(world):
    for n in range(50):
        assert (await world.login(f"guess {n}", f"{n}@demo.test")).trouble is Trouble.CREDENTIALS
    checks = world.hasher.checks
    assert (await world.login("wonderland")).trouble is Trouble.THROTTLED
    assert world.hasher.checks == checks
    assert max(world.slept) == 8
    assert (await world.login("wonderland", client=AWAY)).account, "other networks go on"


async def test_neighbours_in_one_ipv6_network_share_their_failures(world):
    for n in range(50):
        await world.login("x", f"{n}@demo.test", Client(f"2001:db8::{n + 1:x}", "imap", "imap", "S"))
    neighbour = Client("2001:db8::ffff:1", "imap", "imap", "S")
    assert (await world.login("wonderland", client=neighbour)).trouble is Trouble.THROTTLED
    assert (await world.login("wonderland", client=Client("2001:db8:0:1::1", "imap", "imap", "S"))).account


async def test_hanging_up_does_not_take_back_the_charge(tmp_path):
    """Or a guess whose answer does not come at once could be given up and tried again for nothing."""
    world = World(tmp_path, max_failures=5)
    for n in range(5):
        attempt = asyncio.ensure_future(world.login(f"guess {n}"))
        await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    assert (await world.login("wonderland")).trouble in {Trouble.THROTTLED, Trouble.BUSY}
    await world.authenticator.close()


async def test_passwords_in_the_wrong_field_and_secrets_are_not_logged(world):
    await world.login("swordfish", "my secret name")
    await world.login("swordfish", "alice@demo.test")
    text = json.dumps(world.events)
    assert "swordfish" not in text
    assert "secret" not in text
    assert [event["account"] for event in world.events] == [None, "alice@demo.test"]


async def test_a_proof_is_throttled_and_counted_like_a_password(world):
    right = CheckProof("alice@demo.test", is_right=True, mechanism="SCRAM-SHA-256")
    wrong = CheckProof("alice@demo.test", is_right=False, mechanism="SCRAM-SHA-256")
    assert await world.authenticator.check(right, HOME) == Login("alice@demo.test")
    assert (await world.authenticator.check(wrong, HOME)).trouble is Trouble.CREDENTIALS
    assert world.hasher.checks == 0


async def test_a_login_without_sasl_goes_the_same_way(world):
    assert await world.authenticator.password(b"alice@demo.test", b"wonderland", HOME) == Login("alice@demo.test")
    assert (await world.authenticator.password(b"alice@demo.test", b"", HOME)).trouble is Trouble.MALFORMED
    assert (await world.authenticator.password(b"alice@demo.test", b"\xff", HOME)).trouble is Trouble.MALFORMED


def account_in(file: AccountFile) -> Account:
    found = file.find("alice@demo.test")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "spelling",
    [
        "alice@demo.test",
        "ALICE@Demo.Test",
        "alice@DEMO.test.",
        "=61lice@demo.test",
        '"alice"@demo.test',
        " alice@demo.test",
    ],
)
async def test_no_spelling_of_a_name_tells_whether_it_has_an_account(world, spelling):
    """All spellings that reach one account have its salt; then those of a name without one must share theirs, too."""
    other = spelling.lower().replace("alice", "carol")
    spellings = [world.accounts.scram_keys(name) for name in ("alice@demo.test", spelling)]
    decoys = [world.accounts.scram_keys(name) for name in ("carol@demo.test", other, other.upper())]
    assert (spellings[0].salt == spellings[1].salt) == (decoys[0].salt == decoys[1].salt)
    assert decoys[1].salt == decoys[2].salt
    assert {keys.iterations for keys in (*spellings, *decoys)} == {4096}


async def test_decoys_have_as_many_iterations_as_accounts_have(world):
    """While accounts get new keys one after the other, their numbers differ; those of decoys do, too, in the same
    shares, and a decoy changes its number once, as an account does."""
    path = world.accounts._path
    for number in range(7):
        AccountFile(path, world.hasher, 5000 if number < 3 else 4096).add(f"a{number}@demo.test", "wonderland")
    names = [f"nobody{number}@demo.test" for number in range(400)]
    before = [world.accounts.scram_keys(name).iterations for name in names]
    assert 100 < before.count(5000) < 200, "3 of 8"
    assert set(before) == {4096, 5000}
    for number in range(3, 7):
        account = world.accounts.find(f"a{number}@demo.test")
        assert AccountFile(path, world.hasher, 5000).renew_keys(account, "wonderland")
    after = [world.accounts.scram_keys(name).iterations for name in names]
    assert after.count(5000) > 300, "7 of 8"
    assert all(new == 5000 for old, new in zip(before, after, strict=True) if old == 5000)


async def test_a_login_by_password_brings_the_keys_to_the_wanted_iterations(world):
    """Durably: another process sees them, SCRAM works with them, and what else the file says stays."""
    path = world.accounts._path
    app = world.accounts.add_app_password("alice@demo.test", "phone", ["imap", "smtp"], DAY)
    later = World(path.parent / "other")
    later.accounts = later.authenticator._accounts = AccountFile(path, world.hasher, 5000)
    old = account_in(later.accounts)
    assert (await later.login("wonderlane")).trouble is Trouble.CREDENTIALS
    assert (await later.login(app)).account, "an app password is not what SCRAM proves"
    assert AccountFile(path).find("alice@demo.test") == old
    assert (await later.login("wonderland")).account
    new = account_in(AccountFile(path))
    assert new.scram is not None
    assert new.scram == scram.make_keys("wonderland", new.scram.salt, 5000)
    assert new._replace(scram=old.scram) == old
    again = path.read_text()
    later.now += 3600
    assert (await later.login("wonderland")).account
    assert path.read_text() == again, "once"
    await later.authenticator.close()


async def test_keys_are_not_made_from_a_password_that_has_been_changed_meanwhile(world):
    newer = AccountFile(world.accounts._path, world.hasher, 5000)
    account = account_in(newer)
    world.accounts.passwd("alice@demo.test", "glass")
    assert not newer.renew_keys(account, "wonderland")
    keys = account_in(newer).scram
    assert keys is not None
    assert keys.iterations == 4096


async def test_a_file_that_cannot_be_written_does_not_keep_its_people_out(world, monkeypatch):
    world.authenticator._accounts = AccountFile(world.accounts._path, world.hasher, 5000)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    for client in (HOME, AWAY):
        assert (await world.login("wonderland", client=client)).account
    assert [event["event"] for event in world.events] == ["keys not renewed"], "told once"


@pytest.mark.parametrize("trouble", [Trouble.ABANDONED, Trouble.CANCELLED, Trouble.MALFORMED, Trouble.TOO_LONG])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "LOGIN"])
async def test_an_exchange_that_the_client_leaves_is_charged_and_told(tmp_path, mechanism, trouble):
    world = World(tmp_path, max_failures=5)
    for _ in range(5):
        begun = world.authenticator.exchange(mechanism, {})
        assert begun is not None
        first = b"n,,n=alice@demo.test,r=nonce" if mechanism != "LOGIN" else b"alice@demo.test"
        begun.start(base64.b64encode(first))
        world.authenticator.not_completed(trouble, HOME, begun)
    assert (await world.login("wonderland")).trouble is Trouble.THROTTLED
    assert (await world.login("wonderland", client=AWAY)).account, "a stranger is slowed down, not kept out"
    assert world.slept[0] > 0
    event = world.events[0]
    assert (event["event"], event["reason"]) == ("login not completed", trouble.value)
    assert (event["mechanism"], event["account"]) == (mechanism, "alice@demo.test")
    assert event["stage"] == {"SCRAM-SHA-256": "challenge", "LOGIN": "name"}[mechanism]
    assert world.count(trouble.value) == 5
    await world.authenticator.close()


async def test_who_has_said_no_name_and_who_has_been_let_in_is_not_charged(tmp_path):
    world = World(tmp_path, max_failures=5)
    for _ in range(9):
        begun = world.authenticator.exchange("PLAIN", {})
        assert begun is not None
        begun.start(None)
        world.authenticator.not_completed(Trouble.ABANDONED, HOME, begun)
    assert world.events[0]["stage"] == "mechanism"
    assert (await world.login("wonderland")).account
    await world.authenticator.close()


async def test_the_exchange_takes_its_keys_from_the_file(world):
    exchange = world.authenticator.exchange("PLAIN", {})
    step = exchange.start(b"AGFsaWNlQGRlbW8udGVzdAB3b25kZXJsYW5k")
    assert exchange.checked(await world.authenticator.check(step, HOME)) == Accepted("alice@demo.test")
    assert world.authenticator.exchange("NTLM", {}) is None
    known, unknown = world.accounts.scram_keys("alice@demo.test"), world.accounts.scram_keys("bob@demo.test")
    assert (known.iterations, len(known.salt)) == (unknown.iterations, len(unknown.salt))
    other_process = AccountFile(world.accounts._path, world.hasher, 9999)
    assert other_process.scram_keys("bob@demo.test") == unknown, "the same decoy in every process"


class Elsewhere:
    """A source of accounts that answers later, as a directory server does, and checks passwords itself."""

    def __init__(self):
        self.answers: dict[str, Account | AccountError] = {"alice@demo.test": Account("alice@demo.test", "")}
        self.verified = []

    def addresses(self):
        return frozenset({b"alice@demo.test"})

    def changed(self):
        return False

    async def find(self, name):
        await asyncio.sleep(0)
        found = self.answers.get(name.lower())
        if isinstance(found, Exception):
            raise found
        return found

    def verify(self, account, password):
        self.verified.append(account and account.address)
        return account is not None and password == "wonderland"

    def scram_keys(self, name):
        return scram.decoy_keys(b"secret", name, lambda place: 4096)

    def needs_keys(self, account):
        return False

    def renew_keys(self, account, password):
        return False


async def test_accounts_may_come_from_a_source_that_answers_later(tmp_path):
    world = World(tmp_path)
    await world.authenticator.close()
    source = Elsewhere()
    world.authenticator = Authenticator(source, Config().auth, world, world.row, clock=lambda: 0.0, sleep=world.sleep)
    assert await world.login("wonderland", "Alice@Demo.test") == Login("alice@demo.test")
    assert (await world.login("x")).trouble is Trouble.CREDENTIALS
    assert (await world.login("wonderland", "nobody@demo.test")).trouble is Trouble.CREDENTIALS
    assert source.verified == ["alice@demo.test", "alice@demo.test", None], "an unknown one goes the same way"
    source.answers["bob@demo.test"] = AccountError("the server does not answer")
    assert (await world.login("wonderland", "bob@demo.test")).trouble is Trouble.BUSY
    assert [event["cause"] for event in world.events if event["event"] == "accounts not read"] == [
        "the server does not answer"
    ]
    await world.authenticator.close()
