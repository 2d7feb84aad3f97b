"""Which protocol a client speaks that is at the wrong port, from the first line it sends.

Theory: every line protocol of mail begins with a few words of its own. A port asks only about a first line that it does
not know itself, so words that two protocols share (AUTH, QUIT, STARTTLS) need not be told apart.
"""

from __future__ import annotations

from typing import Final

_BY_FIRST_WORD: Final = {
    **dict.fromkeys((b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT"), "smtp"),
    **dict.fromkeys((b"CAPA", b"USER", b"APOP", b"STLS"), "pop3"),
    **dict.fromkeys((b"CAPABILITY", b"AUTHENTICATE", b"LISTSCRIPTS", b"PUTSCRIPT", b"HAVESPACE"), "managesieve"),
}
_HTTP: Final = frozenset(
    (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"TRACE", b"PRI")
)
"""Methods: RFC 9110 9, RFC 5789, RFC 9113 3.4; case-sensitive, and never alone in a line."""
_IMAP: Final = frozenset(
    (b"CAPABILITY", b"LOGIN", b"AUTHENTICATE", b"STARTTLS", b"ID", b"SELECT", b"NOOP", b"LOGOUT", b"ENABLE")
)
"""Second words, behind a tag."""


def spoken(line: bytes) -> str:
    """``http``, ``smtp``, ``pop3``, ``managesieve`` or ``imap``; empty when ``line`` is the beginning of none."""
    first, _, rest = line.strip().partition(b" ")
    if first in _HTTP and rest:
        return "http"
    other = _BY_FIRST_WORD.get(first.upper(), "")
    if not other and rest.partition(b" ")[0].upper() in _IMAP:
        return "imap"
    return other
