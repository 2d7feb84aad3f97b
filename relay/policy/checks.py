"""The checks that are always there: who may send where, as whom, and whether there is room; from tables in memory.

Theory: a recipient is taken in when the directory (relay/directory) knows it here, when its domain is one we relay for,
or when the client may send anywhere; all else is refused with 550 5.7.1 (RFC 5321 3.6.2, 7.9). What is decided from
tables in memory never waits; only where the directory has to ask, the answer is awaitable. ``relaying`` is asked for
each message, so this is compiled (checks.pxd); it behaves identically uncompiled.

Invariants:
    - a recipient at a domain that is none of ours is never accepted from a client that is neither trusted nor
      authenticated, however its local part is written;
    - source routes have been dropped by the parser (RFC 5321 3.6.1, appendix C), and a local part that could make
      the next hop route further (``a%b``, ``b!a``, ``"a@b"``) is not relayed for strangers.

Not here: limits on connections and errors (the session's), which listener has which checks (assembly.py), reputation,
SPF, greylisting.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, Protocol

from relay.directory.directory import Directory
from relay.directory.resolution import AtAccount, Becomes, Elsewhere, NotKnownNow, Resolution, Unknown
from relay.mail.reply import RELAYING_DENIED, Reply
from relay.policy.authors import responsible
from relay.policy.content import Content
from relay.policy.edits import Add
from relay.policy.facts import Fact
from relay.policy.senders import ANY, foreign_author, is_own
from relay.policy.verdict import ANNOTATE, DEFER, Answer, Verdict, View, reject

TRUSTED_NETWORK: Final = Fact[str]("trusted_network", str)
"""The entry of ``trusted_networks`` that the client's address is in."""
NOT_YOUR_ADDRESS: Final = Reply(550, "5.7.1", "Your account may not send as this address")
NOT_YOUR_FROM: Final = Reply(550, "5.7.1", "Your account may not write as this author")
NO_AUTHOR: Final = Reply(554, "5.6.0", "The message names no author: a From field is needed (RFC 5322 3.6)")
LOGIN_NEEDED: Final = reject(Reply(530, "5.7.0", "Authentication required to submit mail here"), "auth_required")
SENDER_REJECTED: Final = "sender_rejected"

_KNOWN_CLIENTS: Final = 1024
"""Addresses of clients about which it is remembered whether they are trusted: parsing one costs 5 us."""


