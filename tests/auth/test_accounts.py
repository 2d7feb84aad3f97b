"""The account file, with a quick hasher: the strength of argon2 is not what is tested."""

import os
import threading

import argon2
import pytest

from relay.auth import AccountError, AccountFile

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def accounts(tmp_path):
    return AccountFile(tmp_path / "accounts", QUICK)


def test_a_file_that_does_not_exist_holds_no_accounts(accounts):
    assert accounts.list() == ()
    assert accounts.addresses() == frozenset()
    assert not accounts.changed()


def test_accounts_keep_their_order_because_the_first_is_postmaster(accounts):
    for name in ("zoe", "adam", "mia"):
        accounts.add(f"{name}@demo.test", "x")
    assert [account.address for account in accounts.list()] == ["zoe@demo.test", "adam@demo.test", "mia@demo.test"]


def test_an_added_account_is_seen_by_another_reader_through_one_stat(accounts, tmp_path):
    reader = AccountFile(tmp_path / "accounts", QUICK)
    assert reader.addresses() == frozenset()
    accounts.add("demo@Demo.Test", "secret")
    assert reader.changed()
    assert reader.addresses() == {b"demo@demo.test"}
    assert not reader.changed()


def test_only_the_right_password_verifies(accounts):
    accounts.add("demo@demo.test", "se\u0301cret")
    assert accounts.verify("demo@demo.test", "s\u00e9cret"), "the same characters typed another way"
    assert not accounts.verify("demo@demo.test", "secret")
    assert not accounts.verify("other@demo.test", "s\u00e9cret")
    assert not accounts.verify("other@demo.test", ""), "the decoy must not let anybody in"


def test_a_new_password_replaces_the_old_one(accounts):
    accounts.add("demo@demo.test", "old")
    accounts.passwd("DEMO@demo.test", "new")
    assert accounts.verify("demo@demo.test", "new")
    assert not accounts.verify("demo@demo.test", "old")


def test_a_removed_account_is_gone_and_the_others_stay(accounts):
    accounts.add("a@demo.test", "x")
    accounts.add("b@demo.test", "x")
    accounts.remove("a@demo.test")
    assert accounts.addresses() == {b"b@demo.test"}


@pytest.mark.parametrize("address", ["demo@demo.test", "DEMO@demo.test"])
def test_an_address_is_not_added_twice_not_even_in_another_case(accounts, address):
    accounts.add("demo@demo.test", "x")
    with pytest.raises(AccountError, match="exists already"):
        accounts.add(address, "y")


@pytest.mark.parametrize("address", ["demo", "@demo.test", "a b@demo.test", "a\n@demo.test", "a@b@demo.test", "a@-x"])
def test_what_is_not_an_address_is_refused(accounts, address):
    with pytest.raises(AccountError, match=r"not a (mail address|domain name)"):
        accounts.add(address, "x")
    assert accounts.list() == ()


@pytest.mark.parametrize("action", ["passwd", "remove"])
def test_an_unknown_account_is_named(accounts, action):
    with pytest.raises(AccountError, match=r"no account nobody@demo\.test"):
        getattr(accounts, action)("nobody@demo.test", *(["x"] if action == "passwd" else []))


@pytest.mark.parametrize(("password", "why"), [("", "empty"), ("x" * 1025, "longer")])
def test_unusable_passwords_are_refused(accounts, password, why):
    with pytest.raises(AccountError, match=why):
        accounts.add("demo@demo.test", password)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("demo@demo.test plain\n", ":1: not an account"),
        ("# fine\n\ndemo@demo.test\n", ":3: not an account"),
        ("Demo@DEMO.test $argon2id$v=19$x\n", ":1: not an account"),
        ("demo@demo.test $argon2id$x\nDEMO@demo.test $argon2id$x\n", ":2: .* twice"),
    ],
)
def test_a_broken_file_is_reported_with_its_line_and_what_was_read_before_stays(accounts, tmp_path, text, why):
    accounts.add("old@demo.test", "x")
    accounts.list()
    (tmp_path / "accounts").write_text(text)
    with pytest.raises(AccountError, match=why):
        accounts.addresses()
    assert accounts.changed(), "a broken file is not taken for read"


def test_the_file_is_for_its_owner_alone_and_holds_no_password(accounts, tmp_path):
    accounts.add("demo@demo.test", "open sesame")
    path = tmp_path / "accounts"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "sesame" not in path.read_text()
    assert {entry.name for entry in tmp_path.iterdir()} == {"accounts", "accounts.lock"}


def test_a_failed_write_leaves_the_old_file(accounts, tmp_path, monkeypatch):
    accounts.add("demo@demo.test", "x")

    def broken(_descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(AccountError, match="Input/output error"):
        accounts.add("other@demo.test", "x")
    assert AccountFile(tmp_path / "accounts", QUICK).addresses() == {b"demo@demo.test"}


def test_writers_at_the_same_time_do_not_undo_each_other(tmp_path):
    def add(number):
        AccountFile(tmp_path / "accounts", QUICK).add(f"user{number}@demo.test", "x")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(AccountFile(tmp_path / "accounts", QUICK).addresses()) == 8
