"""The other side of a client session, in memory: a server machine that follows a script, and an owner that records.

The peer keeps the rules of RFC 5321 strictly, so that a client that breaks them is found out by a 503. What it answers
at a given stage of a given message can be overridden; CUT ends the connection there, STALL never answers again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from relay.delivery._delivery import Delivery
from relay.delivery._machine import ClientMachine
from relay.delivery.chunking import Chunking
from relay.delivery.owner import Limits
from relay.mail.outcome import Outcome

CUT: Final = b"<cut>"
STALL: Final = b"<stall>"

Script = dict[tuple[str, int], bytes]
"""(stage, how often it was reached before) -> reply line(s), CUT or STALL."""


class Peer:
    """A server; ``delivered`` holds what it took: (reverse-path, recipients, content)."""

    def __init__(
        self, script: Script | None = None, *, lmtp: bool = False, extensions: Iterable[bytes] = (b"PIPELINING",)
    ):
        self.script = script or {}
        self.lmtp = lmtp
        self.extensions = tuple(extensions)
        self.is_cut = self.is_stalled = False
        self.delivered: list[tuple[bytes, tuple[bytes, ...], bytes]] = []
        self.commands: list[bytes] = []
        self.protocol_errors: list[bytes] = []
        self._counts: dict[str, int] = {}
        self._buffer = b""
        self._in_data = False
        self._chunk: tuple[int, bool] | None = None
        self._chunks = b""
        self._reverse_path: bytes | None = None
        self._recipients: list[bytes] = []

    def greet(self) -> bytes:
        return b"".join(self._say("banner", b"220 peer.test ESMTP"))

    def receive(self, octets: bytes) -> bytes:
        """The replies to ``octets``."""
        self._buffer += octets
        replies: list[bytes] = []
        while not self.is_cut and not self.is_stalled:
            if self._chunk is not None:
                if len(self._buffer) < self._chunk[0]:
                    break
                replies += self._end_of_chunk(*self._chunk)
                continue
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            if self._in_data and self._buffer.startswith(b".\r\n"):
                unit, self._buffer = b"", self._buffer[3:]
            elif end in self._buffer:
                unit, self._buffer = self._buffer.split(end, 1)
                unit += b"\r\n" if self._in_data else b""
            else:
                break
            replies += self._end_of_data(unit) if self._in_data else self._command(unit)
        return b"".join(replies)

    def _say(self, stage: str, reply: bytes) -> Iterator[bytes]:
        count = self._counts[stage] = self._counts.get(stage, -1) + 1
        reply = self.script.get((stage, count), reply)
        if reply == CUT:
            self.is_cut = True
        elif reply == STALL:
            self.is_stalled = True
        else:
            yield reply if reply.endswith(b"\n") else reply + b"\r\n"

    def _accepts(self, replies: list[bytes], code: bytes = b"2") -> bool:
        return bool(replies) and replies[-1].startswith(code)

    def _command(self, line: bytes) -> list[bytes]:
        self.commands.append(line)
        verb = line.split(b" ")[0].split(b":")[0]
        if verb in {b"EHLO", b"LHLO"}:
            assert (verb == b"LHLO") == self.lmtp
            lines = [b"peer.test", *self.extensions]
            text = b"".join(b"250-%b\r\n" % each for each in lines[:-1]) + b"250 %b\r\n" % lines[-1]
            return list(self._say("ehlo", text))
        if verb == b"HELO":
            return list(self._say("helo", b"250 peer.test"))
        if verb == b"MAIL" and self._reverse_path is None:
            replies = list(self._say("mail", b"250 2.1.0 Ok"))
            if self._accepts(replies):
                self._reverse_path = line[line.index(b"<") + 1 : line.index(b">")]
            return replies
        if verb == b"RCPT" and self._reverse_path is not None:
            replies = list(self._say("rcpt", b"250 2.1.5 Ok"))
            if self._accepts(replies):
                self._recipients.append(line[line.index(b"<") + 1 : line.rindex(b">")])
            return replies
        if verb == b"DATA" and self._recipients:
            replies = list(self._say("data", b"354 go"))
            self._in_data = self._accepts(replies, b"354")
            return replies
        if verb == b"BDAT" and b"CHUNKING" in self.extensions:
            _, size, *last = line.split(b" ")
            self._chunk = int(size), last == [b"LAST"]
            return []
        if verb == b"DATA" and ("empty-data", 0) in self.script:
            self._in_data = True
            return [b"354 go, though for nobody\r\n"]
        if verb == b"RSET":
            self._reset()
            return list(self._say("rset", b"250 2.0.0 Ok"))
        if verb == b"QUIT":
            return list(self._say("quit", b"221 2.0.0 Bye"))
        # A MAIL inside a transaction is always wrong; the others are what PIPELINING does when the script refuses.
        if verb == b"MAIL" or not any(stage in {"mail", "rcpt", "data"} for stage, _ in self.script):
            self.protocol_errors.append(line)
        return [b"503 5.5.1 Bad sequence\r\n"]

    def _end_of_chunk(self, size: int, is_last: bool) -> list[bytes]:
        """RFC 3030 2: the octets are taken whatever becomes of them; a refused chunk is followed by RSET."""
        self._chunk = None
        self._chunks += self._buffer[:size]
        self._buffer = self._buffer[size:]
        if not self._recipients:
            return [b"503 5.5.1 Bad sequence\r\n"]
        if is_last:
            return self._take(self._chunks)
        replies = list(self._say("data", b"250 2.0.0 Ok"))
        if not self._accepts(replies):
            self._recipients = []
        return replies

    def _end_of_data(self, content: bytes) -> list[bytes]:
        self._in_data = False
        content = b"".join(line[1:] if line.startswith(b".") else line for line in content.splitlines(keepends=True))
        return self._take(content)

    def _take(self, content: bytes) -> list[bytes]:
        replies: list[bytes] = []
        accepted = []
        for recipient in self._recipients if self.lmtp else self._recipients[:1]:
            one = list(self._say("reply", b"250 2.0.0 Ok: queued"))
            replies += one
            if self._accepts(one):
                accepted.append(recipient)
            if self.is_cut or self.is_stalled:
                break
        if not self._recipients:
            replies.append(b"554 5.5.1 No valid recipients\r\n")
        if accepted:
            assert self._reverse_path is not None
            self.delivered.append((self._reverse_path, tuple(accepted if self.lmtp else self._recipients), content))
        self._reset()
        return replies

    def _reset(self) -> None:
        self._chunks = b""
        self._reverse_path = None
        self._recipients = []


class RecordingOwner:
    """Gives out ``deliveries`` in order and keeps what comes back."""

    def __init__(self, deliveries: Iterable[Delivery] = ()):
        self.waiting = list(deliveries)
        self.taken: list[Delivery] = []
        self.outcomes: dict[int, list[Outcome]] = {}
        self.closings: list[tuple[list[Delivery], Outcome | None]] = []
        self.greetings: list[Outcome | None] = []
        self.on_closed: Callable[[], object] = lambda: None
        self.on_finished: Callable[[], object] = lambda: None

    def take(self, client: Any) -> Delivery | None:
        assert not self.closings
        if not self.waiting:
            return None
        self.taken.append(self.waiting.pop(0))
        return self.taken[-1]

    def finished(self, client: Any, delivery: Delivery, outcomes: list[Outcome]) -> None:
        assert not self.closings
        assert id(delivery) not in self.outcomes, "finished twice"
        assert len(outcomes) == len(delivery.recipients)
        assert all(isinstance(outcome, Outcome) for outcome in outcomes)
        self.outcomes[id(delivery)] = outcomes
        self.on_finished()

    def closed(self, client: Any, unsent: list[Delivery], why: Outcome | None) -> None:
        assert not self.closings, "closed twice"
        self.closings.append((unsent, why))
        self.on_closed()

    def of(self, index: int) -> list[Outcome]:
        """The outcomes of the delivery taken as number ``index``."""
        return self.outcomes[id(self.taken[index])]

    def check_all_came_back(self) -> None:
        """Every delivery taken was finished or handed back unsent, once, and the end was told once."""
        unsent = [delivery for closing in self.closings for delivery in closing[0]]
        assert len(unsent) + len(self.outcomes) == len(self.taken)
        assert not any(id(delivery) in self.outcomes for delivery in unsent)
        assert len(self.closings) + sum(why is not None for why in self.greetings) == 1


def machine_for(
    owner: RecordingOwner, *, lmtp: bool = False, limits: Limits | None = None, chunking: Chunking | None = None
) -> ClientMachine:
    return ClientMachine(
        b"relay.test",
        limits or Limits(),
        owner,
        "peer.test[192.0.2.1]:25",
        lmtp=lmtp,
        chunking=chunking or Chunking(),
        on_greeted=owner.greetings.append,
    )


def converse(machine: ClientMachine, peer: Peer, *, chop: int = 0) -> None:
    """Lets the two talk until nobody has anything to say, or the connection is over. ``chop``: octets per read."""
    replies = peer.greet()
    while True:
        out = b""
        for at in range(0, len(replies), chop or max(1, len(replies))):
            out += machine.receive(replies[at : at + (chop or len(replies))])
        while machine.is_streaming:
            raise AssertionError("content in memory is not streamed")
        if machine.is_closed or peer.is_cut:
            machine.eof()
            return
        if not out:
            return
        replies = peer.receive(out)


def message(number: int, recipients: int = 2, *, flags: int = 0, content: bytes | None = None) -> Delivery:
    content = b"Subject: %d\r\n\r\nBody\r\n" % number if content is None else content
    names = tuple(b"r%d-%d@peer.test" % (number, index) for index in range(recipients))
    return Delivery(b"s%d@relay.test" % number, names, flags, len(content), content, tag=number)
