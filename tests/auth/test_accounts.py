"""The account file, with a quick hasher: the strength of argon2 is not what is tested."""

import os
import threading
from datetime import date

import argon2
import pytest

from relay.auth import Account, AccountError, AccountFile
from relay.auth.accounts import normal

DAY = date(2026, 11, 25)
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def found(accounts: AccountFile, address) -> Account:
    account = accounts.find(address)
    assert account is not None
    return account


def verifies(accounts, address, password):
    account = accounts.find(address)
    try:
        return account is not None and QUICK.verify(account.password_hash, normal(password))
    except argon2.exceptions.VerificationError:
        return False


@pytest.fixture
def accounts(tmp_path):
    return AccountFile(tmp_path / "accounts", QUICK, 4096)


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
    assert verifies(accounts, "demo@demo.test", "s\u00e9cret"), "the same characters typed another way"
    assert not verifies(accounts, "demo@demo.test", "secret")
    assert not verifies(accounts, "other@demo.test", "s\u00e9cret")


def test_a_new_password_replaces_the_old_one(accounts):
    accounts.add("demo@demo.test", "old")
    accounts.passwd("DEMO@demo.test", "new")
    assert verifies(accounts, "demo@demo.test", "new")
    assert not verifies(accounts, "demo@demo.test", "old")


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


def test_a_file_of_an_older_version_is_read_and_gets_its_secret_with_the_first_change(tmp_path):
    path = tmp_path / "accounts"
    path.write_text(f"# Relay's accounts.\nold@demo.test {QUICK.hash('x')}\n")
    accounts = AccountFile(path, QUICK, 4096)
    assert verifies(accounts, "old@demo.test", "x")
    assert found(accounts, "old@demo.test").scram is None
    accounts.passwd("old@demo.test", "y")
    assert found(accounts, "old@demo.test").scram is not None
    assert path.read_text().splitlines()[1].startswith("secret ")


def test_app_passwords_have_a_name_a_purpose_and_no_plain_text(accounts, tmp_path):
    accounts.add("a@demo.test", "x")
    accounts.add("b@demo.test", "x")
    password = accounts.add_app_password("A@demo.test", "phone", ["POP3", "imap"], DAY)
    assert len(password) == 20
    assert password not in (tmp_path / "accounts").read_text()
    (kept,) = found(AccountFile(tmp_path / "accounts", QUICK), "a@demo.test").app_passwords
    assert (kept.name, kept.protocols, kept.made_on) == ("phone", ("imap", "pop3"), "2026-11-25")
    accounts.passwd("a@demo.test", "y")
    assert found(accounts, "a@demo.test").app_passwords, "a new password leaves them alone"
    assert not found(accounts, "b@demo.test").app_passwords


@pytest.mark.parametrize(("name", "protocols"), [("", ["imap"]), ("a b", ["imap"]), ("x", []), ("x", ["ftp"])])
def test_an_app_password_needs_a_name_and_protocols_that_exist(accounts, name, protocols):
    accounts.add("a@demo.test", "x")
    with pytest.raises(AccountError):
        accounts.add_app_password("a@demo.test", name, protocols, DAY)


def test_an_app_password_of_that_name_exists_once_and_can_be_removed_once(accounts):
    accounts.add("a@demo.test", "x")
    accounts.add_app_password("a@demo.test", "phone", ["imap"], DAY)
    with pytest.raises(AccountError, match="already"):
        accounts.add_app_password("a@demo.test", "PHONE", ["imap"], DAY)
    accounts.remove_app_password("a@demo.test", "phone")
    with pytest.raises(AccountError, match="no app password"):
        accounts.remove_app_password("a@demo.test", "phone")


@pytest.mark.parametrize(
    "line",
    ["secret AAAA", "secret !", "app-password a@demo.test x imap $sha256$AA==$AA== 2026-11-25",
     "a@demo.test $argon2id$x SCRAM-SHA-256$1:AA==$AA==:AA==", "a@demo.test $argon2id$x y z"],
)  # fmt: skip
def test_a_line_that_cannot_be_understood_is_named(tmp_path, line):
    (tmp_path / "accounts").write_text(f"# comment\n{line}\n")
    with pytest.raises(AccountError, match=r"accounts:2: "):
        AccountFile(tmp_path / "accounts", QUICK).list()


def test_a_password_that_saslprep_forbids_is_refused_when_it_is_set(accounts):
    """RFC 4013 2.3: or the account could never use SCRAM."""
    with pytest.raises(AccountError, match="U\\+E000"):
        accounts.add("a@demo.test", "\ue000")
