"""File names of a Maildir: the unique base, the sizes in it, and the flags in its info.

``base:2,FRS`` (cr.yp.to/proto/maildir.html): letters for the system flags, and ``a`` to ``z`` for keyword numbers 0 to
25 as Dovecot has it; keywords beyond have no letter and live in the uid log alone. ``,S=`` in the base is the size on
disk, ``,W=`` the size with CRLF lines. The base never changes while a message is in its mailbox.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final

from relay.mailbox.vocabulary import ANSWERED, DELETED, DRAFT, FIRST_KEYWORD, FLAGGED, SEEN

LETTERED: Final = 26
"""Keyword numbers that have a letter."""
IN_NAME: Final = SEEN | ANSWERED | FLAGGED | DELETED | DRAFT | ((1 << LETTERED) - 1) << FIRST_KEYWORD
"""The flags that a file name can show."""
INFO: Final = ":2,"

_SYSTEM: Final = (("D", DRAFT), ("F", FLAGGED), ("R", ANSWERED), ("S", SEEN), ("T", DELETED))
_LETTERS: Final = (*_SYSTEM, *((chr(ord("a") + n), 1 << FIRST_KEYWORD + n) for n in range(LETTERED)))
_BITS: Final = dict(_LETTERS)
_DISK_SIZE: Final = re.compile(r",S=(\d{1,15})(?![\d])")
_SIZE: Final = re.compile(r",W=(\d{1,15})(?![\d])")
_ORDER: Final = re.compile(r"(\d{1,15})(?:\.(?:.*?M(\d{1,9}))?)?")


def split(name: str) -> tuple[str, str]:
    """(Base, letters of the info); another kind of info than ``2,`` counts as none."""
    base, colon, info = name.partition(":")
    return base, info[2:].partition(",")[0] if colon and info.startswith("2,") else ""


def mask_of(letters: str, keywords: int) -> int:
    """The flags that ``letters`` say; ``keywords`` is how many the mailbox has, letters beyond say nothing."""
    mask = 0
    for letter in letters:
        mask |= _BITS.get(letter, 0)
    return mask & (1 << FIRST_KEYWORD + keywords) - 1


def letters_of(mask: int, others: str = "") -> str:
    """The info letters for a mask, in ASCII order; ``others`` are letters of other programs that stay."""
    if not mask & ~SEEN and not others:
        return "S" if mask else ""
    letters = {letter for letter, bit in _LETTERS if mask & bit}
    return "".join(sorted(letters | {letter for letter in others if letter not in _BITS}))


def in_cur(base: str, mask: int, others: str = "") -> str:
    """The file's path below the folder, when it is in ``cur``."""
    return f"cur/{base}{INFO}{letters_of(mask, others)}"


def disk_size(base: str) -> int | None:
    """The octets of the file, where the name tells."""
    found = _DISK_SIZE.search(base)
    return int(found[1]) if found else None


def size(base: str) -> int | None:
    """The octets with CRLF lines, where the name tells."""
    found = _SIZE.search(base)
    return int(found[1]) if found else None


def sizes(base: str) -> str:
    """What the name says of sizes, to be put behind another unique name."""
    found = (("S", disk_size(base)), ("W", size(base)))
    return "".join(f",{letter}={octets}" for letter, octets in found if octets is not None)


def is_exact(name: str) -> bool:
    """Whether the file holds what is sent, octet for octet. Its name then says that it has as many octets as are sent:
    of a file with LF lines that would not be true."""
    size = _DISK_SIZE.search(name)
    sent = _SIZE.search(name)
    return size is not None and sent is not None and int(size[1]) == int(sent[1])


def order(base: str) -> tuple[int, int, str]:
    """Sorts messages by the time of their delivery, as far as their names tell it."""
    found = _ORDER.match(base)
    return (int(found[1]), int(found[2] or 0), base) if found else (0, 0, base)


def email_id(base: str) -> int:
    """The OBJECTID of a message that has not been copied yet: 64 bits of a hash over its unique name."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(base.partition(",")[0]), digest_size=8).digest(), "little")
