"""What an account has on disk, opened beside a running appliance: its mailboxes and its scripts.

The files belong to the account that Relay runs as. Root becomes that one first, so that Relay can read what is written
here; sessions and deliveries see it.

Not here: what is done with them (relay/mailbox).
"""

from __future__ import annotations

import os
from pathlib import Path

from relay.auth import AccountFile
from relay.config.model import Config
from relay.mailbox.limits import LimitTable
from relay.mailbox.maildir import folder_of
from relay.mailbox.scripts import Quota, Scripts
from relay.mailbox.store import FolderStore


class NotAnAddressError(Exception):
    """What was given as the account's address is none."""


class NothingThereError(Exception):
    """There is no such account, or it has no mailbox yet; the text says which."""


def open_store(config: Config, address: str, *, make: bool = False) -> FolderStore:
    """The mailboxes of the account ``address``, in whatever case; ``make``: an account that has none yet gets one.

    From here on this process works as the owner of the mailboxes. Raises NotAnAddressError, NothingThereError,
    AccountError and OSError.
    """
    folder = _folder_of(config, address)
    if not folder.is_dir():
        _require_account(config, address)
        if not make:
            raise NothingThereError(f"{address} has no mailbox yet")
    _become_owner(next(each for each in (folder, *folder.parents) if each.is_dir()))
    return FolderStore(folder, LimitTable(config.mailbox, config.mailbox_limits).of(folder))


def open_scripts(config: Config, address: str) -> Scripts:
    """The scripts of the account ``address``, in whatever case; as open_store, by the owner of the data directory."""
    folder = _folder_of(config, address)
    _require_account(config, address)
    _become_owner(config.data_dir)
    return Scripts(folder, Quota(config.sieve.max_scripts, config.sieve.max_script_size))


def _folder_of(config: Config, address: str) -> Path:
    try:
        return folder_of(config.mail_dir, address.lower().encode())
    except ValueError:
        raise NotAnAddressError(f"not an address: {address}") from None


def _require_account(config: Config, address: str) -> None:
    if address.lower().encode() not in AccountFile.of(config).addresses():
        raise NothingThereError(f"there is no account {address}")


def _become_owner(folder: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.setgroups([])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
