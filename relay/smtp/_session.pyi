"""The server's side of an SMTP session as a pure machine: octets and the time in, octets out."""

from typing import Any

from relay.net.tls_machine import TlsServer
from relay.policy.verdict import Verdict
from relay.smtp._commands import CommandSession
from relay.smtp._replies import Question

class Session(CommandSession):
    """One session (RFC 5321 3.1 to 3.8). Knows no socket: a Connection, or a test, moves the octets.

    After every call: write what take_output() returns, close when is_over, read or not as wants_input says."""

    @property
    def wants_input(self) -> bool:
        """False while it waits for something and already holds enough input."""

    def open(self, address: str, port: int, now: int) -> None:
        """The peer has connected; a greeting, or a 421, is in the output (unless a policy or a delay is waited for)."""

    def secured(self, stream: TlsServer) -> None:
        """The handshake is done, ``stream`` (relay.net.tls_machine) has what was agreed on. The session begins anew:
        nothing that was said in the clear counts any more (RFC 3207 4.2)."""

    def insecure(self, kind: str, reason: str) -> None:
        """There will be no TLS. ``kind`` is what is counted, ``reason`` what the log says."""

    def receive(self, octets: bytes, now: int) -> bytes:
        """Takes what the peer sent; returns all replies that it brought about, with what was to be written before."""

    def answered(self, verdict: Verdict | BaseException | None) -> None:
        """The awaitable that ``question`` was has given ``verdict``, or has failed."""

    def take_answer(self, question: Question, answer: Any) -> None:
        """Of Question.answered()."""

    def spool_answered(self) -> None:
        """The spool has answered for contents of this session: their replies, and what had to wait for them."""

    def file_drained(self) -> None:
        """The file of a large content has caught up: read on."""

    def expired(self, now: int) -> None:
        """The timer has come due: 421 4.4.2 and over, unless the deadline has moved meanwhile."""

    def drain(self) -> None:
        """421 4.3.2 now when between transactions, else when the transaction has ended."""

    def lost(self, cause: str = "peer_closed") -> None:
        """The connection is gone: an open transaction is logged as aborted and all memory is given back. Contents that
        the spool is syncing are ours; their session lives on until the spool has answered."""

    def abort(self) -> None:
        """Ends it without another word."""

    def fail(self, fault: BaseException) -> None:
        """A fault of ours: 421 for the peer, an event in the log."""

    def flush(self) -> None:
        """Moves the output to the peer. In a bare Session it only works off what is held; take_output() has it all."""
