"""TLS as a client: contexts by policy, sessions that are resumed, the result of a handshake (docs/adr/0017).

Theory: what a policy asks of OpenSSL depends on few things (whether it checks, by which trust anchors, from which
version on), and for each combination of those there is one context for the life of the process. Everything else is
checked on the finished handshake, before any plaintext of ours is sent: names and TLSA records (peer_certificates.py).

    connection = tls.connect(policy, "mx.example.org", "192.0.2.1")     # or TlsFailure
    wire.write(connection.take_output())            # after this and each of the following calls
    result = connection.negotiate(octets)           # None: more is needed; then Secured or TlsFailure
    plaintext = connection.receive(octets)          # at once with b"", as of any machine (tls_machine.py)

A session is used again only under the same policy, for the same host at the same address. Resuming skips the
certificate, so whatever was checked on it must be what would be checked now. A session is kept for an hour at most;
under a policy that checks certificates, no longer than the server's certificate is valid.

Invariants: Secured is returned only if the connection conforms to the policy. A failure has a short, printable text for
people and all of OpenSSL's text for the log.

Not here: sockets and deadlines (_tls_stream.pyx), where a policy comes from, what follows from a failure.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, Literal, NamedTuple

from relay.mail.tls_policy import TlsPolicy
from relay.net import peer_certificates
from relay.net.session_cache import SessionCache
from relay.net.tls_machine import HELLO, TlsClient, TlsError
from relay.net.tls_profiles import make_client_context
from relay.telemetry import metrics

SESSIONS: Final = 1024
"""Kept by a process; each takes some kilobytes."""
SESSION_SECONDS: Final = 3600.0
_LOOKS: Final = 2
"""Reads with plaintext after which no ticket is expected any more: looking for one is not free."""
_ALERT: Final = 0x15
_TEXT: Final = 300

FailureKind = Literal["anchors", "handshake", "certificate", "timed_out", "broken"]


class Secured(NamedTuple):
    """A finished handshake that conforms to the policy."""

    version: str
    """``TLSv1.2`` or ``TLSv1.3``."""
    cipher: str
    is_resumed: bool
    is_verified: bool
    """The server's certificate was checked: now, or in the handshake whose session is resumed."""
    why_not: str
    """Why it is not verified; empty when it is."""


class TlsFailure(NamedTuple):
    """There is no TLS with this server under this policy, or not any more. The connection is of no more use."""

    kind: FailureKind
    """anchors: our own trust anchors cannot be read; handshake: no agreement, refused by the server, closed, not TLS;
    certificate: not what the policy asks for; timed_out; broken: invalid records after the handshake."""
    text: str
    """For people, one line."""
    cause: str
    """For the log: OpenSSL's text, complete."""


class _Key(NamedTuple):
    """What a session may be used for."""

    policy: TlsPolicy
    host: str
    address: str


class ClientTls:
    """TLS of all connections out of one process. Belongs to the loop's thread."""

    def __init__(
        self, row: memoryview[int], *, sessions: int = SESSIONS, clock: Callable[[], float] = time.time
    ) -> None:
        """``row`` are the process's counters; ``clock`` gives seconds since the epoch."""
        self.clock: Final = clock
        self.counters: Final = _Counters(row)
        self._contexts: dict[tuple[bool, str, str], ssl.SSLContext] = {}
        self._sessions: Final[SessionCache[_Key, ssl.SSLSession]] = SessionCache(sessions)

    def connect(self, policy: TlsPolicy, host: str, address: str = "") -> ClientConnection | TlsFailure:
        """The machine for a new connection with ``host`` (a name in A-labels, or an address) at ``address``, its
        ClientHello in the output; or why there cannot be one. ValueError for the policy ``none``."""
        if policy.kind == "none":
            raise ValueError("the policy none is for connections in the clear")
        key = _Key(policy, host.lower().rstrip("."), address)
        try:
            context = self._context(policy)
        except (ssl.SSLError, OSError) as fault:
            self.counters.failed("anchors")
            return TlsFailure("anchors", "the trust anchors cannot be read", f"{policy.anchors}: {fault}")
        connection = ClientConnection(self, key, context, self._sessions.take(key, self.clock()))
        self.counters.keeps(len(self._sessions))
        failure = connection.negotiate(b"")
        return failure if isinstance(failure, TlsFailure) else connection

    def _context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """The one for all policies like this. OSError when its trust anchors cannot be read."""
        is_checked = policy.kind == "verify"
        parts = (is_checked, policy.anchors if is_checked else "", policy.min_version)
        context = self._contexts.get(parts)
        if context is None:
            context = make_client_context(policy.min_version)
            if is_checked:
                context.verify_mode = ssl.CERT_REQUIRED
                if policy.anchors:
                    context.load_verify_locations(policy.anchors)
                    # Every certificate in the file is an anchor, whether it is a root or not (RFC 5280 6.1.1).
                    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                else:
                    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
            self._contexts[parts] = context
        return context

    def keep(self, key: _Key, session: ssl.SSLSession, expires_at: datetime | None) -> None:
        """Remembers ``session`` for the next connection of ``key``."""
        now = self.clock()
        seconds = min(SESSION_SECONDS, float(session.timeout))
        if session.has_ticket:
            seconds = min(seconds, float(session.ticket_lifetime_hint or seconds))  # 0: not given (RFC 5077 3.3)
        good_until = now + seconds
        if expires_at is not None:
            good_until = min(good_until, expires_at.timestamp())
        self._sessions.put(key, session, good_until)
        self.counters.keeps(len(self._sessions))


