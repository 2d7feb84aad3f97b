"""The settings of the mailbox store; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.config.declare import setting
from relay.config.kinds import Choice, Domain, Duration, Mail, Many, Size, Text, Whole


@dataclass(frozen=True, slots=True)
class MailboxSettings:
    """How much an account may keep, and for how long."""

    quota: int = setting(
        Size("64KiB", "16TiB", zero="no limit"), "Octets on disk of all messages of one account.", default="0"
    )
    quota_messages: int = setting(Whole(0, 1_000_000_000), "Messages of one account; 0 = no limit.", default=0)
    over_quota: str = setting(
        Choice(("defer", "reject")),
        "Mail for an account without room: deferred (`452 4.2.2`; tried again until the queue gives up) or rejected "
        "(`552 5.2.2`: at RCPT, or at the end of the content when nobody of all recipients has room for it; by a "
        "bounce only where that could not be known).",
        default="defer",
    )
    quota_warning: int = setting(
        Whole(0, 99),
        "When a delivery makes an account use more than this percentage of its quota, a message in INBOX says so, at "
        "most once a day. 0 = never.",
        default=90,
    )
    max_mailboxes: int = setting(Whole(1, 1_000_000), "Mailboxes of one account.", default=10_000)
    deleted_retention: float = setting(
        Duration("1h", "520w", zero="they are gone at once"),
        "How long removed messages and mailboxes can be restored (`relay mailbox restore`). They do not count for the "
        "quota.",
        default="14d",
    )
    trash_expiry: float = setting(
        Duration("1h", "520w", zero="never"),
        "Messages that came into the mailbox with the special use \\Trash so long ago are removed.",
        default="0",
    )
    junk_expiry: float = setting(Duration("1h", "520w", zero="never"), "The same for \\Junk.", default="0")


@dataclass(frozen=True, slots=True)
class MailboxLimit:
    """How much one mailbox or one account may keep, and for how long. Of several that fit, the first counts."""

    mailbox: str = setting(
        Text(longest=255),
        "The mailbox, by name (`Lists/announce`) or by special use (`\\Trash`). Empty: the account as a whole, in "
        "place of `mailbox.quota` and `mailbox.quota_messages`.",
        default="",
        example="Lists/announce",
    )
    accounts: tuple[str, ...] = setting(
        Many(Mail()), "Whose; with `domains` empty too, everybody's.", default=[], example=["alice@example.org"]
    )
    domains: tuple[str, ...] = setting(Many(Domain()), "All accounts of these domains.", default=[])
    quota: int = setting(Size("64KiB", "16TiB", zero="no limit"), "Octets on disk of its messages.", default="0")
    quota_messages: int = setting(Whole(0, 1_000_000_000), "Messages; 0 = no limit.", default=0)
    expiry: float = setting(
        Duration("1h", "520w", zero="never"),
        "Messages that came into the mailbox so long ago are removed; they can be restored like others.",
        default="0",
        example="90d",
    )
