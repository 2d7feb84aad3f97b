"""The words of a mailbox store: flags, what is known of a mailbox, what a change did, why something was refused.

Pure values. Flags of a message are one integer, so that those of 100,000 messages are an array: the system flags of
RFC 9051 2.3.2 are its low bits, RECENT (RFC 3501 2.3.2, of one view only) follows, and bit ``FIRST_KEYWORD + n`` is the
mailbox's keyword number n. Keyword numbers never change within a mailbox and mean nothing outside of it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

SEEN: Final = 1
ANSWERED: Final = 2
FLAGGED: Final = 4
DELETED: Final = 8
DRAFT: Final = 16
RECENT: Final = 32
"""Only in the flags of a view: this view is the first that was told of the message."""
FIRST_KEYWORD: Final = 8
"""The bit of keyword number 0."""
MAX_KEYWORDS: Final = 56
"""Different keywords in one mailbox; the flags of a message fit in 64 bits."""
MAX_KEYWORD_OCTETS: Final = 100
SYSTEM_FLAGS: Final = {
    "\\Seen": SEEN,
    "\\Answered": ANSWERED,
    "\\Flagged": FLAGGED,
    "\\Deleted": DELETED,
    "\\Draft": DRAFT,
}
"""As RFC 9051 spells them; flags compare without case."""
STORED: Final = ~RECENT & (1 << 64) - 1

SEPARATOR: Final = "/"
"""Between the levels of a mailbox name."""
INBOX: Final = "INBOX"
MAX_NAME_OCTETS: Final = 200
"""Of a whole mailbox name as it is on disk (modified UTF-7), so that it fits a file name."""
MAX_DEPTH: Final = 20
MAX_UID: Final = (1 << 32) - 1
"""RFC 9051 2.3.1.1."""
MAX_ANNOTATIONS: Final = 100
"""Of one mailbox, or of the account (RFC 5464 4.1: at least 10)."""
SPECIAL_USES: Final = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
"""RFC 6154 2, RFC 8457."""


class Refusal(Enum):
    """Why a store does not do something; the values are response codes of RFC 9051 7.1 and RFC 5530."""

    NONEXISTENT = "NONEXISTENT"
    """No such mailbox; for COPY, MOVE and APPEND, TRYCREATE."""
    ALREADY_EXISTS = "ALREADYEXISTS"
    CANNOT = "CANNOT"
    """Never possible: a bad name, the deletion of INBOX."""
    OVER_QUOTA = "OVERQUOTA"
    LIMIT = "LIMIT"
    """A bound of this server: keywords, mailboxes, levels."""
    READ_ONLY = "READ-ONLY"
    EXPUNGED = "EXPUNGEISSUED"
    """The message is gone from disk, though this view still numbers it."""
    CORRUPT = "CORRUPTION"


class Refused(Exception):  # noqa: N818 - it is an answer, not always an error
    """What was asked for is not done, nothing has changed; the text is for the peer and names no path."""

    def __init__(self, why: Refusal, text: str) -> None:
        super().__init__(text)
        self.why = why
        self.text = text


class How(Enum):
    """What STORE does with the flags (RFC 9051 6.4.6)."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


class Listed(NamedTuple):
    """One name of LIST or LSUB (RFC 9051 7.3.1, RFC 5258)."""

    name: str
    exists: bool
    """False for a subscription that outlived its mailbox, and for a level that only has others below it."""
    subscribed: bool
    has_children: bool
    special_use: tuple[str, ...] = ()


class Status(NamedTuple):
    """RFC 9051 6.3.11, RFC 7162 3.1.7, RFC 8474."""

    messages: int
    recent: int
    unseen: int
    deleted: int
    size: int
    """Octets: the sum of the RFC822.SIZEs."""
    uidnext: int
    uidvalidity: int
    highestmodseq: int
    mailbox_id: str


class Quota(NamedTuple):
    """Use and bounds of an account (RFC 9208); a limit of 0 is none. What is kept after deletion does not count."""

    octets: int
    octets_limit: int
    messages: int
    messages_limit: int


