"""The server's side of an SMTP session as a pure machine: octets and the time in, octets out."""

from relay.smtp._context import Service

class Session:
    """One session (RFC 5321 3.1 to 3.8). Knows no socket: Connection below, or a test, moves the octets.

    Times are CLOCK_MONOTONIC microseconds. After every call: write what take_output() returns, close when is_over,
    stop or resume reading as wants_input says."""

    client_address: str
    listener: str
    is_submission: bool
    is_trusted: bool
    account: str
    helo: bytes
    reverse_path: bytes
    deadline: int
    """When expired() is to be called, monotonic µs; moves without touching the wheel."""

    def __init__(self, service: Service) -> None: ...
    @property
    def session_id(self) -> str: ...
    @property
    def is_over(self) -> bool:
        """Nothing more will be read; close when the output has been written."""

    @property
    def wants_input(self) -> bool:
        """False while it waits for a sync or a policy answer and already holds enough input."""

    def open(self, address: str, port: int, now: int) -> None:
        """The peer has connected; the greeting, or a 421, is in the output."""

    def receive(self, octets: bytes, now: int) -> bytes:
        """Takes what the peer sent, returns all replies it brought about (also what take_output() had left)."""

    def spooled(self, error: Exception | None) -> None:
        """The spool's answer for the content that ended last: 250 or 451 and what followed in the input."""

    def expired(self, now: int) -> None:
        """The deadline has passed: 421 4.4.2 and over, unless the deadline has moved meanwhile."""

    def drain(self, now: int) -> None:
        """421 4.3.2 now when between transactions, else when the transaction ends."""

    def lost(self, now: int) -> None:
        """The connection is gone: an open transaction is logged as aborted, memory is given back."""

    def take_output(self) -> bytes: ...
