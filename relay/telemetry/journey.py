"""The journeys of messages, put together again from the log: what ``relay trace`` shows.

Theory: every step of a message's way has a line (docs/operations/log.md), and what joins them is the queue id; a
transaction that was refused before it had one is named by its session and number. A word that somebody remembers (an
address, a domain, a client, a queue id) stands in some of the lines only. So the log is read twice: once to find which
journeys a word stands in, once to gather their lines. Memory is bounded by the number of journeys that are kept.

Invariants: a line that is not one of ours, or is damaged, is passed over; nothing is guessed.

Not here: which files are read (relay/cli/trace.py), how a journey is shown (relay/cli/journey_text.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

Fields = dict[str, Any]
LONGEST_LINE: Final = 1 << 20
"""Octets of a line that is looked at; Relay writes no longer ones."""
MOST_STEPS: Final = 1000
"""Lines kept of one journey: those of its beginning, the rest are counted."""
_CANDIDATES: Final = 64
"""For each journey that is wanted so many are remembered in which some of the words stand."""
_KINDS: Final = ("transaction", "delivery")
LOGIN_EVENTS: Final = ("login refused", "login not completed")
"""Events that are a step of a session's way (docs/operations/login.md)."""
_EVENT: Final = b'"kind":"event"'
_LOGIN: Final = b'"event":"login '
_ID: Final = r"([0-9A-HJKMNP-TV-Z]{13})-([1-9][0-9]*)"
_QUOTED: Final = re.compile(r"\[([0-9A-HJKMNP-TV-Z]{13}(?:-[1-9][0-9]*)?)\]", re.IGNORECASE)
"""What our refusals end with (relay/smtp/_replies.pyx): ``[session]``, or ``[session-transaction]``."""
_TRANSACTION: Final = re.compile(_ID, re.IGNORECASE)


@dataclass(slots=True)
class Journey:
    """What happened to one message, or to one transaction that never became one."""

    key: str
    steps: list[Fields] = field(default_factory=list)
    """The lines, by time."""
    left_out: int = 0
    """Lines above MOST_STEPS."""

    @property
    def began_at(self) -> str:
        """The time of the first line."""
        return str(self.steps[0]["time"]) if self.steps else ""


class Search:
    """Which journeys have to do with all of ``words``: the newest ``limit`` of them.

    A word is a queue id, a session id, a client's IP address, an account, a reply code or enhanced status, a whole
    address, or the domain of one (case does not matter). The id that a refusal of ours ends with is one, too, and where
    it stands in the words, as when the line of a bounce is pasted, it is all that counts. An address finds its
    sub-addresses, too (RFC 5233): those with one of ``delimiters`` and something behind it in the local part. ``since``
    is a time as the log writes it, or empty.
    Give it all lines with ``see``, then again with ``gather``, then ask for ``journeys``.
    """

    def __init__(self, words: Iterable[str], *, since: str = "", limit: int = 100, delimiters: str = "+") -> None:
        self._words = [word.casefold().strip("<>").lstrip("@") for word in _quoted(words)]
        self._marks = [json.dumps(_mark(word))[1:-1].encode() for word in self._words]
        self._delimiters = delimiters
        self._since = since
        self._found: dict[str, set[int]] = {}
        self._keys: list[str] = []
        self._limit = limit
        self._journeys: dict[str, Journey] = {}
        self.passed_over = 0
        """Older journeys that the limit left out."""

    def see(self, line: bytes) -> None:
        """First reading."""
        if self._words and not self._may_match(line):
            return
        fields = parse(line)
        if fields is None or str(fields.get("time", "")) < self._since:
            return
        matched = {number for number, word in enumerate(self._words) if _stands_in(word, fields, self._delimiters)}
        if self._words and not matched:
            return
        key = key_of(fields)
        if key not in self._found:
            self._found[key] = set()
            self._keys.append(key)
        self._found[key] |= matched
        if len(self._keys) > 2 * _CANDIDATES * self._limit:
            self._forget()

    def gather(self, line: bytes) -> None:
        """Second reading."""
        fields = parse(line)
        if fields is None:
            return
        journey = self._chosen().get(key_of(fields))
        if journey is None:
            return
        if len(journey.steps) < MOST_STEPS:
            journey.steps.append(fields)
        else:
            journey.left_out += 1

    def journeys(self) -> list[Journey]:
        """What was gathered, oldest first."""
        found = [each for each in self._chosen().values() if each.steps]
        for each in found:
            each.steps.sort(key=_order)
        return sorted(found, key=lambda each: each.began_at)

    def _chosen(self) -> dict[str, Journey]:
        if self._found:
            self._forget()
            self._journeys = {key: Journey(key) for key in self._keys if self._is_whole(key)}
            self._found = {}
        return self._journeys

    def _forget(self) -> None:
        """Lets the oldest go: all but ``limit`` of those in which all words stand, and but some of the others, in
        which the missing words may still come up."""
        older = [key for key in self._keys if self._is_whole(key)][: -self._limit]
        self.passed_over += len(older)
        gone = set(older)
        partly = [key for key in self._keys if not self._is_whole(key)]
        gone.update(partly[: -_CANDIDATES * self._limit])
        for key in gone:
            del self._found[key]
        self._keys = [key for key in self._keys if key not in gone]

    def _is_whole(self, key: str) -> bool:
        return len(self._found[key]) == len(self._words)

    def _may_match(self, line: bytes) -> bool:
        lowered = line.lower()
        return any(mark in lowered for mark in self._marks)


