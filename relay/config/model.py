"""The settings of Relay: every setting is declared here once, with kind, range, default and doc.

A ``Config`` is immutable, picklable and always whole: code that holds one need not check anything again. Durations
are float seconds, sizes int octets, domain names lower-case A-labels. docs/CONFIG.md and docs/relay.toml are
generated from this file (``make docs``).

Not here: reading files (relay/config/load.py), the demo (relay/config/demo.py).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from relay.config.auth import AuthSettings
from relay.config.autoconfig import AutoconfigSettings
from relay.config.declare import Own, overrides, section, sections, setting
from relay.config.delivery import DeliverySettings
from relay.config.kinds import (
    Choice,
    Domain,
    Duration,
    FilePath,
    Flag,
    Hop,
    HostPattern,
    IpAddress,
    LogDestination,
    Mail,
    Many,
    Network,
    Size,
    Text,
    Whole,
)
from relay.config.mailbox import MailboxLimit, MailboxSettings
from relay.config.queue import QueueSettings, SpoolSettings
from relay.config.readers import ReaderSettings
from relay.config.secret import Secret, SecretText
from relay.config.sieve import SieveSettings
from relay.config.smtp import SmtpSettings
from relay.mail.next_hop import NextHop

FALLBACK_HOSTNAME = "relay.localhost"


def _machine_hostname() -> str:
    """The machine's full name when it is a domain name of at least two labels, else ``relay.localhost``."""
    try:
        name = Domain().parse(socket.getfqdn())
    except ValueError:
        return FALLBACK_HOSTNAME
    return name if "." in name and not name.endswith(".arpa") else FALLBACK_HOSTNAME


