"""The account file: who has a mailbox here, and what is kept of each password.

The file is replaced as a whole: written beside, synced, published by rename, under a lock, so that a reader sees the
old file or the new one and two writers do not undo each other. What its lines say: entries.py.

Invariants: no address twice, not even in another case; the file is never readable for others; a password is never
kept, logged or shown.

Not here: the login itself (authenticator.py), and which addresses are local (relay/policy).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Final

import argon2

from relay.auth import scram
from relay.auth.entries import (
    ALPHABET,
    APP_PASSWORD_CHARACTERS,
    SECRET_OCTETS,
    Account,
    AppPassword,
    Entries,
    app_password_digest,
    checked_name,
    checked_protocols,
    key_of,
    read_lines,
    write_lines,
)
from relay.auth.plain import LONGEST_PASSWORD
from relay.auth.sources import AccountError
from relay.config.auth import AuthSettings
from relay.config.kinds import Mail
from relay.config.model import Config
from relay.net import locks

MOST_APP_PASSWORDS: Final = 50
"""Of one account."""
SCRAM_ITERATIONS: Final = AuthSettings().scram_iterations
"""Of PBKDF2 (docs/adr/0009-passwords.md)."""


class AccountFile:
    """The accounts in ``path``, as an AccountSource and for changes; a file that does not exist holds none. Not for use
    by several threads at once, except what says so."""

    def __init__(
        self,
        path: Path,
        hasher: argon2.PasswordHasher | None = None,
        scram_iterations: int = SCRAM_ITERATIONS,
    ) -> None:
        self._path = path
        self._iterations = scram_iterations
        self._hasher = hasher or argon2.PasswordHasher()
        self._decoy = ""
        """The hash of a password that nobody has; made with the first check, whoever that is about."""
        self._by_key: dict[str, Account] = {}
        self._addresses: frozenset[bytes] = frozenset()
        self._seen: tuple[int, int, int] | None = None
        self._secret = secrets.token_bytes(SECRET_OCTETS)
        self._usual: list[tuple[float, int]] = []
        """Iterations that accounts have, most first, each with the share of accounts that have as many or more."""

    @classmethod
    def of(cls, config: Config) -> AccountFile:
        """The file that the configuration names."""
        return cls(config.accounts_path, scram_iterations=config.auth.scram_iterations)

    def list(self) -> tuple[Account, ...]:
        """All accounts, in the order they were added. Raises AccountError for a file that cannot be understood."""
        self._refresh()
        return tuple(self._by_key.values())

    def find(self, address: str) -> Account | None:
        """The account of ``address``, in whatever case; costs one stat. Raises AccountError."""
        self._refresh()
        return self._by_key.get(_key_of_any(address))

    def scram_keys(self, name: str) -> scram.ScramKeys:
        """The keys of an account, or those of a decoy for a name that has none; the same work for both. Raises
        AccountError."""
        self._refresh()
        key = _key_of_any(name)
        decoy = scram.decoy_keys(self._secret, key, self._iterations_at)
        account = self._by_key.get(key)
        return decoy if account is None or account.scram is None else account.scram

    def verify(self, account: Account | None, password: str) -> bool:
        """Whether ``password`` is the account's, app passwords aside; for None the same work, and False. Tens of
        milliseconds and 64 MiB: for any thread."""
        if not self._decoy:
            self._decoy = self._hasher.hash(secrets.token_urlsafe())
        password_hash = self._decoy if account is None else account.password_hash
        try:
            self._hasher.verify(password_hash, normal(password))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        return account is not None

    def needs_keys(self, account: Account) -> bool:
        """Whether the account's SCRAM keys are missing, or have another number of iterations than is wanted."""
        return account.scram is None or account.scram.iterations != self._iterations

    def renew_keys(self, account: Account, password: str) -> bool:
        """Gives the account new SCRAM keys from its ``password``, which has just been found right; on return they are
        published. For any thread. False when the account has changed meanwhile, or SCRAM cannot have the password.
        Raises AccountError."""
        try:
            keys = scram.make_keys(password, secrets.token_bytes(scram.SALT_OCTETS), self._iterations)
        except ValueError:
            return False
        with self._locked() as entries:
            now = _find(entries.accounts, account.address)
            if now is None or now.password_hash != account.password_hash or not self.needs_keys(now):
                return False
            changed = tuple(each._replace(scram=keys) if each is now else each for each in entries.accounts)
            self._publish(entries._replace(accounts=changed))
        return True

    def _iterations_at(self, place: float) -> int:
        """What a decoy has, so that it is not known by that while accounts get new keys one after the other: the shares
        are those of the accounts."""
        return next((iterations for share, iterations in self._usual if place < share), self._iterations)

    def addresses(self) -> frozenset[bytes]:
        """The accounts' addresses as octets in lower case. Raises AccountError like ``list``; what was read
        before is then still what the next call compares with."""
        self._refresh()
        return self._addresses

    def changed(self) -> bool:
        """Whether the file on disk is another than the one last read; costs one stat."""
        return self._fingerprint() != self._seen

    def add(self, address: str, password: str) -> str:
        """Adds an account and gives its address in the form it is kept; on return the file is published. Raises
        AccountError when the address is not one or exists."""
        address = _checked_address(address)
        account = Account(address, *self._hash(password))
        with self._locked() as entries:
            if other := _find(entries.accounts, address):
                raise AccountError(f"{other.address} exists already")
            self._publish(entries._replace(accounts=(*entries.accounts, account)))
        return address

    def passwd(self, address: str, password: str) -> str:
        """Gives an account a new password; on return it is published. Its app passwords stay. Raises AccountError for
        an unknown one."""
        password_hash, keys = self._hash(password)
        return self._change(address, lambda account: account._replace(password_hash=password_hash, scram=keys))

    def remove(self, address: str) -> str:
        """Removes an account, not its mail; on return it is published. Raises AccountError for an unknown one."""
        with self._locked() as entries:
            account = _existing(entries.accounts, address)
            left = tuple(each for each in entries.accounts if each is not account)
            self._publish(entries._replace(accounts=left))
        return account.address

    def add_app_password(self, address: str, name: str, protocols: Iterable[str], today: date) -> str:
        """Makes a password for one client of an account and gives it: nobody can see it again. On return it is
        published. Raises AccountError."""
        try:
            name, wanted = checked_name(name), checked_protocols(protocols)
        except ValueError as fault:
            raise AccountError(str(fault)) from None
        password = "".join(secrets.choice(ALPHABET) for _ in range(APP_PASSWORD_CHARACTERS))
        digest = app_password_digest(password, secrets.token_bytes(16))
        added = AppPassword(name, wanted, digest, today.isoformat())

        def with_password(account: Account) -> Account:
            if any(key_of(each.name) == key_of(name) for each in account.app_passwords):
                raise AccountError(f"{account.address} has an app password {name} already")
            if len(account.app_passwords) >= MOST_APP_PASSWORDS:
                raise AccountError(f"{account.address} has {MOST_APP_PASSWORDS} app passwords already")
            return account._replace(app_passwords=(*account.app_passwords, added))

        self._change(address, with_password)
        return password

    def remove_app_password(self, address: str, name: str) -> str:
        """Takes an app password away; on return that is published. Raises AccountError when there is none."""

        def without_password(account: Account) -> Account:
            left = tuple(each for each in account.app_passwords if key_of(each.name) != key_of(name))
            if len(left) == len(account.app_passwords):
                raise AccountError(f"{account.address} has no app password {name}")
            return account._replace(app_passwords=left)

        return self._change(address, without_password)

    def _change(self, address: str, change: Callable[[Account], Account]) -> str:
        with self._locked() as entries:
            account = _existing(entries.accounts, address)
            changed = change(account)
            self._publish(
                entries._replace(accounts=tuple(changed if each is account else each for each in entries.accounts))
            )
        return account.address

    def _hash(self, password: str) -> tuple[str, scram.ScramKeys]:
        if not password:
            raise AccountError("the password must not be empty")
        if len(password.encode()) > LONGEST_PASSWORD:
            raise AccountError(f"the password is longer than {LONGEST_PASSWORD} octets")
        try:
            keys = scram.make_keys(password, secrets.token_bytes(scram.SALT_OCTETS), self._iterations)
        except ValueError as fault:
            raise AccountError(f"the password cannot be used: {fault}") from None
        return self._hasher.hash(normal(password)), keys

    def _refresh(self) -> None:
        try:
            fingerprint = self._fingerprint()
        except OSError as fault:  # a folder above it is closed to us
            raise AccountError(f"{self._path}: cannot be read: {fault.strerror}") from fault
        if fingerprint == self._seen:
            return
        entries = _read(self._path)
        self._by_key = {key_of(account.address): account for account in entries.accounts}
        self._addresses = frozenset(account.address.lower().encode() for account in entries.accounts)
        self._secret = entries.secret or self._secret
        self._usual = _shares([each.scram.iterations for each in entries.accounts if each.scram])
        self._seen = fingerprint

    def _fingerprint(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (status.st_ino, status.st_size, status.st_mtime_ns)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Entries]:
        """What is on disk, while no other process can change them."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise AccountError(f"cannot change {self._path}: {fault.strerror}") from fault
        try:
            _wait_for(lock, self._path)
            self._take_over_owner(lock)
            yield _read(self._path)
        finally:
            os.close(lock)

    def _publish(self, entries: Entries) -> None:
        """Writes, syncs and publishes the file."""
        text = write_lines(entries._replace(secret=entries.secret or self._secret))
        beside = f"{self._path}.new"
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                self._take_over_owner(file.fileno())
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._path)
            _sync_directory(self._path.parent)
        except OSError as fault:
            raise AccountError(f"cannot write {self._path}: {fault.strerror}") from fault

    def _take_over_owner(self, descriptor: int) -> None:
        """When root changes the file of an appliance that serves as another, it stays that other's."""
        if os.geteuid() != 0:
            return
        model = self._path if self._path.exists() else self._path.parent
        status = model.stat()
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _read(path: Path) -> Entries:
    try:
        return read_lines(path.read_text("utf-8"), path)
    except FileNotFoundError:
        return Entries((), b"")
    except UnicodeDecodeError as fault:
        raise AccountError(f"{path} cannot be read: not UTF-8 text") from fault
    except OSError as fault:
        raise AccountError(f"{path} cannot be read: {fault.strerror}") from fault
    except ValueError as fault:
        raise AccountError(str(fault)) from None


