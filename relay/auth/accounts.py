"""The account file: who has a mailbox here, and the hash of each password.

One line an account, ``address SPACE hash``, in the order they were added; ``#`` begins a comment line. Hashes are
argon2id (RFC 9106) in the PHC form. The file is replaced as a whole: written beside, synced, published by rename,
under a lock, so that a reader sees the old file or the new one and two writers do not undo each other.

Invariants: no address twice, not even in another case; the file is never readable for others; a password is never
kept, logged or shown.

Not here: the AUTH dialogue (a session's), and which addresses are local (relay/policy).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import argon2

from relay.config.kinds import Mail

LONGEST_PASSWORD: Final = 1024
_HEADER: Final = "# Relay's accounts. Change with: relay account\n"


class AccountError(Exception):
    """A change that cannot be made, or a file that cannot be understood; the text is for people."""


class Account(NamedTuple):
    """One line of the file."""

    address: str
    password_hash: str


class AccountFile:
    """The accounts in ``path``; a file that does not exist holds none. Not for use by several threads at once."""

    def __init__(self, path: Path, hasher: argon2.PasswordHasher | None = None) -> None:
        self._path = path
        self._hasher = hasher or argon2.PasswordHasher()
        self._accounts: tuple[Account, ...] = ()
        self._addresses: frozenset[bytes] = frozenset()
        self._seen: tuple[int, int, int] | None = None
        self._decoy = ""

    def list(self) -> tuple[Account, ...]:
        """All accounts, in the order they were added. Raises AccountError for a file that cannot be understood."""
        self._refresh()
        return self._accounts

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
        password_hash = self._hash(password)
        with self._locked() as accounts:
            if other := _find(accounts, address):
                raise AccountError(f"{other.address} exists already")
            self._publish((*accounts, Account(address, password_hash)))
        return address

    def passwd(self, address: str, password: str) -> str:
        """Gives an account a new password; on return it is published. Raises AccountError for an unknown one."""
        password_hash = self._hash(password)
        with self._locked() as accounts:
            account = _existing(accounts, address)
            changed = account._replace(password_hash=password_hash)
            self._publish(tuple(changed if each is account else each for each in accounts))
        return account.address

    def remove(self, address: str) -> str:
        """Removes an account, not its mail; on return it is published. Raises AccountError for an unknown one."""
        with self._locked() as accounts:
            account = _existing(accounts, address)
            self._publish(tuple(each for each in accounts if each is not account))
        return account.address

    def verify(self, address: str, password: str) -> bool:
        """Whether ``password`` is that of ``address``. Takes as long for an unknown address as for a wrong password,
        tens of milliseconds and 64 MiB: never on an event loop."""
        account = _find(self.list(), address)
        if account is None and not self._decoy:
            self._decoy = self._hasher.hash("")
        try:
            self._hasher.verify(account.password_hash if account else self._decoy, _normal(password))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        return account is not None

    def _hash(self, password: str) -> str:
        if not password:
            raise AccountError("the password must not be empty")
        if len(password.encode()) > LONGEST_PASSWORD:
            raise AccountError(f"the password is longer than {LONGEST_PASSWORD} octets")
        return self._hasher.hash(_normal(password))

    def _refresh(self) -> None:
        fingerprint = self._fingerprint()
        if fingerprint == self._seen:
            return
        accounts = _read(self._path)
        self._accounts = accounts
        self._addresses = frozenset(account.address.lower().encode() for account in accounts)
        self._seen = fingerprint

    def _fingerprint(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (status.st_ino, status.st_size, status.st_mtime_ns)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[tuple[Account, ...]]:
        """The accounts as they are on disk, while no other process can change them."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise AccountError(f"cannot change {self._path}: {fault.strerror}") from fault
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._take_over_owner(lock)
            yield _read(self._path)
        finally:
            os.close(lock)

    def _publish(self, accounts: tuple[Account, ...]) -> None:
        """Writes, syncs and publishes the file."""
        text = _HEADER + "".join(f"{account.address} {account.password_hash}\n" for account in accounts)
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


def _read(path: Path) -> tuple[Account, ...]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as fault:
        raise AccountError(f"{path} cannot be read: {getattr(fault, 'strerror', 'not UTF-8 text')}") from fault
    accounts: dict[str, Account] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        address, _, password_hash = line.partition(" ")
        if _checked(address) != address or not password_hash.startswith("$argon2id$"):
            raise AccountError(f"{path}:{number}: not an account; a line is an address, a space, an argon2id hash")
        if _key(address) in accounts:
            raise AccountError(f"{path}:{number}: {address} stands here twice")
        accounts[_key(address)] = Account(address, password_hash)
    return tuple(accounts.values())


def _find(accounts: tuple[Account, ...], address: str) -> Account | None:
    wanted = _key(_checked(address) or address)
    return next((account for account in accounts if _key(account.address) == wanted), None)


def _existing(accounts: tuple[Account, ...], address: str) -> Account:
    account = _find(accounts, address)
    if account is None:
        raise AccountError(f"there is no account {address}")
    return account


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


def _key(address: str) -> str:
    """What two addresses share that would be taken for one another."""
    return address.casefold()


def _normal(password: str) -> str:
    """One form for every way to type the same characters (RFC 8265 4.2.2, without its width and space rules)."""
    return unicodedata.normalize("NFC", password)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
