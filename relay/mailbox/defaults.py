"""The mailboxes that an account starts with, and their special uses (RFC 6154).

Theory: mail programs look for the special uses; where they find none, each makes mailboxes of its own, under its own
names. So an account gets them before its first session sees it. What is there already is taken, under the wanted name
or one that mail programs and servers have for that use; a use that somebody has given to a mailbox stays where it is.
It is done once: the account's notes say so, and what its owner removes or renames afterwards stays so.

Not here: when (relay/workers/mailbox.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.mailbox import subscriptions
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import INBOX, SEPARATOR, Refused

KNOWN_AS: Final = {
    "\\Archive": ("archive", "archives"),
    "\\Drafts": ("drafts", "draft"),
    "\\Junk": ("junk", "spam", "junk e-mail", "junk email", "bulk mail"),
    "\\Sent": ("sent", "sent items", "sent messages", "sent mail", "sent-mail"),
    "\\Trash": ("trash", "deleted items", "deleted messages", "deleted"),
}
"""Names that programs have for them, in lower case, as such or below INBOX."""


class Default(NamedTuple):
    """A mailbox to start with."""

    name: str
    special_use: str
    """Or empty."""


def read_defaults(lines: Sequence[str]) -> tuple[Default, ...]:
    """What the setting ``mailbox.defaults`` says."""
    return tuple(_read(line) for line in lines)


def provide(store: FolderStore, wanted: Sequence[Default]) -> bool:
    """Gives the account its first mailboxes, if that was not done before; whether it was done now. Blocks.

    What cannot be (too many mailboxes, a name that another program has put something else at) is left out. Raises
    OSError, and is tried again with the next session, when the disk does not take it.
    """
    if not wanted or store.root.notes().has_defaults:
        return False
    has_chosen = bool(subscriptions.read(store.root.folder))
    for each in wanted:
        try:
            _provide(store, each)
        except Refused:
            continue
    if not has_chosen:
        store.subscribe(INBOX)
    store.root.mark_defaults()
    return True


def _provide(store: FolderStore, wanted: Default) -> None:
    uses = [wanted.special_use] if wanted.special_use else []
    if uses and any(wanted.special_use in each for each in store.root.notes().special_uses.values()):
        return
    existing = _existing(store.names(), wanted)
    if existing:
        if uses:
            found = store.root.notes().special_uses.get(store.folder_of(existing).name, ())
            store.set_special_use(existing, {*found, *uses})
        return
    store.create(wanted.name, uses)
    store.subscribe(wanted.name)


def _existing(names: Sequence[str], wanted: Default) -> str:
    """The mailbox that is there for it, the wanted name before others; or empty."""
    if wanted.name in names:
        return wanted.name
    by_name = {name.removeprefix(INBOX + SEPARATOR).lower(): name for name in reversed(names)}
    known = (wanted.name.lower(), *KNOWN_AS.get(wanted.special_use, ()))
    return next((by_name[name] for name in known if name in by_name), "")


def _read(line: str) -> Default:
    name, _, use = line.rpartition(" ")
    return Default(name.strip(), use) if use.startswith("\\") else Default(line.strip(), "")