class ClientConnection(TlsClient):
    """One connection. Not thread-safe."""

    __slots__ = ("_has_answer", "_is_tls", "_key", "_looks", "_tls")

    def __init__(self, tls: ClientTls, key: _Key, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        super().__init__(context, _server_name(key.host), session)
        self._tls = tls
        self._key = key
        self._looks = _LOOKS
        self._has_answer = False
        self._is_tls = True

    def negotiate(self, octets: bytes) -> Secured | TlsFailure | None:
        """Goes on with the handshake with ``octets`` of the server; None: more is needed. An alert, or the last flight,
        may be in the output."""
        if octets and not self._has_answer:
            self._has_answer = True
            self._is_tls = octets[0] in (HELLO, _ALERT)
        try:
            if not self.handshake(octets):
                return None
        except TlsError as fault:
            return self._failed(self._explain(fault))
        failure = None if self.is_resumed else self._check()
        if failure is not None:
            self.close()
            return self._failed(failure)
        self._tls.counters.done(self.version, self.is_resumed)
        if self.version == "TLSv1.2":
            self._keep_session()
            self._looks = 0
        cipher = self._ssl.cipher()
        is_verified = self._key.policy.kind in ("verify", "dane")
        why_not = "" if is_verified else f"the policy ({self._key.policy.kind}) checks no certificate"
        return Secured(self.version, cipher[0] if cipher else "", self.is_resumed, is_verified, why_not)

    def receive(self, octets: bytes) -> bytes:
        """As of any machine; a session that the server offers with it is kept."""
        plaintext = super().receive(octets)
        if plaintext and self._looks:
            self._looks -= 1
            self._keep_session()
        return plaintext

    def closed(self) -> TlsFailure:
        """The failure when the server closes the connection before the handshake is finished."""
        text = "the server closed the connection during the TLS handshake"
        return self._failed(TlsFailure("handshake", text, text))

    def timed_out(self) -> TlsFailure:
        """The failure when the handshake is not finished in time."""
        text = "the TLS handshake was not finished in time"
        return self._failed(TlsFailure("timed_out", text, text))

    def broken(self, fault: TlsError) -> TlsFailure:
        """The failure when ``receive`` has raised ``fault``."""
        return TlsFailure("broken", f"the TLS connection is broken ({fault.reason})", fault.detail)

    def _failed(self, failure: TlsFailure) -> TlsFailure:
        self._tls.counters.failed(failure.kind)
        return failure

    def _explain(self, fault: TlsError) -> TlsFailure:
        if fault.kind == "certificate":
            return _refused(fault.reason, fault.detail)
        if not self._is_tls:
            return TlsFailure("handshake", "the server did not answer with TLS", fault.detail)
        if fault.kind == "rejected":
            return TlsFailure("handshake", f"the server refused the TLS handshake ({fault.reason})", fault.detail)
        if fault.kind == "no_agreement":
            return TlsFailure("handshake", "no version or cipher of TLS in common with the server", fault.detail)
        return TlsFailure("handshake", f"the TLS handshake failed ({fault.reason})", fault.detail)

    def _check(self) -> TlsFailure | None:
        """Why the certificate is not what the policy asks for, or None."""
        policy = self._key.policy
        if policy.kind not in ("verify", "dane"):
            return None
        names = policy.names or (self._key.host,)
        chain = self.peer_chain
        if policy.kind == "verify":
            why = peer_certificates.mismatch_of_names(chain[0], names) if chain else "the server has sent none"
        else:
            now = datetime.fromtimestamp(self._tls.clock(), UTC)
            why = peer_certificates.mismatch_of_records(chain, policy.records, names, now)
        return _refused(why, why) if why else None

    def _keep_session(self) -> None:
        session = self.new_session
        if session is None:
            return
        self._looks = 0
        shown = self.peer_certificate if self._key.policy.kind in ("verify", "dane") else None
        self._tls.keep(self._key, session, peer_certificates.expires_at(shown) if shown else None)


def _refused(why: str, cause: str) -> TlsFailure:
    text = "".join(each if each.isprintable() else "?" for each in f"the server's certificate is not acceptable: {why}")
    return TlsFailure("certificate", text if len(text) <= _TEXT else f"{text[: _TEXT - 3]}...", cause)


def _server_name(host: str) -> str | None:
    """The name for the SNI extension (RFC 6066 3); None when ``host`` is an address or no valid host name."""
    try:
        ip_address(host)
    except ValueError:
        is_name = host.isascii() and all(1 <= len(label) <= 63 for label in host.split(".")) and len(host) <= 253
        return host if is_name else None
    return None


class _Counters:
    def __init__(self, row: memoryview[int]) -> None:
        self._row = row
        self._done: Final = {
            (version, is_resumed): metrics.index(
                "relay_tls_client_handshakes_total", version, "yes" if is_resumed else "no"
            )
            for version in metrics.TLS_VERSIONS
            for is_resumed in (False, True)
        }
        self._failed: Final = {
            kind: metrics.index("relay_tls_client_handshakes_failed_total", kind)
            for kind in metrics.TLS_CLIENT_FAILURES
        }
        self._kept: Final = metrics.index("relay_tls_client_sessions")

    def done(self, version: str, is_resumed: bool) -> None:
        self._row[self._done[version, is_resumed]] += 1

    def failed(self, kind: str) -> None:
        self._row[self._failed[kind]] += 1

    def keeps(self, count: int) -> None:
        self._row[self._kept] = count
