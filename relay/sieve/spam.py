"""What the fields of spam and virus scanners say, on the scales of RFC 5235.

Read are X-Spam-Status (``Yes, score=7.3 required=5.0``: SpamAssassin, rspamd), X-Spam-Flag and X-Spam (``YES``), and
X-Virus-Status (``Clean``, ``Infected``: ClamAV). Anybody can write such fields: what tags mail at the edge must
remove those that came with it.
"""

from __future__ import annotations

import re
from typing import Final

from relay.sieve.message import MessageView

_SCORE: Final = re.compile(r"\b(?:score|hits)=(-?[0-9]{1,6}(?:\.[0-9]{1,6})?)", re.ASCII)
_REQUIRED: Final = re.compile(r"\brequired=(-?[0-9]{1,6}(?:\.[0-9]{1,6})?)", re.ASCII)


def spam_level(message: MessageView, *, is_percent: bool) -> str:
    """0: not tested; 1 to 10, where 10 is what the scanner calls spam (RFC 5235 2.2.2); or 0 to 100 percent."""
    part = _spam_part(message)
    if is_percent:
        return str(round(100 * (part or 0)))
    return "0" if part is None else str(1 + int(9 * part))


def virus_level(message: MessageView) -> str:
    """0: not tested; 1: clean; 5: infected (RFC 5235 2.3)."""
    for value in message.values("X-Virus-Status"):
        word = value.split(",")[0].split()[:1]
        if word:
            return "1" if word[0].lower() in ("clean", "no") else "5"
    return "0"


def _spam_part(message: MessageView) -> float | None:
    for value in message.values("X-Spam-Status"):
        score, required = _SCORE.search(value), _REQUIRED.search(value)
        if score is not None and required is not None and float(required[1]) > 0:
            return min(1.0, max(0.0, float(score[1]) / float(required[1])))
        if value.lower().startswith(("yes", "no")):
            return 1.0 if value.lower().startswith("yes") else 0.0
    for name in ("X-Spam-Flag", "X-Spam"):
        for value in message.values(name):
            return 1.0 if value.lower().startswith(("yes", "true")) else 0.0
    return None
