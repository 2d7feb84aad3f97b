"""What the session needs from the parts below it, as the narrowest shape that will do.

The real ones are relay/spool (Spool, LargeContent), relay/auth (Authenticator) and relay/telemetry (Sink); the tests
have fakes that keep the same promises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from relay.auth import Check, Client, Exchange, Login, Trouble


class Waiter(Protocol):
    """Who is called when a record has become durable."""

    def spooled(self, error: Exception | None) -> None:
        """Called once on the loop's thread: None when the record is synced, else why it is not."""


class LargeContent(Protocol):
    """A content that goes to a file of its own while it arrives."""

    def write(self, octets: bytes) -> Any:
        """Takes the next octets; never blocks."""

    def abort(self) -> Any:
        """Forgets the content and removes its file."""


class Spool(Protocol):
    """The worker's own log."""

    @property
    def number(self) -> int:
        """The log's number; it makes this worker's queue ids unlike any other's."""

    def append(self, envelope: bytes, content: list[bytes] | bytes, waiter: Waiter) -> None:
        """Queues a record; ``waiter.spooled`` is called after the sync that covers it."""

    def open_large(self, queue_id: str) -> Any:
        """A new LargeContent named ``queue_id``."""

    def has_room(self) -> bool:
        """Whether new mail may be taken in (octets, inodes, and the log itself accepting)."""


class Sink(Protocol):
    """Where log lines go; never blocks."""

    def append(self, line: bytes) -> None:
        """Takes one line that ends in a line feed."""

    def event(self, level: str, event: str, /, **fields: object) -> None:
        """Takes an operational event."""


class Wheel(Protocol):
    """The worker's timing wheel (relay/net/wheel.py)."""

    def add(self, deadline: float, item: Any) -> Any:
        """Puts ``item`` in, returns a handle."""

    def cancel(self, handle: Any) -> None:
        """Takes it out again."""

    def expire(self, now: float) -> list[Any]:
        """Items whose deadline has passed, taken out."""


class Authenticator(Protocol):
    """Who logs in (relay/auth)."""

    def exchange(self, mechanism: str, bindings: Mapping[str, bytes]) -> Exchange | None: ...
    def check(self, check: Check, client: Client) -> Awaitable[Login] | Login: ...
    def not_completed(self, trouble: Trouble, client: Client) -> Login: ...


ProtocolFactory = Callable[[], Any]
