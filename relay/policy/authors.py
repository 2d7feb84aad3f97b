"""Who a header section says has written a message, and who has put it into transport (RFC 5322 3.6.2, 3.6.6; RFC 6854).

Theory: whoever puts a message into transport again stands in Resent-From or Resent-Sender on top of it, and From stays
what it was. So there is one block of fields to look at: the Resent- fields above the first trace field, as far as none
of them stands there twice (the second begins the block of an earlier resending), or, without such a block, From and
Sender.

Not here: whose address may stand there (senders.py), how it is read (relay/mail/strict_addresses.py).
"""

from __future__ import annotations

from typing import NamedTuple

from relay.mail.strict_addresses import LONGEST
from relay.policy._responsible import find_responsible


class Fields(NamedTuple):
    """The fields that name who is responsible, each as often as it stands there (at most twice): its value, folds
    included."""

    is_resent: bool
    """They are the Resent- fields of the newest resending."""
    has_from: bool
    """There is a From field."""
    author: tuple[bytes, ...]
    """Of From, or Resent-From."""
    sender: tuple[bytes, ...]
    """Of Sender, or Resent-Sender."""


def responsible(header: bytes) -> Fields:
    """The fields of the whole header section ``header`` that say who is responsible for the message as it is sent."""
    return Fields(*find_responsible(header, LONGEST + 1))
