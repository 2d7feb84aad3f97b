"""Who may send where: the built-in policy, decided from tables in memory.

Theory: a recipient is taken in when its domain is ours (and the address exists), when it is one we relay for, or when
the client may send anywhere; all else is refused with 550 5.7.1 (RFC 5321 3.6.2, 7.9). The tables are sets built once
from the configuration and the account file, so that every answer is a few look-ups and never waits. It is asked three
times for each message, so it is compiled (policy.pxd); it says the same without.

Invariants:
    - a recipient at a domain that is none of ours is never accepted from a client that is neither trusted nor
      authenticated, however its local part is written;
    - source routes have been dropped by the parser (RFC 5321 3.6.1, appendix C), and a local part that could make
      the next hop route further (``a%b``, ``b!a``, ``"a@b"``) is not relayed for strangers;
    - postmaster (RFC 5321 4.5.1) and MAILER-DAEMON, as whom we write, are postmaster's at every domain of ours and at
      ``hostname``. Where there is nobody who could read it, it is refused for the time being.

Not here: limits on connections and errors (the session's), reputation, SPF, greylisting.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from relay.config.model import Config, RelayDomain
from relay.mail.address import base_address, is_role
from relay.mail.reply import NO_POSTMASTER, NO_SUCH_RECIPIENT, RELAYING_DENIED, Reply
from relay.policy.authors import responsible
from relay.policy.senders import ANY, foreign_author, is_own
from relay.policy.verdict import ANNOTATE, DEFER, Answer, SessionView, Verdict, reject

TRUSTED: Final = Verdict(ANNOTATE, is_trusted=True)
NOT_YOUR_ADDRESS: Final = Reply(550, "5.7.1", "Your account may not send as this address")
NOT_YOUR_FROM: Final = Reply(550, "5.7.1", "Your account may not write as this author")
NO_AUTHOR: Final = Reply(554, "5.6.0", "The message names no author: a From field is needed (RFC 5322 3.6)")
LOGIN_NEEDED: Final = reject(Reply(530, "5.7.0", "Authentication required to submit mail here"))

_KNOWN_CLIENTS: Final = 1024
"""Addresses of clients about which it is remembered whether they are trusted: parsing one costs 5 us."""


class Accounts(Protocol):
    """What is asked of the account file (relay/auth)."""

    def addresses(self) -> frozenset[bytes]:
        """All accounts, in lower case."""

    def changed(self) -> bool:
        """Whether the file has changed since it was read."""


class Mailboxes(Protocol):
    """What is known of the room in mailboxes (relay/policy/fullness.py)."""

    def judge(self, accounts: Sequence[bytes], octets: int) -> Answer:
        """Refuses a message of so many octets (0: nobody has said) when none of the accounts has room for it."""


class Policy:
    """The tables of one worker; see the module's text for the rules."""

    def __init__(self, config: Config, accounts: Accounts, mailboxes: Mailboxes | None = None) -> None:
        """``mailboxes`` is asked about room where it is given. Raises OSError or ValueError when a ``recipients_file``
        cannot be read."""
        self._mailboxes = mailboxes
        self._accounts = accounts
        self._delimiter = config.smtp.recipient_delimiter
        self._local = frozenset(domain.encode() for domain in config.domains.local)
        self._relay = {domain.domain.encode(): _recipients_of(domain) for domain in config.relay_domains}
        self._senders = config.auth.senders
        self._checks_senders = self._senders != ANY
        self._networks = _Networks(config.trusted_networks)
        self._hostname = config.hostname.encode()
        self._configured_postmaster = config.postmaster.encode()
        self._postmaster = b""
        self._addresses: frozenset[bytes] = frozenset()
        self.reload_accounts()

    def reload_accounts(self) -> None:
        """Reads the account list again; cheap enough for once a second when ``accounts.changed()``."""
        self._addresses = frozenset(address.lower() for address in self._accounts.addresses())
        self._postmaster = self._configured_postmaster or min(self._addresses, default=b"")
        if self._lacks_account(self._postmaster):
            self._postmaster = b""

    @property
    def has_postmaster(self) -> bool:
        """Whether anybody gets mail for postmaster."""
        return bool(self._postmaster)

    def connect(self, session: SessionView) -> Answer:
        """Calls clients in the trusted networks trusted."""
        return TRUSTED if self._networks.hold(session.client_address) else None

    def helo(self, session: SessionView, name: bytes) -> Answer:
        """Takes every name: many honest clients do not know theirs (RFC 5321 4.1.4)."""
        return None

    def mail(self, session: SessionView, reverse_path: bytes) -> Answer:
        """Refuses strangers on a submission listener (RFC 6409 4.3), and accounts that write as somebody else."""
        if session.account:
            is_theirs = not self._checks_senders or not reverse_path
            if is_theirs or is_own(reverse_path, session.account, self._delimiter):
                return None
            return reject(_about(NOT_YOUR_ADDRESS, reverse_path))
        return LOGIN_NEEDED if session.is_submission and not session.is_trusted else None

    def rcpt(self, session: SessionView, recipient: bytes) -> Answer:
        """Judges one recipient, ``local@domain`` with the domain in lower case, or ``postmaster`` alone."""
        local, _, domain = recipient.rpartition(b"@")
        if domain in self._local:
            answer = self._at_local_domain(local, recipient)
            if answer is None and self._mailboxes is not None:
                return self._mailboxes.judge((self._account_of(recipient),), session.octets)
            return answer
        if not local:
            return self._to_postmaster(recipient)
        may_send_anywhere = session.is_trusted or session.account
        if domain in self._relay:
            return self._at_relay_domain(local, domain, recipient, may_send_anywhere)
        if domain == self._hostname and is_role(local, self._delimiter):
            return self._to_postmaster(recipient)
        if domain.endswith(b"."):
            return self._at_root(session, recipient, domain)
        if may_send_anywhere:
            return None
        return _no_relaying(recipient)

    def _at_root(self, session: SessionView, recipient: bytes, domain: bytes) -> Answer:
        """A domain with a dot at its end is the domain without (RFC 1034 3.1). For mail that goes on the recipient
        stays as it was written; one of ours is known by its address."""
        bare = recipient[:-1]
        answer = self.rcpt(session, bare)
        return Verdict(ANNOTATE, recipient=bare) if answer is None and domain[:-1] in self._local else answer

    def data(self, session: SessionView, content: list[bytes]) -> Answer:
        """Judges the author of a submission (RFC 6409 8), then whether there is room for the message; what the RFCs
        forbid elsewhere has been refused by the session."""
        author = self._judge_submission(session, content) if session.is_submission else None
        if self._mailboxes is None or (author is not None and author.kind != ANNOTATE):
            return author
        room = self._judge_room(session)
        if room is None or author is None:
            return author if room is None else room
        return room if isinstance(room, Verdict) else _either(room, author)

    def _judge_submission(self, session: SessionView, content: list[bytes]) -> Verdict | None:
        """Refuses accounts that write as somebody else, and gives a message without From that of its sender."""
        fields = responsible(_header_section(content))
        if session.account and self._checks_senders:
            author = foreign_author(fields, session.account, self._delimiter, self._senders)
            if author:
                return reject(NOT_YOUR_FROM._replace(text=f"{NOT_YOUR_FROM.text}: {author}"))
        if fields.has_from:
            return None
        author_address = session.reverse_path.removesuffix(b".") or session.account.encode()
        if fields.is_resent or not author_address or not author_address.isascii():
            return reject(NO_AUTHOR)
        return Verdict(ANNOTATE, fields=(b"From: <%b>\r\n" % author_address,))

    def _judge_room(self, session: SessionView) -> Answer:
        """The content is there and its size known: it is refused when nobody of all whom it is for has room for it.
        Where others have, those without get a bounce."""
        assert self._mailboxes is not None
        accounts = []
        for recipient in session.recipients:
            if recipient.rpartition(b"@")[2] not in self._local:
                return None
            accounts.append(self._account_of(recipient))
        return self._mailboxes.judge(accounts, session.octets)

    def _account_of(self, recipient: bytes) -> bytes:
        """The account of an accepted recipient at a local domain."""
        if recipient in self._addresses:
            return recipient
        address = recipient.lower()
        return address if address in self._addresses else base_address(address, self._delimiter)

    def _at_local_domain(self, local: bytes, recipient: bytes) -> Answer:
        if recipient in self._addresses:
            return None
        address = recipient.lower()
        if address in self._addresses:
            return None
        if self._delimiter and base_address(address, self._delimiter) in self._addresses:
            return None
        if is_role(local, self._delimiter):
            return self._to_postmaster(recipient)
        return _unknown(recipient)

    def _at_relay_domain(self, local: bytes, domain: bytes, recipient: bytes, trusts: bool | str) -> Answer:
        known = self._relay[domain]
        if known is None:
            # These ask some servers to route on: a quoted ``"user@elsewhere"``, the %-hack, bang paths.
            if trusts or not (b"@" in local or b"%" in local or b"!" in local):
                return None
            return _no_relaying(recipient)
        address = recipient.lower()
        if address in known or local.lower() == b"postmaster":
            return None
        if self._delimiter and base_address(address, self._delimiter) in known:
            return None
        return _unknown(recipient)

    def _to_postmaster(self, recipient: bytes) -> Answer:
        """Postmaster without an account of its own goes to the configured address, or the first account."""
        if self._postmaster:
            return Verdict(ANNOTATE, recipient=self._postmaster)
        return Verdict(DEFER, _about(NO_POSTMASTER, recipient))

    def _lacks_account(self, address: bytes) -> bool:
        """Whether ``address`` should be an account and is none."""
        _, _, domain = address.rpartition(b"@")
        if domain not in self._local and domain != self._hostname:
            return False
        return not {address.lower(), base_address(address.lower(), self._delimiter)} & self._addresses