def _find(accounts: tuple[Account, ...], address: str) -> Account | None:
    wanted = key_of(_checked(address) or address)
    return next((account for account in accounts if key_of(account.address) == wanted), None)


def _existing(accounts: tuple[Account, ...], address: str) -> Account:
    account = _find(accounts, address)
    if account is None:
        raise AccountError(f"there is no account {address}")
    return account


def _shares(iterations: list[int]) -> list[tuple[float, int]]:
    shares, seen = [], 0
    for each, count in sorted(Counter(iterations).items(), reverse=True):
        seen += count
        shares.append((seen / len(iterations), each))
    return shares


def _key_of_any(name: str) -> str:
    """What all spellings of a name share, whether there is such an account or not."""
    return key_of(_checked(name) or name)


def _checked_address(address: str) -> str:
    try:
        return str(Mail().parse(address))
    except ValueError as fault:
        raise AccountError(str(fault)) from None


def _checked(address: str) -> str:
    try:
        return _checked_address(address)
    except AccountError:
        return ""


def normal(password: str) -> str:
    """One form for every way to type the same characters (RFC 8265 4.2.2, without its width and space rules)."""
    return unicodedata.normalize("NFC", password)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wait_for(lock: int, path: Path) -> None:
    try:
        locks.lock(lock)
    except OSError as fault:
        raise AccountError(f"cannot change {path}: {fault.strerror}") from fault
