"""Either side of TLS as a pure machine: what comes from the wire in, plaintext out, and the other way round.

Theory: the standard library's SSLObject works on buffers in memory and knows no socket. So TLS is one more step
between a transport and a protocol machine, inside the same call per buffer and the same write per read: no transport
of its own, no task, no timer and no large buffer per connection, which asyncio's TLS costs (docs/adr/0005-tls.md
has the figures). The protocols that listen share it: SMTP, POP3, IMAP, under STARTTLS or from the first octet; and so
does the client (tls_client.py).

    stream = tls.accept()                       # relay/net/tls.py
    is_done = stream.handshake(octets)          # again and again until it is; then
    plaintext = stream.receive(octets)          # at once, once, with b"": the client may have sent on
    stream.send(replies)
    transport.write(stream.take_output())       # after every one of these calls

A client's first call is ``handshake(b"")``, which makes its ClientHello.

Invariants: whatever was read before the machine was made never gets in (RFC 3207 5: nothing that came in the clear may
count as if it had come under TLS); it holds at most one record of the peer's that is not whole, and no plaintext.

Not here: deadlines and bounds, which belong to whoever has the connection; certificates and contexts (tls.py); what a
client wants of the server (tls_client.py).
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from typing import Final, cast

from relay.net import _exporter

HELLO: Final = 0x16
"""The first octet of every TLS connection: a record of type handshake (RFC 8446 5.1)."""
_SLICE: Final = 8192
"""Octets given to OpenSSL at a time: a memory BIO never gives back what it has once held."""
_PLAINTEXT: Final = 16384
"""Most octets of plaintext in a record (RFC 8446 5.1)."""

_DER: Final = 2
"""``_ssl.ENCODING_DER``."""

_plaintext: Final = bytearray(_PLAINTEXT)
"""Where every connection of the process decrypts to, before the octets are copied out."""


class TlsError(Exception):
    """The peer cannot be understood, or does not want us: the connection is of no more use. An alert may be in the
    output."""

    def __init__(self, reason: str, kind: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason: Final = reason
        """OpenSSL's words, in lower case, for the log."""
        self.kind: Final = kind
        """A value of the label ``reason`` of relay_tls_handshakes_failed_total; or, for a client that does not want the
        server's certificate, ``certificate``: then ``reason`` says why."""
        self.detail: Final = detail or reason
        """All that OpenSSL said."""


class TlsMachine:
    """One end of a connection. Not thread-safe."""

    __slots__ = ("_incoming", "_outgoing", "_ssl", "is_closed", "is_established")

    def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, connection: ssl.SSLObject) -> None:
        """``connection`` reads from ``incoming`` and writes to ``outgoing``."""
        self._incoming = incoming
        self._outgoing = outgoing
        self._ssl = connection
        self.is_established = False
        """The handshake is done."""
        self.is_closed = False
        """The peer has said that it will send no more (close_notify)."""

    def handshake(self, octets: bytes) -> bool:
        """Goes on with the handshake; whether it is done. Raises TlsError."""
        self._incoming.write(octets)
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLError, OSError) as fault:
            raise _error(fault) from fault
        self.is_established = True
        return True

    def receive(self, octets: bytes) -> bytes:
        """What the peer says in ``octets``, as far as its records are whole. Raises TlsError."""
        if len(octets) <= _SLICE:
            return self._decrypt(octets)
        return b"".join([self._decrypt(octets[at : at + _SLICE]) for at in range(0, len(octets), _SLICE)])

    def _decrypt(self, octets: bytes) -> bytes:
        incoming, connection = self._incoming, self._ssl
        if self.is_closed:
            return b""
        incoming.write(octets)
        pieces: list[bytes] = []
        try:
            while incoming.pending or connection.pending():
                size = cast("int", connection.read(_PLAINTEXT, _plaintext))  # typeshed knows the other form only
                if not size:
                    self.is_closed = True
                    break
                pieces.append(bytes(memoryview(_plaintext)[:size]))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_closed = True
        except (ssl.SSLError, OSError) as fault:
            raise _error(fault) from fault
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def send(self, plaintext: bytes | memoryview) -> None:
        """Puts ``plaintext`` into the output as records."""
        if plaintext:
            self._ssl.write(plaintext)

    def close(self) -> None:
        """Says that we shall send no more (close_notify, RFC 8446 6.1)."""
        with contextlib.suppress(ssl.SSLError, OSError):  # it asks for the peer's close_notify: nobody waits for that
            self._ssl.unwrap()

    @property
    def has_output(self) -> bool:
        """There is something to be written."""
        return self._outgoing.pending > 0

    def take_output(self) -> bytes:
        """What is to be written to the wire now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    @property
    def summary(self) -> str:
        """Version and cipher for the log, the envelope and the Received field: ``TLSv1.3 TLS_AES_256_GCM_SHA384``."""
        cipher = self._ssl.cipher()
        return f"{self._ssl.version()} {cipher[0] if cipher else ''}"

    @property
    def version(self) -> str:
        """``TLSv1.2`` or ``TLSv1.3``."""
        return self._ssl.version() or ""

    @property
    def is_resumed(self) -> bool:
        """The client showed a ticket that was good, and both were spared most of the handshake."""
        return bool(self._ssl.session_reused)


class TlsServer(TlsMachine):
    """The server's end of one connection."""

    __slots__ = ()

    def __init__(self, context: ssl.SSLContext) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        super().__init__(incoming, outgoing, context.wrap_bio(incoming, outgoing, server_side=True))

    @property
    def bindings(self) -> dict[str, bytes]:
        """The channel bindings of the established connection by name (RFC 5929, RFC 9266); empty when the one that its
        version of TLS is meant to have cannot be told, since clients would choose that one.

        tls-unique is for TLS 1.2 only (RFC 9266 3). OpenSSL agrees on the extended master secret (RFC 7627) with every
        client that knows it, without which a resumed session could be mistaken for another.
        """
        if not self.is_established:
            return {}
        found: dict[str, bytes] = {}
        exporter = _exporter.tls_exporter(self._ssl)
        if exporter is not None:
            found["tls-exporter"] = exporter
        elif self.version != "TLSv1.2":
            return {}
        unique = self._ssl.get_channel_binding("tls-unique") if self.version == "TLSv1.2" else None
        if unique:
            found["tls-unique"] = unique
        end_point = self._end_point()
        if end_point:
            found["tls-server-end-point"] = end_point
        return found

    def _end_point(self) -> bytes:
        """Of the certificate that this client was shown. In a resumed connection that was in another one, so where
        there are two nobody knows which."""
        known: Mapping[bytes, bytes] = getattr(self._ssl.context, "end_points", {})
        if len(known) == 1:
            return next(iter(known.values()))
        shown = None if self.is_resumed or not known else _exporter.served_certificate(self._ssl)
        return known.get(shown, b"") if shown else b""


