"""What a client wants to be told of without asking (RFC 5465 5, 6): events, and of which mailboxes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Flag, auto
from typing import Final, NamedTuple

from relay.mailbox import names
from relay.mailbox.vocabulary import INBOX, Listed


class Event(Flag):
    """What may happen (5)."""

    NEW = auto()
    EXPUNGE = auto()
    FLAGS = auto()
    NAME = auto()
    SUBSCRIPTION = auto()
    METADATA = auto()
    SERVER = auto()


NOTHING: Final = Event(0)
MESSAGES: Final = Event.NEW | Event.EXPUNGE | Event.FLAGS
NAMES: Final = {
    "MessageNew": Event.NEW,
    "MessageExpunge": Event.EXPUNGE,
    "FlagChange": Event.FLAGS,
    "MailboxName": Event.NAME,
    "SubscriptionChange": Event.SUBSCRIPTION,
    "MailboxMetadataChange": Event.METADATA,
    "ServerMetadataChange": Event.SERVER,
}


class Group(NamedTuple):
    """Events of some mailboxes other than the open one (6.2 to 6.6)."""

    events: Event
    kind: bytes
    """PERSONAL (and INBOXES, which is the same here), SUBSCRIBED, SUBTREE, MAILBOXES."""
    names: frozenset[str] = frozenset()

    def has(self, name: str, *, is_subscribed: bool) -> bool:
        """Whether a mailbox belongs to it."""
        match self.kind:
            case b"SUBSCRIBED":
                return is_subscribed
            case b"MAILBOXES":
                return name in self.names
            case b"SUBTREE":
                return name in self.names or any(above in self.names for above in names.parents(name))
        return True


class Wishes(NamedTuple):
    """All that is wanted; nothing, after NOTIFY NONE."""

    selected: Event = NOTHING
    is_delayed: bool = False
    """EXPUNGE waits for a command that may bring it (6.1.2)."""
    groups: tuple[Group, ...] = ()

    def of(self, listed: Listed) -> Event:
        """The events of a mailbox, open or not, that are wanted by its name."""
        found = NOTHING
        for group in self.groups:
            if group.has(listed.name, is_subscribed=listed.subscribed):
                found |= group.events
        return found

    @property
    def has_server(self) -> bool:
        """Whether changes of the server's annotations are wanted."""
        return any(Event.SERVER in group.events for group in self.groups)


def folded(mailboxes: Iterable[str]) -> tuple[str, ...]:
    """Names as the store lists them."""
    return tuple(
        INBOX + name[5:] if name.upper() == INBOX or name[:6].upper() == "INBOX/" else name for name in mailboxes
    )
