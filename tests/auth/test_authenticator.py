"""The Authenticator, with a quick hasher that counts and a clock that does not run."""

import asyncio
import json
from datetime import date

import argon2
import pytest

from relay.auth import Accepted, AccountFile, Authenticator, CheckPassword, CheckProof, Client, Login, Trouble
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


async def test_the_exchange_takes_its_keys_from_the_file(world):
    exchange = world.authenticator.exchange("PLAIN", {})
    step = exchange.start(b"AGFsaWNlQGRlbW8udGVzdAB3b25kZXJsYW5k")
    assert exchange.checked(await world.authenticator.check(step, HOME)) == Accepted("alice@demo.test")
    assert world.authenticator.exchange("NTLM", {}) is None
    known, unknown = world.accounts.scram_keys("alice@demo.test"), world.accounts.scram_keys("bob@demo.test")
    assert (known.iterations, len(known.salt)) == (unknown.iterations, len(unknown.salt))
    other_process = AccountFile(world.accounts._path, world.hasher, 9999)
    assert other_process.scram_keys("bob@demo.test") == unknown, "the same decoy in every process"
