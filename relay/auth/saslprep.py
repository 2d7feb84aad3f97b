"""SASLprep (RFC 4013): one form for every way to type the same name or password, for mechanisms that compare hashes.

Theory: a client of SCRAM hashes the password that was typed, so both sides must bring it to the same form first. The
tables are those of Unicode 3.2 (RFC 3454), which the standard library keeps.

Not here: the form under which argon2 hashes passwords (accounts.py): there the server sees the password itself.
"""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(text: str, *, is_query: bool = True) -> str:
    """``text`` in the form in which it is hashed. Raises ValueError for characters that may not be there.

    A query may hold code points that Unicode 3.2 does not know, what is to be stored may not (RFC 3454 7).
    """
    if text.isascii():
        if any(character < " " or character == "\x7f" for character in text):
            raise ValueError("control characters are not allowed")
        return text
    # The tables are asked about each character once, however often it stands there: strangers send long names.
    mapping = {ord(each): " " if stringprep.in_table_c12(each) else None for each in set(text) if _is_mapped(each)}
    form = unicodedata.normalize("NFKC", text.translate(mapping))
    for character in dict.fromkeys(form):
        if any(is_in_table(character) for is_in_table in _PROHIBITED):
            raise ValueError(f"the character U+{ord(character):04X} is not allowed")
        if not is_query and stringprep.in_table_a1(character):
            raise ValueError(f"the character U+{ord(character):04X} is newer than RFC 4013 knows")
    _check_directions(form)
    return form


def _is_mapped(character: str) -> bool:
    return stringprep.in_table_b1(character) or stringprep.in_table_c12(character)


def _check_directions(form: str) -> None:
    """RFC 3454 6: text that runs from right to left must do so from its first character to its last."""
    characters = set(form)
    if not any(stringprep.in_table_d1(character) for character in characters):
        return
    if any(stringprep.in_table_d2(character) for character in characters):
        raise ValueError("it mixes directions of writing")
    if not (stringprep.in_table_d1(form[0]) and stringprep.in_table_d1(form[-1])):
        raise ValueError("it must begin and end with characters that run from right to left")
