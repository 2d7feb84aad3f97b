"""The ``subscriptions`` file, in Dovecot's form, so that a taken-over account keeps its subscriptions.

Version 2 (a first line ``V<tab>2``, an empty line, then names in modified UTF-7 with a tab between levels) is written;
version 1 (a name a line, levels separated by dots or slashes) is read too. A subscription needs no mailbox (RFC 9051
6.3.7).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from relay.mailbox import names
from relay.mailbox.account_root import read_text, replace
from relay.mailbox.vocabulary import SEPARATOR, Refused

NAME: Final = "subscriptions"
MAX_SUBSCRIPTIONS: Final = 10_000
_HEADER: Final = "V\t2\n\n"


def read(folder: Path) -> set[str]:
    """The names; none when there is no file. Lines that are no names are left out. OSError."""
    return parse(read_text(folder / NAME))


def parse(text: str) -> set[str]:
    """The names in a file that says ``text``."""
    lines = text.splitlines()
    is_new = bool(lines) and lines[0] == "V\t2"
    found = {_new(line) if is_new else _old(line) for line in lines[2 if is_new else 0 :] if line}
    return {name for name in found if name is not None}


def write(folder: Path, subscribed: Iterable[str]) -> None:
    """*Published*; the caller holds the account's lock."""
    lines = ["\t".join(names.encode_utf7(level) for level in name.split(SEPARATOR)) for name in sorted(subscribed)]
    replace(folder / NAME, _HEADER + "".join(f"{line}\n" for line in lines))


def _new(line: str) -> str | None:
    try:
        return names.checked(SEPARATOR.join(names.decode_utf7(level) for level in line.split("\t")))
    except (ValueError, Refused):
        return None


def _old(line: str) -> str | None:
    if SEPARATOR in line:
        return _new(line.replace(SEPARATOR, "\t"))
    return _new(line.replace(".", "\t"))
