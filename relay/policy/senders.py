"""Whom an account may write as: its own address and the sub-addresses of it.

Not here: who is asked (policy.py), whether an account is who it says (relay/auth).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from relay.mail.address import AddressError, base_address, parse_address
from relay.mail.header_addresses import addresses

_FROM: Final = re.compile(rb"^From[ \t]*:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_LONGEST: Final = 16384
"""Octets of a From field that are read; a longer one is nobody's own."""


def is_own(address: bytes, account: str, delimiter: str) -> bool:
    """Whether ``address`` is the account's, or a sub-address of it (RFC 5233), in whatever case."""
    own = account.encode().lower()
    lowered = address.lower()
    return lowered == own or bool(delimiter and base_address(lowered, delimiter) == own)


def foreign_author(content: Sequence[bytes], account: str, delimiter: str) -> str:
    """The first author in the From field (RFC 5322 3.6.2) that is not the account, made safe to show; empty when all
    are, or nobody is named. More than one From field is foreign as a whole: readers disagree on which one counts."""
    header = bytes(content[0]).partition(b"\r\n\r\n")[0] if content else b""
    fields = _FROM.findall(header)
    if len(fields) > 1:
        return "several From fields"
    if not fields:
        return ""
    if len(fields[0]) > _LONGEST:
        return "a From field that is too long"
    found = [each for each in addresses(fields[0]) if each.domain is not None]
    if not found or not all(each.is_clean for each in found):
        return "a From field that cannot be read"
    for each in found:
        try:
            parsed = parse_address(b"@".join((each.local or b"", each.domain or b"")).decode())
        except (AddressError, UnicodeDecodeError):
            return "a From field that cannot be read"
        if not is_own(parsed, account, delimiter):
            return f"<{parsed.decode(errors='backslashreplace')}>"
    return ""
