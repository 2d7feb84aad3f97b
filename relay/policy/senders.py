"""Whom an account may write as, by the setting ``auth.senders``.

    own       its own address and its sub-addresses, everywhere: reverse-path, From, and Sender where there is one
    sender    it is responsible for the message: Sender is its own, or, without one, From (RFC 5322 3.6.2)
    any       whatever it likes

In a message that is put into transport again, Resent-Sender or else Resent-From stands for all of that (RFC 5322
3.6.6, RFC 6409 8.1).

Not here: which fields those are (authors.py), who is asked (checks.py), whether an account is who it says (relay/auth).
"""

from __future__ import annotations

from typing import Final

from relay.mail.address import base_address
from relay.mail.strict_addresses import UnreadableError, strict_addresses
from relay.policy.authors import Fields

SENDER: Final = "sender"
ANY: Final = "any"


def is_own(address: bytes, account: str, delimiter: str) -> bool:
    """Whether ``address`` is the account's, or a sub-address of it (RFC 5233), in whatever case, with or without the
    dot of the root at the end of its domain (RFC 1034 3.1)."""
    own = account.encode().lower()
    lowered = address.lower().removesuffix(b".")
    return lowered == own or bool(delimiter and base_address(lowered, delimiter) == own)


def foreign_author(fields: Fields, account: str, delimiter: str, rule: str) -> str:
    """The first of whom a header section names as responsible that is not the account, made safe to show; empty when
    there is none, or nobody is named. A field that stands there twice is foreign as a whole: readers disagree on which
    one counts."""
    prefix = "Resent-" if fields.is_resent else ""
    for name, values in (("From", fields.author), ("Sender", fields.sender)):
        if len(values) > 1:
            return f"several {prefix}{name} fields"
    for name, value in _judged(fields, rule):
        try:
            found = strict_addresses(value)
        except UnreadableError:
            return f"a {prefix}{name} field that cannot be read"
        for address in found:
            if not is_own(address, account, delimiter):
                return f"<{address.decode(errors='backslashreplace')}>"
    return ""


def _judged(fields: Fields, rule: str) -> list[tuple[str, bytes]]:
    """The fields whose addresses must be the account's."""
    author = [("From", value) for value in fields.author]
    sender = [("Sender", value) for value in fields.sender]
    if fields.is_resent or rule == SENDER:
        return sender or author
    return author + sender
