"""Unicode normalisation of what strangers wrote (Unicode 15, Annex 15).

Python's own puts combining characters in order by insertion, which is quadratic in a run of them. Here the text is
normalised in pieces of at most ``PIECE`` characters, cut before an ASCII character, which never joins what stands
before it, wherever there is one; so only a run of hundreds of characters without any is cut elsewhere, and cost is
bounded for each character.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

PIECE: Final = 256
_PIECES: Final = re.compile(rf"(?s:.{{1,{PIECE}}}(?=[\x00-\x7f]|\Z)|.{{1,{PIECE}}})")

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def normalized(form: Form, text: str) -> str:
    """``text`` in the normalisation form; ASCII is returned as it is."""
    if text.isascii():
        return text
    if len(text) <= PIECE:
        return unicodedata.normalize(form, text)
    return "".join([unicodedata.normalize(form, piece) for piece in _PIECES.findall(text)])
