"""IMAP URLs of CATENATE (RFC 4469, RFC 5092): a message of this account, or a section of one.

Only what stands below this server is understood: ``/INBOX;UIDVALIDITY=1/;UID=20/;SECTION=1.2`` and, in the open
mailbox, ``/;UID=20``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from relay.imap.completion import No
from relay.imap.grammar import mailbox_text
from relay.imap.sections import section_of
from relay.imap.state import State
from relay.mailbox.interfaces import View

MAX_SHOWN: Final = 1000
"""Octets of a URL that is not understood that are told again."""
_URL: Final = re.compile(
    r"(?:imap://[^/]*+)?+/?+(?P<mailbox>[^;]*+)(?:;UIDVALIDITY=(?P<validity>[0-9]{1,10}+)/?+)?+"
    r";UID=(?P<uid>[0-9]{1,10}+)(?:/;SECTION=(?P<section>[^;/]*+))?+"
    r"(?:/;PARTIAL=(?P<first>[0-9]{1,19}+)(?:\.(?P<count>[0-9]{1,19}+))?+)?+\Z",
    re.IGNORECASE,
)


def read(state: State, url: bytes, piece: int) -> Iterator[bytes]:
    """The octets that ``url`` means, in pieces. No (BADURL) when there is nothing there."""
    shown = re.sub(r"[^!-~]|[\\\]\"]", "?", url[:MAX_SHOWN].decode("latin-1"))
    found = _URL.match(url.decode("latin-1"))
    if found is None:
        raise No("This URL is not understood", f"BADURL {shown}")
    name = mailbox_text(unquote_to_bytes(found["mailbox"].removesuffix("/")), utf8=True)
    view = state.view if not name else state.store.open(name, read_only=True)
    try:
        yield from _read(view, found, piece, shown)
    finally:
        if name:
            view.close()


def _read(view: View, found: re.Match[str], piece: int, shown: str) -> Iterator[bytes]:
    index = view.index_of(int(found["uid"]))
    if index < 0 or (found["validity"] and int(found["validity"]) != view.uidvalidity):
        raise No("There is nothing at this URL", f"BADURL {shown}")
    section = section_of(unquote_to_bytes(found["section"] or ""))
    span = section.span(view.parts(index), view.size(index)) if section is not None else None
    if span is None:
        raise No("There is nothing at this URL", f"BADURL {shown}")
    offset, count = int(found["first"] or 0), int(found["count"]) if found["count"] else None
    first, last = span[0] + offset, span[1] if count is None else min(span[1], span[0] + offset + count)
    with view.content(index) as content:
        if section is not None and section.picks:
            picked = section.pick(content.read(span[0], span[1] - span[0]))[offset:]
            yield picked if count is None else picked[:count]
            return
        while first < last:
            octets = content.read(first, min(piece, last - first))
            if not octets:
                return
            first += len(octets)
            yield octets
