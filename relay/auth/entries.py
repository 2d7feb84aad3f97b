"""The lines of the account file, and what they say.

::

    # a comment
    secret BASE64                                   once: what decoys are made from
    ADDRESS HASH                                    an account: argon2id (RFC 9106) in the PHC form
    ADDRESS HASH SCRAM-SHA-256$...                  and the keys of the same password for SCRAM (RFC 5803)
    app-password ADDRESS NAME PROTOCOLS HASH DAY    one of the app passwords of an account above it

A file without SCRAM keys, secret and app passwords, as older versions wrote it, is read as it is.

An app password is made by us from 100 bits of chance, so nobody can guess it, and nothing slow is needed to keep it:
its hash is salted SHA-256, and a client that uses one costs no argon2.

Not here: reading and replacing the file (accounts.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from relay.auth.scram import ScramKeys, read_keys, write_keys
from relay.config.kinds import Mail

PROTOCOLS: Final = ("smtp", "imap", "pop3", "managesieve")
"""What an app password can be for."""
SECRET_OCTETS: Final = 32
APP_PASSWORD_CHARACTERS: Final = 20
ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of app passwords: 32 characters that are not taken for one another. 20 of them are 100 bits."""
_HEADER: Final = "# Relay's accounts. Change with: relay account\n"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


class AppPassword(NamedTuple):
    """A password for one client of an account."""

    name: str
    """Chosen by whoever made it; each once in an account, without regard to case."""
    protocols: tuple[str, ...]
    digest: str
    made_on: str
    """The day, ``2026-11-25``."""

    def __repr__(self) -> str:
        return f"AppPassword(name={self.name!r}, protocols={self.protocols!r})"


class Account(NamedTuple):
    """One account."""

    address: str
    password_hash: str
    scram: ScramKeys | None = None
    app_passwords: tuple[AppPassword, ...] = ()

    def __repr__(self) -> str:
        return f"Account(address={self.address!r})"


class Entries(NamedTuple):
    """The whole file."""

    accounts: tuple[Account, ...]
    secret: bytes
    """Empty in a file of an older version."""


def read_lines(text: str, path: object) -> Entries:
    """What ``text`` says. Raises ValueError that names ``path`` and the line."""
    accounts: dict[str, Account] = {}
    secret = b""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(" ")
        try:
            if fields[0] == "secret" and len(fields) == 2:
                secret = _secret(fields[1])
            elif fields[0] == "app-password":
                _add_app_password(accounts, fields[1:])
            else:
                _add_account(accounts, fields)
        except (ValueError, binascii.Error) as fault:
            raise ValueError(f"{path}:{number}: {fault}") from None
    return Entries(tuple(accounts.values()), secret)


def write_lines(entries: Entries) -> str:
    """The file's text."""
    lines = [f"secret {base64.b64encode(entries.secret).decode()}"]
    for account in entries.accounts:
        keys = f" {write_keys(account.scram)}" if account.scram else ""
        lines.append(f"{account.address} {account.password_hash}{keys}")
        lines += [
            f"app-password {account.address} {each.name} {','.join(each.protocols)} {each.digest} {each.made_on}"
            for each in account.app_passwords
        ]
    return _HEADER + "".join(f"{line}\n" for line in lines)


def key_of(address: str) -> str:
    """What two addresses share that would be taken for one another."""
    return address.casefold()


def app_password_digest(password: str, salt: bytes) -> str:
    """How an app password is kept."""
    digest = hashlib.sha256(salt + password.encode()).digest()
    return f"$sha256${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def app_password_text(password: str) -> str:
    """``password`` as an app password, without the spaces and hyphens that people may leave in; empty when it cannot
    be one."""
    text = password.replace(" ", "").replace("-", "").lower()
    is_one = len(text) == APP_PASSWORD_CHARACTERS and all(character in ALPHABET for character in text)
    return text if is_one else ""


def find_app_password(passwords: Iterable[AppPassword], password: str, *protocols: str) -> str:
    """The name of the app password that ``password`` is, if it is one for one of ``protocols``; else empty."""
    text = app_password_text(password)
    if not text:
        return ""
    for each in passwords:
        salt = base64.b64decode(each.digest.split("$")[2])
        is_it = hmac.compare_digest(app_password_digest(text, salt), each.digest)
        if is_it and not set(protocols).isdisjoint(each.protocols):
            return each.name
    return ""


def checked_name(name: str) -> str:
    """``name`` if an app password may be called so. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a name has up to 40 letters, digits, dots, hyphens and underscores, and begins with a letter or digit"
        )
    return name


def checked_protocols(names: Iterable[str]) -> tuple[str, ...]:
    """``names`` in the order of PROTOCOLS. Raises ValueError for others, and for none."""
    wanted = {name.lower() for name in names}
    if unknown := wanted.difference(PROTOCOLS):
        raise ValueError(f"no such protocol: {', '.join(sorted(unknown))} (there are {', '.join(PROTOCOLS)})")
    if not wanted:
        raise ValueError(f"at least one of {', '.join(PROTOCOLS)} is needed")
    return tuple(name for name in PROTOCOLS if name in wanted)


def _secret(text: str) -> bytes:
    secret = base64.b64decode(text, validate=True)
    if len(secret) != SECRET_OCTETS:
        raise ValueError(f"the secret has {len(secret)} octets, not {SECRET_OCTETS}")
    return secret


def _add_account(accounts: dict[str, Account], fields: list[str]) -> None:
    if not 2 <= len(fields) <= 3 or not _is_kept_form(fields[0]) or not fields[1].startswith("$argon2id$"):
        raise ValueError("not an account; a line is an address, a space, an argon2id hash")
    account = Account(fields[0], fields[1], read_keys(fields[2]) if len(fields) == 3 else None)
    if key_of(account.address) in accounts:
        raise ValueError(f"{account.address} stands here twice")
    accounts[key_of(account.address)] = account


def _is_kept_form(address: str) -> bool:
    try:
        return str(Mail().parse(address)) == address
    except ValueError:
        return False


def _add_app_password(accounts: dict[str, Account], fields: list[str]) -> None:
    if len(fields) != 5 or not _DAY.fullmatch(fields[4]):
        raise ValueError("not an app password; a line is app-password, address, name, protocols, hash, day")
    address, name, protocols, digest, made_on = fields
    account = accounts.get(key_of(address))
    if account is None:
        raise ValueError(f"an app password of {address}, which is no account above it")
    scheme = digest.split("$")
    if len(scheme) != 4 or scheme[1] != "sha256" or len(base64.b64decode(scheme[3], validate=True)) != 32:
        raise ValueError("not the hash of an app password")
    base64.b64decode(scheme[2], validate=True)
    added = AppPassword(checked_name(name), checked_protocols(protocols.split(",")), digest, made_on)
    if any(key_of(each.name) == key_of(name) for each in account.app_passwords):
        raise ValueError(f"the app password {name} stands here twice")
    accounts[key_of(address)] = account._replace(app_passwords=(*account.app_passwords, added))
