r"""Which messages a FETCH answers together: neighbours, whose values are columns (columns.py) and whose ``\Seen`` is
set at once."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from relay.mailbox.interfaces import View
from relay.mailbox.vocabulary import SEEN, How, Refused

TOGETHER: Final = 262_144
"""Octets of messages that are read together."""
RUN: Final = 100
r"""Messages whose ``\Seen`` is set together."""


def see(view: View, run: list[int]) -> frozenset[int]:
    """Marks messages as seen; the UIDs of those whose flags are not those before, also because of somebody else."""
    unseen = {index: view.flags[index] for index in run if not view.flags[index] & SEEN}
    if not unseen:
        return frozenset()
    with contextlib.suppress(OSError):  # they can be read all the same
        view.store_flags([view.uids[index] for index in unseen], How.ADD, ["\\Seen"])
    return frozenset(view.uids[index] for index, before in unseen.items() if view.flags[index] != before)


def neighbours(view: View, chosen: list[int], *, is_whole: bool) -> Iterator[list[int]]:
    """Neighbours that are answered together; with ``is_whole`` (they are sent as they are) at most TOGETHER octets."""
    begin = 0
    while begin < len(chosen):
        run = chosen[begin : begin + RUN]
        if is_whole:
            run = run[: _fitting(view, run)]
        begin += len(run)
        yield run


def _fitting(view: View, run: list[int]) -> int:
    """How many of them, at least one, have at most TOGETHER octets."""
    try:
        sizes = list(accumulate(view.sizes(run)))
    except (Refused, OSError):  # one of them is gone: they are told apart one by one
        return 1
    return max(1, bisect_right(sizes, TOGETHER))