class Stored(NamedTuple):
    """What ``store_flags`` did."""

    changed: Sequence[int]
    """UIDs whose flags are another than before; their MODSEQ has grown. The view shows them already."""
    failed: Sequence[int]
    """UIDs that were left alone: changed since ``unchanged_since`` (RFC 7162 3.1.3), in ascending order."""
    gone: Sequence[int]
    """UIDs of this view whose messages are no longer there; the next refresh tells."""


class Appended(NamedTuple):
    """RFC 4315 APPENDUID."""

    uidvalidity: int
    uids: Sequence[int]


class Copied(NamedTuple):
    """RFC 4315 COPYUID: the message ``sources[n]`` is now ``uids[n]`` in the other mailbox."""

    uidvalidity: int
    sources: Sequence[int]
    uids: Sequence[int]


class Changes(NamedTuple):
    """What ``refresh`` changed in a view."""

    new: int
    """Messages added at the end."""
    changed: Sequence[int]
    """UIDs of messages already in the view before, with other flags or another MODSEQ; ascending."""
    vanished: Sequence[tuple[int, int]]
    """(Sequence number *before* the refresh, UID) of messages that left the view; ascending. Sent as EXPUNGE from the
    last to the first, the numbers need no adjusting."""

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.vanished)


class Part(NamedTuple):
    """One part of a message, or the message itself (number 0), in the order in which they begin (RFC 9051 9).

    Offsets count CRLF octets from the start of the message: what ``Content.read`` takes.
    """

    kind: str
    """basic, text, multipart (its children are its parts) or message (one child: the message in it)."""
    type: bytes
    """``type/subtype`` in lower case, the default where the field is missing or malformed."""
    encoding: str
    """7bit, 8bit, binary, base64, quoted-printable, or "" for one that is not known."""
    header_start: int
    body_start: int
    end: int
    lines: int
    """Of the body."""
    parent: int
    """Number of the multipart or message it belongs to; -1 for the message itself."""
    children: int
    after: int
    """The number past its last descendant; the first child of part n is n + 1."""
    fields: dict[str, bytes]
    """Values by lower-case name, as they are in the message, outer white space removed, folds kept (with LF): the
    Content-* fields; of messages also date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, message-id,
    references. The first field of each name."""


def system_flags(names: Iterable[str]) -> tuple[int, list[str]]:
    r"""The bits of the system flags among ``names``, and the keywords, each once, as first written.

    Refused CANNOT for a name that no keyword can have (RFC 9051 9: an atom) and for an unknown system flag; \Recent
    cannot be stored (RFC 3501 2.3.2).
    """
    bits, keywords, known = 0, [], set()
    for name in names:
        folded = name.lower()
        if bit := _BITS.get(folded):
            bits |= bit
        elif not is_keyword(name):
            raise Refused(Refusal.CANNOT, "no such flag can be stored")
        elif folded not in known:
            known.add(folded)
            keywords.append(name)
    return bits, keywords


def is_keyword(name: str) -> bool:
    """Whether ``name`` can be a keyword: an atom of at most MAX_KEYWORD_OCTETS (RFC 9051 9)."""
    return 0 < len(name) <= MAX_KEYWORD_OCTETS and all("!" <= sign <= "~" and sign not in '(){%*"\\]' for sign in name)


def low_octets(flags: Sequence[int]) -> bytes:
    r"""The octet of each mask that has the system flags and \Recent: 100,000 of them, in an array, without a loop."""
    if not isinstance(flags, array):
        return bytes(mask & 255 for mask in flags)
    first = 0 if sys.byteorder == "little" else flags.itemsize - 1
    return flags.tobytes()[first :: flags.itemsize]


def flag_names(mask: int, keywords: Sequence[str]) -> tuple[str, ...]:
    r"""The flags of ``mask`` by name, with \Recent when it is set; ``keywords`` by number."""
    names = [name for name, bit in SYSTEM_FLAGS.items() if mask & bit]
    if mask & RECENT:
        names.append("\\Recent")
    mask >>= FIRST_KEYWORD
    number = 0
    while mask:
        if mask & 1 and number < len(keywords):
            names.append(keywords[number])
        mask >>= 1
        number += 1
    return tuple(names)


_BITS: Final = {name.lower(): bit for name, bit in SYSTEM_FLAGS.items()}
