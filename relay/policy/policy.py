"""Who may send where: the built-in policy, decided from tables in memory.

Theory: a recipient is taken in when the directory (relay/directory) knows it here, when its domain is one we relay for,
or when the client may send anywhere; all else is refused with 550 5.7.1 (RFC 5321 3.6.2, 7.9). What is decided from
tables in memory never waits; only where the directory has to ask, the answer is awaitable. It is asked three times for
each message, so it is compiled (policy.pxd); it says the same without.

Invariants:
    - a recipient at a domain that is none of ours is never accepted from a client that is neither trusted nor
      authenticated, however its local part is written;
    - source routes have been dropped by the parser (RFC 5321 3.6.1, appendix C), and a local part that could make
      the next hop route further (``a%b``, ``b!a``, ``"a@b"``) is not relayed for strangers.

Not here: limits on connections and errors (the session's), reputation, SPF, greylisting.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, Protocol

from relay.config.model import Config
from relay.directory.directory import Directory
from relay.directory.resolution import AtAccount, Becomes, Elsewhere, NotKnownNow, Resolution, Unknown
from relay.mail.reply import RELAYING_DENIED, Reply
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


class Mailboxes(Protocol):
    """What is known of the room in mailboxes (relay/policy/fullness.py)."""

    def judge(self, accounts: Sequence[bytes], octets: int) -> Answer:
        """Refuses a message of so many octets (0: nobody has said) when none of the accounts has room for it."""


class Policy:
    """The tables of one worker; see the module's text for the rules."""

    def __init__(self, config: Config, directory: Directory, mailboxes: Mailboxes | None = None) -> None:
        """``mailboxes`` is asked about room where it is given."""
        self._directory = directory
        self._mailboxes = mailboxes
        self._delimiter = config.smtp.recipient_delimiter
        self._senders = config.auth.senders
        self._checks_senders = self._senders != ANY
        self._networks = _Networks(config.trusted_networks)

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
        found = self._directory.resolve(recipient)
        if isinstance(found, Resolution):
            return self._judge(session, recipient, found)
        return self._judge_late(session, recipient, found)

    async def _judge_late(self, session: SessionView, recipient: bytes, found: Awaitable[Resolution]) -> Verdict | None:
        answer = self._judge(session, recipient, await found)
        return answer if answer is None or isinstance(answer, Verdict) else await answer

    def _judge(self, session: SessionView, recipient: bytes, found: Resolution) -> Answer:
        if isinstance(found, AtAccount):
            if self._mailboxes is not None:
                answer = self._mailboxes.judge((found.account,), session.octets)
                if answer is not None:
                    return answer
            # Without the dot of the root (RFC 1034 3.1) it is known by its address.
            return Verdict(ANNOTATE, recipient=recipient[:-1]) if recipient.endswith(b".") else None
        if isinstance(found, Elsewhere):
            elsewhere = found
            if elsewhere.is_listed or (elsewhere.is_relayed and not _routes_on(recipient)):
                return None
            return None if session.is_trusted or session.account else _no_relaying(recipient)
        if isinstance(found, Becomes):
            return Verdict(ANNOTATE, recipient=found.addresses[0])
        if isinstance(found, NotKnownNow):
            return Verdict(DEFER, _about(found.reply, recipient.rstrip(b".")))
        assert isinstance(found, Unknown)
        return reject(_about(found.reply, recipient.rstrip(b".")))

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
            found = self._directory.known(recipient)
            if not isinstance(found, AtAccount):
                return None
            accounts.append(found.account)
        return self._mailboxes.judge(accounts, session.octets)


async def _either(asked: Awaitable[Verdict | None], otherwise: Verdict) -> Verdict:
    return await asked or otherwise


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


def _header_section(content: list[bytes]) -> bytes:
    """The header section, which the session keeps whole in the first piece."""
    first = content[0] if content else b""
    if first.startswith(b"\r\n"):
        return b""
    end = first.find(b"\r\n\r\n")
    return first if end < 0 else first[: end + 2]


def _routes_on(recipient: bytes) -> bool:
    """Whether some servers would route it on: a quoted ``"user@elsewhere"``, the %-hack, bang paths."""
    ats = 0
    for octet in recipient:
        if octet in {0x25, 0x21}:
            return True
        ats += octet == 0x40
    return ats > 1


def _no_relaying(recipient: bytes) -> Verdict:
    return reject(_about(RELAYING_DENIED, recipient.rstrip(b".")))


def _about(reply: Reply, recipient: bytes) -> Reply:
    """``reply`` naming the address that it is about."""
    return reply._replace(text=f"{reply.text}: <{recipient.decode(errors='backslashreplace')}>")