def _cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _delivery_workers() -> int:
    return max(1, _cpus() // 2)


def _smtp_workers() -> int:
    return max(1, _cpus() - _delivery_workers())


def _mailbox_workers() -> int:
    return max(1, _cpus() // 2)


SMTP_KINDS = ("mx", "submission")
READER_KINDS = ("imap", "pop3", "managesieve")


@dataclass(frozen=True, slots=True)
class Listener:
    """One address and port that we are spoken to on."""

    name: str = setting(
        Text(may_be_empty=False, longest=40), "Its name in logs and metrics; each name once.", example="mx"
    )
    kind: str = setting(
        Choice((*SMTP_KINDS, *READER_KINDS)),
        "`mx` takes mail from other servers; `submission` takes it from our own people and programs (RFC 6409) and "
        "adds a missing Date and Message-ID; at `imap` (RFC 9051, RFC 3501) and `pop3` (RFC 1939) people read theirs; "
        "at `managesieve` (RFC 5804: port 4190) they keep their filter scripts.",
        example="mx",
    )
    address: str = setting(
        IpAddress(), "Where it listens. `0.0.0.0` is every IPv4 address, `::` every IPv6 address.", example="0.0.0.0"
    )
    port: int = setting(Whole(0, 65535), "TCP port; 0 takes any free one (for tests).", example=25)
    tls: str = setting(
        Choice(("starttls", "implicit", "none")),
        "`starttls` offers TLS inside the session (ports 25, 587, 143 and 110); `implicit` begins with TLS (RFC 8314: "
        "ports 465, 993 and 995); `none` has no TLS.",
        default="starttls",
    )
    tls_profile: str = setting(
        Choice(("by kind", "opportunistic", "intermediate", "modern")),
        "Ciphers of TLS 1.2; TLS 1.3 has one list. `modern`: ECDHE with AES-GCM or ChaCha20-Poly1305. `intermediate`: "
        "Mozilla's list of that name, with DHE as well. `opportunistic`: everything that OpenSSL's security level 2 "
        "allows, best first, so that no server falls back to clear text (RFC 7435). `by kind`: `opportunistic` at "
        "`mx`, `modern` elsewhere.",
        default="by kind",
    )
    plaintext_login: bool = setting(
        Flag(), "Allow logins without TLS: passwords cross the network for everybody to read.", default=False
    )

    smtp: Own = overrides(
        SmtpSettings,
        "Settings of `[smtp]` for this listener alone, which must be of kind `mx` or `submission`. They count before "
        "`[smtp]` and its variables of the environment.",
        example="max_message_size",
    )

    @property
    def profile(self) -> str:
        """Which of the profiles of relay/net/tls_profiles.py it has."""
        if self.tls_profile != "by kind":
            return self.tls_profile
        return "opportunistic" if self.kind == "mx" else "modern"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate and its key. The files are looked at every second and read again when they change."""

    cert: Path = setting(
        FilePath(),
        "The certificate, followed by those between it and the root (PEM). May be a symbolic link that is swapped.",
        example="/etc/relay/tls/fullchain.pem",
    )
    key: Path = setting(
        FilePath(),
        "Its private key (PEM, no password), readable by `user`; may be the same file.",
        example="/etc/relay/tls/privkey.pem",
    )
    names: tuple[str, ...] = setting(
        Many(HostPattern()),
        "Host names of clients' requests (SNI) that get it, `*.example.org` for one label in front. Empty: those in "
        "the certificate. Whoever asks for another name, or for none, gets the first certificate. Two certificates can "
        "have one name, one with an ECDSA and one with an RSA key: each client gets what it can use.",
        default=[],
    )


@dataclass(frozen=True, slots=True)
class RelayDomain:
    """A domain whose mail is taken in and handed to a fixed next hop."""

    domain: str = setting(Domain(), "The domain.", example="example.org")
    next_hop: NextHop = setting(Hop(), "Where its mail goes.", example="smtp://mail.example.org:25")
    recipients: tuple[str, ...] | None = setting(
        Many(Mail(may_be_elsewhere=True)),
        "The only addresses that exist there; all others are refused with 550 5.1.1. Not given: every address is "
        "taken in, and the next hop decides.",
        default=None,
        default_doc="not given",
        example=["alice@example.org", "bob@example.org"],
    )
    recipients_file: Path | None = setting(
        FilePath(),
        "A file of such addresses, one a line, `#` begins a comment; added to `recipients`; read at start and reload.",
        default=None,
        default_doc="not given",
        example="recipients.txt",
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How many processes do what."""

    smtp: int = setting(
        Whole(1, 256),
        "Processes that take mail in. The more there are, the fewer messages share one sync.",
        computed=_smtp_workers,
        default_doc="one per processor that the default of `workers.delivery` leaves, at least one",
        example=2,
    )
    delivery: int = setting(
        Whole(1, 256),
        "Processes that own the queue and deliver. Each next hop belongs to one of them.",
        computed=_delivery_workers,
        default_doc="one per two processors",
        example=2,
    )
    mailbox: int = setting(
        Whole(1, 256),
        "Processes that serve IMAP and POP3, when there are listeners for them.",
        computed=_mailbox_workers,
        default_doc="one per two processors",
        example=2,
    )
    beat_timeout: float = setting(
        Duration("1s", "1h"), "A worker whose loop has not turned for so long is killed and replaced.", default="30s"
    )


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The HTTP port for metrics, health and status. Keep it on loopback or a private network: it speaks no TLS."""

    address: str = setting(IpAddress(), "Where it listens.", default="127.0.0.1")
    port: int = setting(Whole(0, 65535), "TCP port; 0 takes any free one (for tests).", default=8025)
    token: Secret | None = setting(
        SecretText(shortest=16, longest=1024, is_token=True),
        "Who asks for anything but `/livez` and `/readyz` must send it (`Authorization: Bearer TOKEN`, RFC 6750 2.1; "
        "`authorization.credentials_file` of Prometheus), or gets 401. Not given: everybody who can connect may ask.",
        default=None,
        default_doc="not given",
        example="admin-token",
    )


@dataclass(frozen=True, slots=True)
class DomainSettings:
    """Domains whose mail ends here, in mailboxes."""

    local: tuple[str, ...] = setting(
        Many(Domain()),
        "Their addresses are the accounts (`relay account add`), postmaster and MAILER-DAEMON.",
        default=[],
    )


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS for whoever connects to us. Ciphers: `listener.tls_profile`."""

    min_version: str = setting(Choice(("1.2", "1.3")), "Oldest version of TLS that is spoken.", default="1.2")
    ticket_lifetime: float = setting(
        Duration("1m", "7d", zero="no resumption"),
        "How long a client that comes again is spared most of the handshake. Keys change every hour and are never "
        "written to disk.",
        default="4h",
    )
    handshake_timeout: float = setting(
        Duration("1s", "10m"), "How long a handshake may take, from the first octet to the last.", default="20s"
    )
    max_handshakes: int = setting(
        Whole(1, 100_000),
        "Handshakes going on at the same time in one process. Above it STARTTLS is answered 454 4.7.0, and "
        "connections that begin with TLS are closed.",
        default=2000,
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """One JSON object a line: transactions, deliveries, events."""

    destination: str = setting(LogDestination(), "`stdout`, `stderr` or the absolute path of a file.", default="stdout")
    buffer_limit: int = setting(
        Size("64KiB", "1GiB"),
        "Octets of lines that wait in one process while the destination is slow. What is above is dropped and counted.",
        default="16MiB",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings. The fields without a table of their own come first in the file."""

    hostname: str = setting(
        Domain(),
        "Our name in greetings, HELO, Received fields and bounces. Other servers check that it exists.",
        computed=_machine_hostname,
        default_doc=f"the machine's full name, else {FALLBACK_HOSTNAME}",
        example="mx.example.org",
    )
    data_dir: Path = setting(
        FilePath(), "Everything Relay keeps: spool, mailboxes, accounts. A local file system.", default="/var/lib/relay"
    )
    accounts_file: Path | None = setting(
        FilePath(),
        "The accounts and their password hashes, managed by `relay account`.",
        default=None,
        default_doc="`accounts` in `data_dir`",
        example="/var/lib/relay/accounts",
    )
    user: str = setting(Text(longest=64), "Account to become after start as root.", default="")
    group: str = setting(Text(longest=64), "Group to become after start as root. Empty: that of `user`.", default="")
    allow_root: bool = setting(Flag(), "Serve as root when no `user` is given.", default=False)
    drain_timeout: float = setting(
        Duration("1s", "1h"), "How long sessions and deliveries may take to finish on stop or reload.", default="30s"
    )
    reload_timeout: float = setting(
        Duration("1s", "7d", zero="drain_timeout"),
        "How long sessions go on with their old process, and its settings, when a reload has replaced it; then it "
        "drains. Never shorter than `drain_timeout`. The processes of two earlier reloads are kept for that at most.",
        default="0s",
    )
    postmaster: str = setting(
        Mail(may_be_empty=True, may_be_elsewhere=True),
        "Who gets mail for postmaster (RFC 5321 4.5.1) and MAILER-DAEMON, at our domains and at `hostname`: an "
        "account, or an address elsewhere. Empty: the first account. Without any, such mail is answered 450 4.3.5.",
        default="",
    )
    trusted_networks: tuple[str, ...] = setting(
        Many(Network()), "Clients that may send anywhere without logging in.", default=[]
    )
    smarthost: NextHop | None = setting(
        Hop(may_be_empty=True), "Takes all mail for other domains. Empty: by MX lookup.", default=""
    )
    listeners: tuple[Listener, ...] = sections(
        Listener,
        "Where mail comes in and is read. Without any, one `mx` listener on 0.0.0.0:25.",
        key="listener",
        default=(Listener("mx", "mx", "0.0.0.0", 25),),
    )
    tls: TlsSettings = section(
        TlsSettings,
        "TLS for whoever connects to us. Ciphers: `listener.tls_profile`.",
    )
    certificates: tuple[CertificateFiles, ...] = sections(
        CertificateFiles,
        "Certificates. Without any, two self-signed ones are made for `hostname`, with an ECDSA and an RSA key, and "
        "kept in `tls` in `data_dir`: that keeps eavesdroppers out, but clients that check will not accept them.",
        key="certificate",
    )
    domains: DomainSettings = section(DomainSettings, "Domains whose mail ends here, in mailboxes.")
    relay_domains: tuple[RelayDomain, ...] = sections(
        RelayDomain, "Domains whose mail is taken in and handed to a fixed next hop.", key="relay_domain"
    )
    auth: AuthSettings = section(AuthSettings, "Logging in, over whatever protocol. Every process counts for itself.")
    smtp: SmtpSettings = section(SmtpSettings, "Taking mail in. Each limit answers with the reply RFC 5321 has for it.")
    readers: ReaderSettings = section(ReaderSettings, "People at their mailboxes: limits of IMAP and POP3 sessions.")
    mailbox: MailboxSettings = section(MailboxSettings, "How much an account may keep, and for how long.")
    mailbox_limits: tuple[MailboxLimit, ...] = sections(
        MailboxLimit, "Limits of single mailboxes and accounts.", key="mailbox_limit"
    )
    spool: SpoolSettings = section(SpoolSettings, "Where accepted mail is kept until it is delivered.")
    queue: QueueSettings = section(QueueSettings, "When a message is tried again, and when it is given up.")
    delivery: DeliverySettings = section(
        DeliverySettings, "Handing mail to the next hop. The timeouts are those of RFC 5321 4.5.3.2."
    )
    sieve: SieveSettings = section(
        SieveSettings, "Scripts (RFC 5228) that file, redirect and answer mail as it is delivered to a mailbox."
    )
    workers: WorkerSettings = section(WorkerSettings, "How many processes do what.")
    admin: AdminSettings = section(
        AdminSettings,
        "HTTP for metrics, health and status. Keep it on loopback or a private network: it speaks no TLS.",
    )
    autoconfig: AutoconfigSettings = section(
        AutoconfigSettings, "A port for everybody that tells mail programs their settings, and nothing else."
    )
    log: LogSettings = section(LogSettings, "One JSON object a line: transactions, deliveries, events.")

    def smtp_of(self, listener: Listener) -> SmtpSettings:
        """The settings of ``[smtp]`` as they are for ``listener``."""
        return replace(self.smtp, **dict(listener.smtp))

    @property
    def smtp_listeners(self) -> tuple[Listener, ...]:
        """Those that the smtp workers serve."""
        return tuple(each for each in self.listeners if each.kind in SMTP_KINDS)

    @property
    def reader_listeners(self) -> tuple[Listener, ...]:
        """Those that the mailbox workers serve."""
        return tuple(each for each in self.listeners if each.kind in READER_KINDS)

    @property
    def spool_dir(self) -> Path:
        """Logs, journals, large contents."""
        return self.data_dir / "spool"

    @property
    def run_dir(self) -> Path:
        """Sockets of the running workers."""
        return self.data_dir / "run"

    @property
    def mail_dir(self) -> Path:
        """Mailboxes: ``<domain>/<local-part>`` below it."""
        return self.data_dir / "mail"

    @property
    def tls_dir(self) -> Path:
        """The self-signed certificate."""
        return self.data_dir / "tls"

    @property
    def accounts_path(self) -> Path:
        """The account file in use."""
        return self.accounts_file or self.data_dir / "accounts"
