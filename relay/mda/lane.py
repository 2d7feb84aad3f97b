"""A lane: messages for local mailboxes are delivered in batches, and each has its outcomes as soon as all are known.

Theory: a slow delivery delays its own message alone. One that hangs, fails in a way that nobody expected, or was under
way when the worker died, counts against its message (hand.py): the message is tried again, apart from others, and after
a death alone in the whole worker; the second time it is set aside: it is to be held until an operator releases or
removes it.

Not here: which message is next, and what an outcome changes (relay/dispatch/lanes.py), threads (local_runs.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from relay.directory.directory import Directory
from relay.mail.outcome import DEFERRED, Outcome, deferred
from relay.mda.addressee import account_of
from relay.mda.hand import STRIKES, Key, key_of
from relay.mda.interfaces import Received, Settling
from relay.mda.local import LocalJob, Suspect, shown
from relay.mda.local_runs import LocalRuns
from relay.mda.mailbox_delivery import MailboxDelivery

SLOW_BEHIND: Final = 2
"""Slow deliveries of one lane that go on while it takes more."""
_DIED: Final = "the delivery worker died during the delivery into the mailbox"

R = TypeVar("R", bound=Received)


class Mda(NamedTuple):
    """What all lanes of a delivery worker share."""

    directory: Directory
    delivery: MailboxDelivery
    runs: LocalRuns


class Message(Generic[R]):
    """One message on its way into the mailboxes of a lane."""

    __slots__ = ("is_set_aside", "missing", "outcomes", "received")

    def __init__(self, received: R) -> None:
        self.received = received
        self.outcomes: list[Outcome | None] = []
        self.missing = 0
        """Deliveries whose outcome is not known yet."""
        self.is_set_aside = False


class Piece(NamedTuple):
    """One delivery of it."""

    message: Message[Any]
    place: int
    job: LocalJob
    key: Key


class Lane(Generic[R]):
    """Delivers batches, one after another. Belongs to the loop's thread."""

    def __init__(
        self,
        mda: Mda,
        settling: Settling,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        finished: Callable[[R, Sequence[Outcome], bool], None],
    ) -> None:
        """``start`` runs what goes on behind. ``finished`` takes each message once, with an outcome for each recipient,
        and whether it is to be held."""
        self._mda = mda
        self._settling = settling
        self._start = start
        self._finished = finished
        self._hand = mda.runs.hand
        self._behind: set[asyncio.Task[None]] = set()

    async def deliver(self, batch: Sequence[R]) -> None:
        """Returns when all of ``batch`` but a few slow ones are finished."""
        suspects, pieces, apart = self._hand.suspects, list[Piece](), list[list[Piece]]()
        for received in batch:
            message = Message(received)
            these = await self._pieces(message)
            if not message.missing:
                self._finish(message)
            elif suspects and any(piece.key in suspects for piece in these):
                apart.append(these)
            else:
                pieces += these
        if pieces:
            await self._write(pieces)
        for these in apart:
            await self._write_apart(these)

    async def ended(self) -> None:
        """Returns when nothing goes on behind any more."""
        while self._behind:
            await asyncio.wait(self._behind)

    async def _pieces(self, message: Message[R]) -> list[Piece]:
        """The deliveries of a message; recipients that cannot be delivered to have their outcome already."""
        received, pieces = message.received, list[Piece]()
        for recipient in received.recipients:
            mailbox = await account_of(self._mda.directory, recipient)
            if isinstance(mailbox, bytes):
                job = LocalJob(received, mailbox, recipient, received.envelope.queue_id)
                pieces.append(Piece(message, len(message.outcomes), job, key_of(received.number, mailbox)))
                message.outcomes.append(None)
                message.missing += 1
            else:
                message.outcomes.append(mailbox)
        return pieces

    async def _write_apart(self, pieces: list[Piece]) -> None:
        """A message with a suspected delivery; one that a worker died with twice is not tried again."""
        hand, left = self._hand, list[Piece]()
        for piece in pieces:
            if hand.suspects.get(piece.key, 0) >= STRIKES:
                self._set_aside(piece, "died", deferred("4.3.0", _DIED, "store", next_hop=shown(piece.job.mailbox)))
            else:
                left.append(piece)
        if left:
            await self._write(left, alone=any(piece.key in hand.deadly for piece in left))

    async def _write(self, pieces: list[Piece], *, alone: bool = False) -> None:
        def found_of(number: int, found: Outcome | Suspect) -> None:
            self._found(pieces[number], found)

        began = time.monotonic()
        jobs, keys = [piece.job for piece in pieces], [piece.key for piece in pieces]
        try:
            await self._mda.delivery.deliver(jobs, keys, found_of, self._goes_on, alone=alone)
        except Exception as fault:  # noqa: BLE001 - unknown failure = temporary
            for piece in pieces:
                if piece.message.outcomes[piece.place] is None:
                    self._found(piece, deferred("4.3.0", f"internal error: {type(fault).__name__}", "store"))
        self._settling.stored(len(jobs), time.monotonic() - began)
        while len(self._behind) >= SLOW_BEHIND:
            await asyncio.wait(self._behind, return_when=asyncio.FIRST_COMPLETED)

    def _goes_on(self, slow: Coroutine[Any, Any, None]) -> None:
        task = self._start(slow)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    # ---- outcomes ---------------------------------------------------------------------------------------------------

    def _found(self, piece: Piece, found: Outcome | Suspect) -> None:
        hand = self._hand
        if isinstance(found, Suspect):
            self._settling.suspected(found.cause, piece.job.queue_id, piece.job.mailbox, found.outcome)
            if hand.strike(piece.key) >= STRIKES:
                self._set_aside(piece, found.cause, found.outcome)
                return
            found = found.outcome
        elif hand.suspects and found.kind != DEFERRED:
            hand.forgive(piece.key)
        self._outcome(piece, found)

    def _set_aside(self, piece: Piece, cause: str, outcome: Outcome) -> None:
        self._hand.set_aside(piece.key)
        self._settling.set_aside(cause, piece.job.queue_id, piece.job.mailbox)
        piece.message.is_set_aside = True
        text = f"set aside after it happened {STRIKES} times: {outcome.text}"
        self._outcome(piece, deferred(outcome.status, text, outcome.stage, next_hop=outcome.next_hop))

    def _outcome(self, piece: Piece, outcome: Outcome) -> None:
        message = piece.message
        message.outcomes[piece.place] = outcome
        message.missing -= 1
        if not message.missing:
            self._finish(message)

    def _finish(self, message: Message[R]) -> None:
        outcomes = [outcome for outcome in message.outcomes if outcome is not None]
        self._finished(message.received, outcomes, message.is_set_aside)