def parse(line: bytes) -> Fields | None:
    """The fields of the line of a transaction, a delivery or a refused login; None for everything else."""
    if len(line) > LONGEST_LINE or (_EVENT in line and _LOGIN not in line):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict) or "time" not in fields:
        return None
    return fields if fields.get("kind") in _KINDS or fields.get("event") in LOGIN_EVENTS else None


def key_of(fields: Fields) -> str:
    """What joins the lines of one journey."""
    return str(fields.get("queue_id") or f"{fields.get('session_id', '')}/{fields.get('transaction', '')}")


def _order(fields: Fields) -> tuple[bool, str]:
    """A message is taken in before it is delivered, although both may be written in one millisecond."""
    return fields["kind"] == "delivery", str(fields["time"])


def _quoted(words: Iterable[str]) -> list[str]:
    """``words``, or only the ids of refusals where some are quoted among them."""
    words = list(words)
    return _QUOTED.findall(" ".join(words)) or words


def _mark(word: str) -> str:
    """What stands in every line that ``word`` may fit. Of an address its domain: sub-addresses must not be passed
    over."""
    if transaction := _TRANSACTION.fullmatch(word):
        return transaction[1]
    return "".join(word.rpartition("@")[1:])


def _stands_in(word: str, fields: Fields, delimiters: str) -> bool:
    if transaction := _TRANSACTION.fullmatch(word):
        session, number = transaction.groups()
        return str(fields.get("session_id")).casefold() == session and str(fields.get("transaction")) == number
    exact = (fields.get(name) for name in ("queue_id", "session_id", "client", "account", "status", "code"))
    if any(value is not None and str(value).casefold() == word for value in exact):
        return True
    return any(_is_meant(word, address, delimiters) for address in _addresses(fields))


def _is_meant(word: str, address: str, delimiters: str) -> bool:
    local, _, domain = address.rpartition("@")
    if word in (address, domain):
        return True
    wanted, at, wanted_domain = word.rpartition("@")
    is_sub_address = local.startswith(wanted) and local[len(wanted) : len(wanted) + 1] in tuple(delimiters)
    return bool(at and wanted) and domain == wanted_domain and is_sub_address


def _addresses(fields: Fields) -> Iterable[str]:
    yield str(fields.get("reverse_path", "")).casefold()
    for recipient in fields.get("recipients", ()):
        yield str(recipient).casefold()
    for redirected in fields.get("redirected", ()):  # "postmaster@demo.test: ann@demo.test"
        yield str(redirected).casefold().rpartition(": ")[0]
    for refusal in fields.get("refusals", ()):  # "bub@demo.test: 550 5.1.1"
        address, _, reply = str(refusal).casefold().rpartition(": ")
        yield address
        yield from reply.split()
