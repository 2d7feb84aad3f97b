"""What a check answers, and what it may read of the session and the transaction it is asked about.

An answer is None (go on, nothing to add), a Verdict, or an awaitable of either. What is decided from tables in memory
is answered at once: no coroutine is made for it.

Theory: a verdict says what happens (its kind), and carries what is to be changed. Verdicts add up: the kind of the
strictest counts, and all changes are made in the order of the checks, those of earlier stages first. So a later check
adds to what an earlier one has annotated and never takes its place.

Not here: who is asked when (pipeline.py), the rules themselves (checks.py), the wording of syntax errors
(relay/mail/reply.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from relay.mail.reply import Reply
from relay.policy.edits import Edit
from relay.policy.facts import Facts

ANNOTATE: Final = "annotate"
"""Go on, and do what the verdict carries."""
DISCARD: Final = "discard"
"""Go on as if the message were taken in, and throw it away: the peer reads 250, nobody gets a message or a bounce."""
DEFER: Final = "defer"
"""Temporary: the reply is a 4yz. A 421 also ends the session."""
REJECT: Final = "reject"
"""Permanent: the reply is a 5yz."""
STRICTNESS: Final = {ANNOTATE: 0, DISCARD: 1, DEFER: 2, REJECT: 3}


class Verdict(NamedTuple):
    """One answer that is more than "go on". What a stage cannot do is left to the next one that can: header fields that
    are added at connect are added to each message of the session."""

    kind: str
    """ANNOTATE, DISCARD, DEFER or REJECT."""
    reply: Reply | None = None
    """What the peer reads; always set with REJECT and DEFER, never used otherwise."""
    reason: str = "policy"
    """Why it is refused: a value of the label ``reason`` of relay_smtp_refusals_total."""
    why: str = ""
    """What the check saw, for the log line and for traces; never sent to the peer."""
    check: str = ""
    """The check's name; the pipeline writes it."""
    is_trusted: bool = False
    """At connect: this client may send to anyone."""
    instead: tuple[bytes, ...] | None = None
    """At rcpt: the recipients to put into the envelope instead of the one asked about. None of them: it is accepted and
    gets nothing."""
    added: tuple[bytes, ...] = ()
    """Recipients to add to the envelope, from mail on."""
    removed: tuple[bytes, ...] = ()
    """At content: recipients to take out of the envelope."""
    reverse_path: bytes | None = None
    """From mail on: the reverse-path to send with; empty for the null reverse-path."""
    edits: tuple[Edit, ...] = ()
    """Header fields to add, remove and change."""
    hold: str = ""
    """Accept the message, but keep it in the queue until it is released, for this reason."""
    quarantine: str = ""
    """As ``hold``, because the message itself is suspected of something."""
    body: bytes | None = None
    """At content: the body to send instead, lines that end in CRLF."""

    @property
    def is_refusal(self) -> bool:
        """Whether its reply is sent."""
        return self.kind in (DEFER, REJECT)


Answer = Verdict | None | Awaitable[Verdict | None]


class View(Protocol):
    """What a check may read: of the session at connect and helo, of the transaction from mail on. An awaitable may go
    on reading it while the session is at the next transaction already."""

    @property
    def client_address(self) -> str:
        """IP address of the peer in text form."""

    @property
    def listener(self) -> str:
        """The listener's name in the configuration."""

    @property
    def is_submission(self) -> bool:
        """Whether the listener takes submissions (RFC 6409)."""

    @property
    def is_trusted(self) -> bool:
        """Whether a check has called this client trusted at connect."""

    @property
    def account(self) -> str:
        """The authenticated account, or empty."""

    @property
    def tls(self) -> str:
        """TLS version and cipher, or empty."""

    @property
    def helo(self) -> bytes:
        """The name given with HELO or EHLO, or empty."""

    @property
    def recipients(self) -> tuple[bytes, ...]:
        """Those that were accepted so far."""

    @property
    def octets(self) -> int:
        """Of the content: what came, once it has ended; before that what SIZE (RFC 1870) has announced, or 0."""

    @property
    def reverse_path(self) -> bytes:
        """From MAIL; empty for the null reverse-path and where there is none yet."""

    @property
    def facts(self) -> Facts:
        """What checks have found out, of the session and of the transaction; those of the session can be read in all of
        its transactions."""


def reject(reply: Reply, reason: str = "policy", why: str = "") -> Verdict:
    """A permanent refusal with ``reply`` (5yz)."""
    return Verdict(REJECT, reply, reason, why)


def defer(reply: Reply, reason: str = "policy", why: str = "") -> Verdict:
    """A temporary refusal with ``reply`` (4yz)."""
    return Verdict(DEFER, reply, reason, why)


def join(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The one verdict that several of one stage make, in the order of their checks: a refusal is the strictest of them
    alone, of several alike the first; otherwise all that they carry is in it. What only one can have, the reverse-path
    and the body, is the last one's; why it is held, the first one's."""
    if len(verdicts) < 2:
        return verdicts[0] if verdicts else None
    worst = max(verdicts, key=lambda verdict: STRICTNESS[verdict.kind])
    if worst.is_refusal:
        return worst
    replaced = [verdict.instead for verdict in verdicts if verdict.instead is not None]
    return Verdict(
        worst.kind,
        check=worst.check,
        why=worst.why,
        is_trusted=any(verdict.is_trusted for verdict in verdicts),
        instead=_all(replaced) if replaced else None,
        added=_all(verdict.added for verdict in verdicts),
        removed=_all(verdict.removed for verdict in verdicts),
        reverse_path=_last(verdict.reverse_path for verdict in verdicts),
        edits=tuple(edit for verdict in verdicts for edit in verdict.edits),
        hold=next((verdict.hold for verdict in verdicts if verdict.hold), ""),
        quarantine=next((verdict.quarantine for verdict in verdicts if verdict.quarantine), ""),
        body=_last(verdict.body for verdict in verdicts),
    )


def _all(parts: Iterable[tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """Each once, in their order."""
    return tuple(dict.fromkeys(each for part in parts for each in part))


def _last(values: Iterable[bytes | None]) -> bytes | None:
    found = None
    for value in values:
        found = value if value is not None else found
    return found
