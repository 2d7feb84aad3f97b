"""Which passwords people may choose (NIST SP 800-63B 5.1.1.2).

Theory: what keeps a guesser out is length, and not being among what is tried first: the passwords of the lists, the
name of the account, rows of keys. Rules about kinds of characters make people choose worse, so there are none.

Not here: how passwords are kept (accounts.py), the ones that we make ourselves (relay/cli/account.py, app passwords).
"""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import Final

SHORTEST: Final = 8
"""Characters."""
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
)
_FILLING: Final = " !?.,-_*#@$&+0123456789"
"""What people put behind a word."""
_WORDS: Final = """
abc access admin administrator baseball batman changeme charlie computer default dragon email football freedom
fuckyou geheim hallo hello hello123 iloveyou internet jennifer jesus jordan killer letmein liverpool login
lovely mail mailbox master michael monkey motdepasse mustang naruto ninja pass passcode passw0rd password
passwort pokemon postmaster princess pwd qazwsx qwerty qwertz relay root samsung schatz secret server shadow
solo starwars summer sunshine superman superstar support system temp test testing trustno trustno1 user
welcome whatever winter 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx zaq12wsx q1w2e3r4 a1b2c3d4 p@ssw0rd p@ssword
pa55word pa55w0rd
"""
COMMON: Final = frozenset(_WORDS.split())
"""Of the lists of passwords that were found most often, without what people put behind them."""


def weakness(password: str, address: str) -> str:
    """Why ``password`` is too easily guessed for the account ``address``, for people; empty when it is not."""
    text = unicodedata.normalize("NFKC", password).casefold()
    if len(password) < SHORTEST:
        return f"has {len(password)} characters; at least {SHORTEST} are needed"
    bare = text.strip(_FILLING)
    if text in COMMON or bare in COMMON or _halved(bare) in COMMON:
        return "is one of those that are tried first"
    local, _, domain = address.casefold().rpartition("@")
    names = {address.casefold(), local, domain, domain.partition(".")[0], local.replace(".", "")}
    if bare in names or text in names or bare == text == local[::-1]:
        return "is the account's name"
    if len(set(text)) < 4 or not bare or _is_row(text):
        return "is a row of characters"
    return ""


def _halved(text: str) -> str:
    """``text`` once where it stands there twice."""
    half = len(text) // 2
    return text[:half] if text and text[:half] * 2 == text else ""


def _is_row(text: str) -> bool:
    """Whether it is made of keys that stand beside one another, there or back, in one or two runs."""
    turns = 0
    for here, after in pairwise(text):
        is_beside = any(here + after in row or after + here in row for row in _ROWS) or here == after
        turns += not is_beside
    return turns <= 1
