"""What the sessions of one worker share, and those of one listener."""

from collections.abc import Callable
from typing import Any

from relay.config.model import Config
from relay.config.smtp import SmtpSettings
from relay.net.tls import Accepting
from relay.policy.pipeline import Pipeline
from relay.smtp.interfaces import Authenticator, Sink, Spool, Wheel

VERB_NAMES: tuple[str, ...]
"""Values of the label ``verb``, in the order of relay._fastparse.Verb."""

class ServerContext:
    """Shared by every session of a worker. Not thread-safe: it belongs to the loop's thread."""

    @property
    def spool(self) -> Spool: ...
    @property
    def log(self) -> Sink: ...
    @property
    def wheel(self) -> Wheel: ...
    @property
    def row(self) -> memoryview[int]: ...
    @property
    def hostname(self) -> bytes: ...
    @property
    def is_draining(self) -> bool: ...
    @property
    def wall_offset(self) -> int:
        """Microseconds to add to a monotonic time to get the time since the epoch; refreshed by tick()."""

    @property
    def buffered(self) -> int:
        """Octets of content and of unused input held in memory by all sessions; content counts until it is spooled."""

    @property
    def open_sessions(self) -> int:
        """Connections that are open now, those being refused included."""

    def __init__(
        self,
        config: Config,
        *,
        spool: Spool,
        log: Sink,
        wheel: Wheel,
        row: memoryview[int],
    ) -> None:
        """Reads ``config`` once. ``row`` is this process's counters (format "Q")."""

    def tick(self, now: int, wall: int) -> None:
        """Ends the sessions whose deadline has passed; to be called about once a second, and once before the first
        connection. ``now`` is CLOCK_MONOTONIC, ``wall`` the time since the epoch, both in microseconds."""

    def when_empty(self, on_empty: Callable[[], Any]) -> None:
        """Calls ``on_empty`` once, when no session is left (at once when there is none); those that are there go on."""

    def drain(self, on_empty: Callable[[], Any]) -> None:
        """Answers 421 4.3.2 to every session between transactions and to all that connect from now on; sessions in a
        transaction finish it first. Calls ``on_empty`` once, when no session is left (at once when there is none)."""

    def abort(self) -> None:
        """Cuts every connection now. Transactions that were not answered are the peer's to try again."""

class Service:
    """One listener as the sessions see it: its name, its kind, its limits and its prepared replies."""

    @property
    def context(self) -> ServerContext: ...
    @property
    def pipeline(self) -> Pipeline: ...
    @property
    def name(self) -> str: ...
    @property
    def is_submission(self) -> bool: ...
    @property
    def tls(self) -> Accepting | None: ...
    @property
    def is_implicit(self) -> bool: ...
    @property
    def authenticator(self) -> Authenticator | None: ...
    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Offered under TLS."""

    @property
    def plain_mechanisms(self) -> tuple[str, ...]:
        """Offered in the clear."""
    def __init__(
        self,
        context: ServerContext,
        name: str,
        kind: str,
        settings: SmtpSettings,
        pipeline: Pipeline,
        *,
        tls: Accepting | None = None,
        is_implicit: bool = False,
        authenticator: Authenticator | None = None,
        allows_plaintext_login: bool = False,
        directions: str = "",
    ) -> None:
        """``kind`` is "mx" or "submission", ``settings`` are those of ``[smtp]`` for this listener;
        ``pipeline`` has its checks. With ``tls``
        STARTTLS is offered or, when ``is_implicit``, the first octet begins TLS. With ``authenticator`` accounts can
        log in, in the clear only when that is allowed. ``directions`` say which ports are for what."""

def rfc5322_date(second: int) -> bytes:
    """A time since the epoch as RFC 5322 3.3 writes it, in UTC."""
