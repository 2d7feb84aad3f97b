"""The ids that our refusals end with (relay/smtp/_replies.pyx)."""

from __future__ import annotations

import re
from typing import Final

EXPLAIN_ID: Final = re.compile(rb"(?m)^([^\r\n]*) \[([0-9A-HJKMNP-TV-Z]{13}(?:-[1-9][0-9]*)?)\](\r\n|\Z)")
"""A reply line that ends with the id by which ``relay trace`` finds the refusal: the line, the id, the line's end."""


def bare(replies: bytes) -> bytes:
    """``replies`` of whatever session without the ids at the ends of refusals."""
    return EXPLAIN_ID.sub(rb"\1\3", replies)
