"""TLS for everything that listens: one context per profile, certificates per name, files that change, shared tickets.

Theory: the process has one SSLContext for all listeners of a profile and for its whole life. It holds what is the same
for everybody (versions, ciphers, ticket keys); which certificates a client can get is decided in the callback that
OpenSSL makes for the client's server name, from a table that is replaced as a whole when a file has changed. So a new
certificate touches neither the listeners nor the tickets.

A name may have one certificate of each kind of key, ECDSA and RSA: they stand in one context, and OpenSSL shows what
the client can check and has ciphers for.

A pair of files that has changed is taken over once it has stood still for one look: certbot swaps its links one after
the other, and a pair caught between the two does not fit. One that does not fit then is refused with an event, and
the old one serves on.

Invariants: the table always holds a certificate for every configured pair; what is in it has been checked as a whole.

Not here: ciphers (tls_profiles.py), files and keys (certificates.py, tickets.py), one connection (tls_machine.py),
sockets and deadlines.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

from relay.config.model import Config
from relay.net import _tickets, certificates
from relay.net.certificates import CertificateError, Files
from relay.net.handshakes import Handshakes
from relay.net.tickets import TicketKeys
from relay.net.tls_machine import TlsServer
from relay.net.tls_profiles import MODERN, VERSIONS, Context, make_context

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
    pair: certificates.Pair = field(repr=False)
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
    pair.load_into(make_context(MODERN))  # OpenSSL's opinion, now
    return Certificate(
        files, wanted_names, signature, wanted_names or pair.names, pair, pair.starts_at, pair.expires_at
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
    faults += _rivals(config, loaded) if not faults else []
    if faults:
        raise CertificateError("; ".join(faults))
    return loaded


class Accepting(Protocol):
    """What a listener's connections need."""

    @property
    def handshakes(self) -> Handshakes:
        """Of the process."""

    def accept(self) -> TlsServer:
        """The machine for a new connection."""


class ListenerTls:
    """TLS as one listener has it."""

    def __init__(self, tls: ServerTls, profile: str) -> None:
        self.handshakes: Final = tls.handshakes
        self._context: Final = tls.contexts[profile]

    def accept(self) -> TlsServer:
        """The machine for a new connection."""
        return TlsServer(self._context)


Group = tuple[Certificate, ...]
"""The certificates of one name, of different kinds of keys, the first first."""


@dataclass(frozen=True, slots=True)
class Served:
    """What clients that ask for a name can get."""

    certificates: Group
    contexts: Mapping[str, Context]
    """By profile, all with these certificates."""


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
            load(certificates.self_signed(config.tls_dir, config.hostname, datetime.now(UTC), kind))
            for kind in certificates.SELF_SIGNED
        ]
        self._seen = [each.signature for each in self._serving]
        self.contexts: Final = {
            profile: make_context(profile)
            for profile in {MODERN, *(each.profile for each in config.listeners if each.tls != "none")}
        }
        """By profile; they stay the same."""
        self._tell(self._serving)
        for profile, context in self.contexts.items():
            context.minimum_version = VERSIONS[config.tls.min_version]
            context.sni_callback = partial(self._choose, profile)
        self.has_shared_tickets: Final = self._install_tickets()
        for each in self._serving:
            self._warn_of(each)
        self._show_expiry()

    @property
    def context(self) -> Context:
        """The modern one: for servers that bring their own TLS (``create_server(ssl=...)``)."""
        return self.contexts[MODERN]

    def accept(self) -> TlsServer:
        """The machine for a new connection, with the modern profile."""
        return TlsServer(self.context)

    def of(self, profile: str) -> ListenerTls:
        """For a listener of ``profile``, which is one of the configuration's."""
        return ListenerTls(self, profile)

    def served_for(self, name: str | None) -> Served:
        """What is served for a server name: its own, that of the wildcard above it, or the first with its twin."""
        if name:
            name = name.lower().rstrip(".")
            found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
            if found is not None:
                return found
        return self._default

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
        self._tell(serving)
        self._show_expiry()

    def _tell(self, serving: list[Certificate]) -> None:
        """Takes the table over that ``serving`` makes; contexts of certificates that have not changed stay."""
        groups = _by_name(serving)
        default = groups[serving[0].names[0]] if serving[0].names else ()
        default = default if serving[0] in default else (serving[0],)
        made: dict[Group, Served] = getattr(self, "_made", {})
        self._made = {
            group: made.get(group) or Served(group, self._contexts_of(group)) for group in {*groups.values(), default}
        }
        self._serving, self._default = serving, self._made[default]
        self._by_name = {name: self._made[group] for name, group in groups.items()}

    def _contexts_of(self, group: Group) -> dict[str, Context]:
        """By profile: contexts in which those certificates stand."""
        contexts = {}
        for profile in self.contexts:
            context = contexts[profile] = make_context(profile)
            for each in reversed(group):
                each.pair.load_into(context)
            context.end_points = {each.pair.der: each.pair.end_point for each in group}
        return contexts

    def _show_expiry(self) -> None:
        self.handshakes.expire(min(each.expires_at for each in self._serving))

    def _choose(self, profile: str, connection: Any, name: str | None, _context: ssl.SSLContext) -> None:
        """OpenSSL asks once per handshake, whether the client named a server or not."""
        connection.context = self.served_for(name).contexts[profile]

    def _install_tickets(self) -> bool:
        if not self._lifetime:
            for context in self.contexts.values():
                context.options |= ssl.OP_NO_TICKET
                context.num_tickets = 0
            return False
        if not all(_tickets.install(context, int(self._lifetime)) for context in self.contexts.values()):
            self._event("warning", "session tickets not shared", {"cause": "this Python's OpenSSL cannot be reached"})
            return False
        self._keys.advance(time.monotonic(), self._lifetime)
        _tickets.set_keys(*self._keys.window())
        return True

    def _warn_of(self, certificate: Certificate) -> None:
        if trouble := certificate.trouble(datetime.now(UTC)):
            self._event("warning", "certificate not valid", {"path": str(certificate.files.cert), "cause": trouble})


def _by_name(serving: list[Certificate]) -> dict[str, Group]:
    """The table of names; of the certificates of one kind that have a name the first gets it."""
    found: dict[str, dict[str, Certificate]] = {}
    for each in serving:
        for name in each.names:
            found.setdefault(name, {}).setdefault(each.pair.kind, each)
    return {name: tuple(of.values()) for name, of in found.items()}


def _rivals(config: Config, loaded: list[Certificate]) -> list[str]:
    """What is wrong with names that the configuration gives to two certificates: their keys must be of two kinds."""
    faults = []
    first: dict[tuple[str, str], int] = {}
    for number, (wanted, each) in enumerate(zip(config.certificates, loaded, strict=True), 1):
        for name in wanted.names:
            other = first.setdefault((name, each.pair.kind), number)
            if other != number:
                faults.append(
                    f'certificate[{number}]: "{name}" gets certificate {other} already, with a key of that kind'
                )
    return faults