class Trusted:
    """connect: clients in the trusted networks may send to anyone."""

    def __init__(self, networks: Iterable[str]) -> None:
        parsed = [(network, ipaddress.ip_network(network, strict=False)) for network in networks]
        self._ranges = {
            version: tuple(
                (int(each.network_address), int(each.broadcast_address), network)
                for network, each in parsed
                if each.version == version
            )
            for version in (4, 6)
        }
        self._known: dict[str, str] = {}

    def connect(self, view: View, _about: None) -> Answer:
        """Calls them trusted."""
        network = self.network_of(view.client_address)
        if not network:
            return None
        view.facts.put(TRUSTED_NETWORK, network)
        return Verdict(ANNOTATE, is_trusted=True)

    def network_of(self, address: str) -> str:
        """The network that ``address`` is in, or empty; an IPv4 address mapped into IPv6 counts as IPv4."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _KNOWN_CLIENTS:
                self._known.clear()
            known = self._known[address] = self._look(address)
        return known

    def _look(self, address: str) -> str:
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return ""
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        number = int(parsed)
        return next((network for first, last, network in self._ranges[parsed.version] if first <= number <= last), "")


def login(view: View, _reverse_path: bytes) -> Answer:
    """mail: refuses strangers on a submission listener (RFC 6409 4.3)."""
    return None if view.account or view.is_trusted else LOGIN_NEEDED


class Senders:
    """mail and content, on a submission listener: accounts write as themselves, by ``auth.senders``."""

    def __init__(self, senders: str, delimiter: str) -> None:
        self._senders = senders
        self._delimiter = delimiter
        self._is_strict = senders != ANY

    def mail(self, view: View, reverse_path: bytes) -> Answer:
        """Refuses the reverse-path of somebody else."""
        if not view.account or not self._is_strict or not reverse_path:
            return None
        if is_own(reverse_path, view.account, self._delimiter):
            return None
        return reject(_about(NOT_YOUR_ADDRESS, reverse_path), SENDER_REJECTED)

    def content(self, view: View, content: Content) -> Answer:
        """Refuses somebody else as author, and gives a message without From that of its sender (RFC 6409 8.1)."""
        fields = responsible(content.header)
        if view.account and self._is_strict:
            author = foreign_author(fields, view.account, self._delimiter, self._senders)
            if author:
                return reject(NOT_YOUR_FROM._replace(text=f"{NOT_YOUR_FROM.text}: {author}"), SENDER_REJECTED)
        if fields.has_from:
            return None
        sender = view.reverse_path.removesuffix(b".") or view.account.encode()
        if fields.is_resent or not sender or not sender.isascii():
            return reject(NO_AUTHOR)
        return Verdict(ANNOTATE, edits=(Add(b"From: <%b>\r\n" % sender),), why="no From: the sender's is added")


class Relaying:
    """rcpt: who may send where."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def rcpt(self, view: View, recipient: bytes) -> Answer:
        """Judges one recipient, ``local@domain`` with the domain in lower case, or ``postmaster`` alone."""
        found = self._directory.resolve(recipient)
        if isinstance(found, Resolution):
            return self._judge(view, recipient, found)
        return self._judge_late(view, recipient, found)

    async def _judge_late(self, view: View, recipient: bytes, found: Awaitable[Resolution]) -> Verdict | None:
        return self._judge(view, recipient, await found)

    def _judge(self, view: View, recipient: bytes, found: Resolution) -> Verdict | None:
        if isinstance(found, AtAccount):
            # Without the dot of the root (RFC 1034 3.1) it is known by its address.
            return Verdict(ANNOTATE, instead=(recipient[:-1],)) if recipient.endswith(b".") else None
        if isinstance(found, Elsewhere):
            elsewhere = found
            if elsewhere.is_listed or (elsewhere.is_relayed and not _routes_on(recipient)):
                return None
            return None if view.is_trusted or view.account else _no_relaying(recipient)
        if isinstance(found, Becomes):
            return Verdict(ANNOTATE, instead=tuple(found.addresses))
        if isinstance(found, NotKnownNow):
            return Verdict(DEFER, _about(found.reply, recipient.rstrip(b".")), "internal")
        assert isinstance(found, Unknown)
        return reject(_about(found.reply, recipient.rstrip(b".")), "unknown_recipient")


class Mailboxes(Protocol):
    """What is known of the room in mailboxes (fullness.py)."""

    def judge(self, accounts: Sequence[bytes], octets: int) -> Answer:
        """Refuses a message of so many octets (0: nobody has said) when none of the accounts has room for it."""


class Room:
    """rcpt and content: mailboxes that are full get no mail."""

    def __init__(self, directory: Directory, mailboxes: Mailboxes) -> None:
        self._directory = directory
        self._mailboxes = mailboxes

    def rcpt(self, view: View, recipient: bytes) -> Answer:
        """Refuses a recipient without room for what was announced."""
        found = self._directory.resolve(recipient)
        if isinstance(found, Resolution):
            return self._mailboxes.judge((found.account,), view.octets) if isinstance(found, AtAccount) else None
        return self._judge_late(found, view.octets)

    async def _judge_late(self, asked: Awaitable[Resolution], octets: int) -> Verdict | None:
        found = await asked
        answer = self._mailboxes.judge((found.account,), octets) if isinstance(found, AtAccount) else None
        return answer if answer is None or isinstance(answer, Verdict) else await answer

    def content(self, view: View, content: Content) -> Answer:
        """The content is there and its size known: it is refused when nobody of all whom it is for has room for it.
        Where others have, those without get a bounce."""
        accounts = []
        for recipient in view.recipients:
            found = self._directory.known(recipient)
            if not isinstance(found, AtAccount):
                return None
            accounts.append(found.account)
        return self._mailboxes.judge(accounts, view.octets) if accounts else None


def _routes_on(recipient: bytes) -> bool:
    """Whether some servers would route it on: a quoted ``"user@elsewhere"``, the %-hack, bang paths."""
    ats = 0
    for octet in recipient:
        if octet in {0x25, 0x21}:
            return True
        ats += octet == 0x40
    return ats > 1


def _no_relaying(recipient: bytes) -> Verdict:
    return reject(_about(RELAYING_DENIED, recipient.rstrip(b".")), "relay_denied")


def _about(reply: Reply, recipient: bytes) -> Reply:
    """``reply`` naming the address that it is about."""
    return reply._replace(text=f"{reply.text}: <{recipient.decode(errors='backslashreplace')}>")
