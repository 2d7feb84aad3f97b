"""The addresses in From, To and their like (RFC 5322 3.4, groups: RFC 6854), for ENVELOPE and Sieve.

A list is read as far as it can be understood: real mail has what no grammar has. Groups become their members
between two markers; routes are dropped; a comment is the name of an address that has none. Encoded words stay as
they are.

What may be read in two ways is read in one; where that decides who may send, strict_addresses.py refuses it.

Bounds: ``OCTETS`` of a value are read and ``MOST`` addresses come out of it, counted while it is read. Nothing is
raised.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from relay.mail import _encoded_words
from relay.mail._header_addresses import read

OCTETS: Final = 1 << 20
MOST: Final = 10_000


class Mailbox(NamedTuple):
    """One address, or the begin (no domain) or end (neither local part nor domain) of a group.

    The domain of what has no ``@`` is empty, not None. Quotes, escapes, comments and white space are removed from both.
    """

    name: bytes | None
    """The display name, or the last comment; None when there is neither. Of a group's begin: None."""
    local: bytes | None
    """The local part; of a group's begin: its name."""
    domain: bytes | None
    is_clean: bool
    """Whether there is one way to read it: no grammar was stretched, nothing is missing and nothing is left over."""
    has_gap: bool
    """Whether words stood in it with nothing but white space between: ``John Doe a@example.org``."""

    @property
    def is_group_begin(self) -> bool:
        return self.domain is None and self.local is not None

    @property
    def is_group_end(self) -> bool:
        return self.domain is None and self.local is None


def addresses(value: bytes, most: int = MOST) -> list[Mailbox]:
    """What is in a field's value, folded or not: at most ``most`` addresses and markers, all groups closed."""
    if len(value) > OCTETS:
        value = value[:OCTETS]
    return [Mailbox(*each) for each in read(_encoded_words.unfold(value), most)]