class TlsClient(TlsMachine):
    """The client's end of one connection. ``handshake(b"")`` makes the ClientHello."""

    __slots__ = ("_offered",)

    def __init__(
        self, context: ssl.SSLContext, server_name: str | None = None, session: ssl.SSLSession | None = None
    ) -> None:
        """``server_name``: a host name for the server to choose its certificate by (RFC 6066 3), in A-labels.
        ``session``: of an earlier connection with the same context."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        connection = context.wrap_bio(incoming, outgoing, server_hostname=server_name, session=session)
        super().__init__(incoming, outgoing, connection)
        self._offered = session

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the server has sent (DER), its own first, unchecked; none, or its own alone, where the
        connection is resumed."""
        public = getattr(self._ssl, "get_unverified_chain", None)  # from Python 3.13 on
        if public is not None:
            return tuple(public())
        # Older ones have it on the inner object only.
        found = self._ssl._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined] # noqa: SLF001
        return tuple(each.public_bytes(_DER) for each in found)

    @property
    def peer_certificate(self) -> bytes | None:
        """The server's own certificate (DER), also of a resumed connection: then it is that of the session."""
        return self._ssl.getpeercert(binary_form=True)

    @property
    def new_session(self) -> ssl.SSLSession | None:
        """A session to be resumed in the next connection with this server; None while it has offered none.

        Under TLS 1.3 tickets come with, or before, the first plaintext (RFC 8446 4.6.1), and none is offered twice
        (C.4). To be asked for seldom: the ssl module writes the session out and reads it in again (120 us).
        """
        session = self._ssl.session
        if session is None or not self.is_established:
            return None
        if self.version == "TLSv1.2":
            return session if session.has_ticket or session.id else None
        return session if session.has_ticket and session != self._offered else None


_KINDS: Final = (
    ("alert", "rejected"),  # the peer has refused us, mostly our certificate
    ("no_shared_cipher", "no_agreement"),
    ("unsupported_protocol", "no_agreement"),
    ("no_suitable", "no_agreement"),
    ("no_protocols", "no_agreement"),
)


def _error(fault: Exception) -> TlsError:
    """OpenSSL's fault as ours."""
    detail = str(fault) or type(fault).__name__
    if isinstance(fault, ssl.SSLCertVerificationError):
        return TlsError(fault.verify_message, "certificate", detail)
    reason = str(getattr(fault, "reason", None) or detail).lower()
    if isinstance(fault, ssl.SSLEOFError):
        return TlsError("unexpected end", "protocol", detail)
    return TlsError(reason, next((kind for words, kind in _KINDS if words in reason), "protocol"), detail)
