"""A connected socket that can begin TLS as a client; for protocols, compiled ones (see the .pxd) and others."""

from relay.net._poll import Poll
from relay.net._stream import Stream
from relay.net.tls_client import ClientConnection, Secured, TlsFailure
from relay.net.wheel import TimingWheel

class TlsStream(Stream):
    """A connected socket; to be subclassed. The hooks ``on_...`` may call every other method."""

    @property
    def is_secure(self) -> bool:
        """The TLS handshake is done, and what the policy asks for is given."""

    def open(self, poll: Poll, descriptor: int, is_connecting: bool = True) -> None:
        """Takes over a non-blocking socket that is connected, or is being connected. Called once. OSError when it
        cannot be watched; it is closed then."""

    def start_tls(self, connection: ClientConnection, wheel: TimingWheel, deadline: float) -> None:
        """Sends the ClientHello of ``connection``; all that is read from now on belongs to TLS, until ``on_secured`` or
        ``on_refused``. ``deadline``, in the time of ``wheel``, is the handshake's; whatever expires the wheel calls
        ``expire``. Called once, in the clear; RuntimeError when the stream is not connected, is closing, or
        has not sent all that was written."""

    def expire(self, now: float) -> None:
        """The wheel found the deadline passed: the handshake is given up."""

    def count_unsent(self) -> int:
        """Octets written that the kernel has not taken yet, those that are not encrypted yet included; while there are
        any, ``on_drained`` follows."""

    def write(self, octets: bytes, is_last: bool = False) -> int:
        """Sends ``octets``, encrypted once ``is_secure``: as much as the kernel takes now and the rest later.
        RuntimeError while the handshake goes on. ``is_last`` is a hint that shut() or close() follows at once."""

    def write_parts(self, parts: list[bytes | memoryview]) -> int:
        """The same for several parts; the list belongs to the stream from now on, and its parts must not change before
        ``on_drained``, when not all is sent at once."""

    def pause(self) -> int:
        """Does not read any more; what is read already may still come (once, in ``on_secured``)."""

    def resume(self) -> int:
        """Reads again."""

    def shut(self) -> int:
        """Sends the end (close_notify under TLS, and FIN) after all that was written; still reads."""

    def close(self) -> int:
        """Closes the socket after all that was written is sent, with close_notify under TLS. What still comes is thrown
        away."""

    def abort(self) -> int:
        """Closes the socket now."""

    def on_connected(self) -> object:
        """The peer has accepted; ``on_lost`` comes instead when it has not."""

    def on_received(self, octets: bytes) -> object:
        """The peer has sent ``octets`` (plaintext)."""

    def on_secured(self, result: Secured) -> object:
        """The handshake is done, and conforms to the policy: now, and not before, something may be written."""

    def on_refused(self, failure: TlsFailure) -> object:
        """There is no TLS with this peer, or not any more; ``on_lost`` follows at once."""

    def on_ended(self) -> object:
        """The peer sends no more. Closes the stream, unless overridden."""

    def on_drained(self) -> object:
        """All that was written is sent."""

    def on_lost(self, error: int) -> object:
        """The socket is closed; ``error`` is 0, or why (errno). Called once."""
