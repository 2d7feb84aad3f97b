"""Mailbox names: what they may be, and the Maildir++ folder that each has.

A mailbox ``Work/2026`` is the folder ``.Work.2026`` in the account's Maildir, as Dovecot and Courier have it; INBOX
is the Maildir itself. Names are kept in modified UTF-7 (RFC 3501 5.1.3). A dot inside a level would be a separator on
disk, so it is written ``&AC4-``, which decodes to a dot.

Names are in Normalization Form C (RFC 5198 2): composed and decomposed letters make one name.

Invariants: ``folder_name`` is injective on checked names; ``name_of`` is its inverse, and knows folders whose names are
in another form as well (spelling.py gives them theirs); a folder name holds no slash and is never ``.`` or ``..``.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from typing import Final

from relay.mailbox.vocabulary import INBOX, MAX_DEPTH, MAX_NAME_OCTETS, SEPARATOR, Refusal, Refused

_CONTROLS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def checked(name: str) -> str:
    """``name`` as the store knows it: in Normalization Form C, INBOX in capitals (RFC 9051 5.1).

    Refused CANNOT for what cannot be a name: empty or with an empty level, with control octets, too long or too deep.
    """
    if len(name) > 4 * MAX_NAME_OCTETS:  # before work that grows faster than its length
        raise Refused(Refusal.CANNOT, "the mailbox name is too long")
    name = unicodedata.normalize("NFC", name)
    levels = name.split(SEPARATOR)
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    if "" in levels:
        raise Refused(Refusal.CANNOT, "a mailbox name has no empty level")
    if len(levels) > MAX_DEPTH:
        raise Refused(Refusal.CANNOT, f"a mailbox name has at most {MAX_DEPTH} levels")
    if any(unicodedata.category(sign) in _CONTROLS for sign in name):
        raise Refused(Refusal.CANNOT, "a mailbox name has no control characters")
    name = SEPARATOR.join(levels)
    if len(folder_name(name)) > MAX_NAME_OCTETS:
        raise Refused(Refusal.CANNOT, "the mailbox name is too long")
    return name


def folder_name(name: str) -> str:
    """The folder of a checked name, relative to the account's Maildir; "" for INBOX."""
    if name == INBOX:
        return ""
    return "".join("." + _encoded(level) for level in name.split(SEPARATOR))


def name_of(folder: str) -> str | None:
    """The mailbox name of a folder like ``.Work.2026``, whatever Unicode form it is in; None for what is not the folder
    of a mailbox we could name."""
    if not folder:
        return INBOX
    if not folder.startswith(".") or len(folder) < 2:
        return None
    try:
        name = SEPARATOR.join(decode_utf7(level) for level in folder[1:].split("."))
        is_ours = "".join("." + _encoded(level) for level in name.split(SEPARATOR)) == folder
        known = checked(name)
        return known if is_ours and known == unicodedata.normalize("NFC", name) and known != INBOX else None
    except (ValueError, Refused):
        return None


def encode_utf7(text: str) -> str:
    """RFC 3501 5.1.3."""
    return _encode(text, "")


def decode_utf7(text: str) -> str:
    """The reverse. ValueError for what is not modified UTF-7; an ASCII sign in base64 form is tolerated."""
    pieces, at = [], 0
    while (start := text.find("&", at)) >= 0:
        pieces.append(text[at:start])
        end = text.find("-", start)
        if end < 0:
            raise ValueError("an open shift in modified UTF-7")
        pieces.append(_shifted(text[start + 1 : end]))
        at = end + 1
    pieces.append(text[at:])
    if not text.isascii():
        raise ValueError("modified UTF-7 is ASCII")
    return "".join(pieces)


def parents(name: str) -> list[str]:
    """The names of the levels above, from the top."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]


def _encoded(level: str) -> str:
    return _encode(level, ".")


def _encode(text: str, also: str) -> str:
    if text.isascii() and text.isprintable() and "&" not in text and not (also and also in text):
        return text
    pieces: list[str] = []
    shifted = ""
    for sign in text:
        if " " <= sign <= "~" and sign not in also:
            pieces += (_shift(shifted), "&-" if sign == "&" else sign)
            shifted = ""
        else:
            shifted += sign
    pieces.append(_shift(shifted))
    return "".join(pieces)


def _shift(text: str) -> str:
    if not text:
        return ""
    octets = base64.b64encode(text.encode("utf-16-be")).decode("ascii")
    return "&" + octets.rstrip("=").replace("/", ",") + "-"


def _shifted(text: str) -> str:
    if not text:
        return "&"
    try:
        octets = base64.b64decode(text.replace(",", "/") + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as fault:
        raise ValueError("bad base64 in modified UTF-7") from fault
    return octets.decode("utf-16-be")
