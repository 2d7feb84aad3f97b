"""TLS for everything that listens: one context per process, a certificate per name, files that change, shared tickets.

Theory: the process has one SSLContext for all its listeners and for its whole life. It holds what is the same for
everybody (versions, ciphers, ticket keys); which certificate a client gets is decided in the callback that OpenSSL
makes for the client's server name, from a table that is replaced as a whole when a file has changed. So a new
certificate touches neither the listeners nor the tickets.

A pair of files that has changed is taken over once it has stood still for one look: certbot swaps its links one after
the other, and a pair caught between the two does not fit. One that does not fit then is refused with an event, and
the old one serves on.

Invariants: the table always holds a certificate for every configured pair; what is in it has been checked as a whole.

Not here: files and keys (certificates.py, tickets.py), one connection (tls_machine.py), sockets and deadlines.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from relay.config.model import Config
from relay.net import _tickets, certificates
from relay.net.certificates import CertificateError, Files
from relay.net.handshakes import Handshakes
from relay.net.tickets import TicketKeys
from relay.net.tls_machine import TlsServer

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption (RFC 9325 4.2). TLS 1.3 has nothing else."""
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

OnEvent = Callable[[str, str, Mapping[str, object]], None]
"""Takes level, event and fields; may be called from any thread."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A pair that serves, and what it was read from."""

    files: Files
    wanted_names: tuple[str, ...]
    """Those that the configuration says; empty for those in the certificate."""
    signature: certificates.Signature
    """Of the files when they were read."""
    names: tuple[str, ...]
    """Those that get it."""
    context: ssl.SSLContext
    starts_at: datetime
    expires_at: datetime

    def trouble(self, now: datetime) -> str:
        """Why clients that check will not accept it now, or nothing."""
        if now >= self.expires_at:
            return f"it expired at {self.expires_at:%Y-%m-%d %H:%M} UTC"
        return "" if now >= self.starts_at else f"it is not valid before {self.starts_at:%Y-%m-%d %H:%M} UTC"


def load(files: Files, wanted_names: tuple[str, ...] = ()) -> Certificate:
    """Reads and checks a pair. Raises CertificateError."""
    signature = certificates.signature(files)
    pair = certificates.read(files)
    context = _context()
    pair.load_into(context)
    context.end_point = pair.end_point
    return Certificate(
        files, wanted_names, signature, wanted_names or pair.names, context, pair.starts_at, pair.expires_at
    )


def load_all(config: Config) -> list[Certificate]:
    """The configured certificates. Raises CertificateError that names everything that is wrong with them."""
    loaded: list[Certificate] = []
    faults: list[str] = []
    for number, wanted in enumerate(config.certificates):
        try:
            loaded.append(load(Files(wanted.cert, wanted.key), wanted.names))
        except CertificateError as fault:
            faults.append(f"certificate[{number + 1}]: {fault}")
    if faults:
        raise CertificateError("; ".join(faults))
    return loaded


class ServerTls:
    """Everything that TLS needs in one process. ``look`` may run on another thread; all else belongs to the loop's."""

    def __init__(self, config: Config, keys: TicketKeys, on_event: OnEvent, row: memoryview[int]) -> None:
        """Reads the configured certificates, or makes one. Raises CertificateError when one cannot be used.

        ``row`` are the process's counters.
        """
        self.handshakes: Final = Handshakes(row, config.tls.max_handshakes)
        self._event: Final = on_event
        self._lifetime: Final = config.tls.ticket_lifetime
        self._keys: Final = keys
        self._serving = load_all(config) or [
            load(certificates.self_signed(config.tls_dir, config.hostname, datetime.now(UTC)))
        ]
        self._seen = [each.signature for each in self._serving]
        self._by_name = _by_name(self._serving)
        self.context: Final = _context()
        """For ``accept``, and for servers that bring their own TLS (``create_server(ssl=...)``). Stays the same."""
        self.context.minimum_version = _VERSIONS[config.tls.min_version]
        self.context.sni_callback = self._choose
        self.has_shared_tickets: Final = self._install_tickets()
        for each in self._serving:
            self._warn_of(each)
        self._show_expiry()

    def accept(self) -> TlsServer:
        """The machine for a new connection."""
        return TlsServer(self.context)

    def certificate_for(self, name: str | None) -> Certificate:
        """The certificate for a server name: its own, that of the wildcard above it, or the first."""
        if name:
            name = name.lower().rstrip(".")
            found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
            if found is not None:
                return found
        return self._serving[0]

    def turn_keys(self, now: float) -> None:
        """Changes ticket keys when it is time; ``now`` of CLOCK_MONOTONIC, in seconds. Once a second or so."""
        if self._keys.advance(now, self._lifetime) and self.has_shared_tickets:
            _tickets.set_keys(*self._keys.window())

    def look(self) -> None:
        """Looks whether files have changed, and takes over what has. Blocks on the disk: not for the loop's thread.

        Never raises: whatever is wrong with the new files, the old certificates serve on.
        """
        for number, old in enumerate(self._serving):
            found = certificates.signature(old.files)
            if found != self._seen[number]:
                self._seen[number] = found  # wait until it stands still
            elif found != old.signature:
                self._replace(number, found)

    def _replace(self, number: int, found: certificates.Signature) -> None:
        old = self._serving[number]
        try:
            new = load(old.files, old.wanted_names)
        except Exception as fault:  # noqa: BLE001 - see look()
            self.handshakes.loaded("refused")
            self._event("error", "certificate refused", {"path": str(old.files.cert), "cause": str(fault)})
            new = replace(old, signature=found)  # not again before the files change again
        else:
            self.handshakes.loaded("served")
            fields = {"path": str(new.files.cert), "names": list(new.names), "expires": f"{new.expires_at:%Y-%m-%d}"}
            self._event("info", "certificate loaded", fields)
            self._warn_of(new)
        serving = [*self._serving]
        serving[number] = new
        self._serving, self._by_name = serving, _by_name(serving)
        self._show_expiry()

    def _show_expiry(self) -> None:
        self.handshakes.expire(min(each.expires_at for each in self._serving))

    def _choose(self, connection: Any, name: str | None, _context: ssl.SSLContext) -> None:
        """OpenSSL asks once per handshake, whether the client named a server or not."""
        connection.context = self.certificate_for(name).context

    def _install_tickets(self) -> bool:
        if not self._lifetime:
            self.context.options |= ssl.OP_NO_TICKET
            self.context.num_tickets = 0
            return False
        if not _tickets.install(self.context, int(self._lifetime)):
            self._event("warning", "session tickets not shared", {"cause": "this Python's OpenSSL cannot be reached"})
            return False
        self._keys.advance(time.monotonic(), self._lifetime)
        _tickets.set_keys(*self._keys.window())
        return True

    def _warn_of(self, certificate: Certificate) -> None:
        if trouble := certificate.trouble(datetime.now(UTC)):
            self._event("warning", "certificate not valid", {"path": str(certificate.files.cert), "cause": trouble})


class Context(ssl.SSLContext):
    """A server's context that knows the channel binding of its certificate."""

    end_point: bytes = b""
    """tls-server-end-point (RFC 5929 4.1)."""


def _context() -> Context:
    """A server's context with what is the same in all of them, and no certificate."""
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # A client could make us shake hands over and over inside one connection (TLS 1.2).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    return context


def _by_name(serving: list[Certificate]) -> dict[str, Certificate]:
    """The table of names; where two certificates have a name, the first one gets it."""
    return {name: each for each in reversed(serving) for name in each.names}