async def _either(asked: Awaitable[Verdict | None], otherwise: Verdict) -> Verdict:
    return await asked or otherwise


def postmaster_trouble(config: Config, accounts: Accounts) -> tuple[str, bool]:
    """What is wrong with who gets mail for postmaster, and whether that is an error; ``("", False)`` when all is
    well."""
    if Policy(config, accounts).has_postmaster:
        return "", False
    if config.postmaster:
        return f'postmaster: "{config.postmaster}" names no account: relay account add {config.postmaster}', True
    return (
        "there is no account, so mail for postmaster is answered 450 4.3.5: relay account add, or set postmaster",
        False,
    )


class _Networks:
    """The trusted networks as integer ranges."""

    def __init__(self, networks: Iterable[str]) -> None:
        parsed = [ipaddress.ip_network(network, strict=False) for network in networks]
        self._ranges = {
            version: tuple(
                (int(network.network_address), int(network.broadcast_address))
                for network in parsed
                if network.version == version
            )
            for version in (4, 6)
        }
        self._is_empty = not parsed
        self._known: dict[str, bool] = {}

    def hold(self, address: str) -> bool:
        """Whether ``address`` is in one of them; an IPv4 address mapped into IPv6 counts as IPv4."""
        if self._is_empty:
            return False
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _KNOWN_CLIENTS:
                self._known.clear()
            known = self._known[address] = self._look(address)
        return known

    def _look(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        number = int(parsed)
        return any(first <= number <= last for first, last in self._ranges[parsed.version])


def _recipients_of(domain: RelayDomain) -> frozenset[bytes] | None:
    """All addresses that exist at a relay domain, in lower case; None when the next hop is to decide."""
    if domain.recipients is None and domain.recipients_file is None:
        return None
    listed = {address.lower().encode() for address in domain.recipients or ()}
    if domain.recipients_file is not None:
        listed |= read_recipients(domain.recipients_file)
    return frozenset(listed)


def read_recipients(path: Path) -> set[bytes]:
    """The addresses in ``path``, one a line, in lower case; ``#`` begins a comment. Raises OSError, and ValueError
    naming file and line for one that has no ``@``."""
    found = set()
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        address = line.partition(b"#")[0].strip().lower()
        if address and b"@" not in address:
            raise ValueError(f"{path}:{number}: not an address: {address.decode(errors='replace')}")
        if address:
            found.add(address)
    return found


def _header_section(content: list[bytes]) -> bytes:
    """The header section, which the session keeps whole in the first piece."""
    first = content[0] if content else b""
    if first.startswith(b"\r\n"):
        return b""
    end = first.find(b"\r\n\r\n")
    return first if end < 0 else first[: end + 2]


def _unknown(recipient: bytes) -> Verdict:
    return reject(_about(NO_SUCH_RECIPIENT, recipient))


def _no_relaying(recipient: bytes) -> Verdict:
    return reject(_about(RELAYING_DENIED, recipient))


def _about(reply: Reply, recipient: bytes) -> Reply:
    """``reply`` naming the recipient that it is about."""
    return reply._replace(text=f"{reply.text}: <{recipient.decode(errors='backslashreplace')}>")
