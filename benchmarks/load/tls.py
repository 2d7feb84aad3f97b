"""TLS for the streams: one side of one TLS connection, in memory; the stream moves the octets.

OpenSSL's handshake and ciphers take so much longer than a Python call that compiled code would gain nothing here.
"""

from __future__ import annotations

import ssl
from pathlib import Path


def client_context(authorities: Path | None) -> ssl.SSLContext:
    """Checks the server's certificate and name when ``authorities`` (a PEM file) is given, and otherwise nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authorities)
    return context


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class Channel:
    """One side of a connection. ``session`` is an earlier one to be taken up again (clients)."""

    __slots__ = ("_incoming", "_object", "_outgoing", "is_secured")

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name, session=session
        )
        self.is_secured = False

    def feed(self, octets: bytes) -> None:
        """Takes what the peer sent."""
        self._incoming.write(octets)

    def advance(self) -> bool:
        """A step of the handshake; whether it is done now. ssl.SSLError when it failed."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.is_secured = True
        return True

    def read_into(self, buffer: memoryview) -> int:
        """Puts decrypted octets into ``buffer`` and tells how many; 0: there are no more; -1: the peer closed."""
        try:
            return int(self._object.read(len(buffer), buffer)) or -1
        except ssl.SSLWantReadError:
            return 0
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return -1

    def write(self, octets: memoryview) -> None:
        """Encrypts all of ``octets``; what comes of it lies in take()."""
        if len(octets):
            self._object.write(octets)

    def take(self) -> bytes:
        """What is to be sent to the peer."""
        return self._outgoing.read()

    @property
    def is_resumed(self) -> bool:
        return bool(self._object.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        """To be taken up by a later connection. With TLS 1.3 it is there after the first octets were read."""
        session = self._object.session
        return session if session is not None and session.has_ticket else None
