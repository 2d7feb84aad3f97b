"""The works of the mailbox scenario: what is asked, and how each answer is checked.

A work does ``rounds`` of something over connections that were opened before the clock runs, and says how many
operations that were. Whatever is not as it must be raises AnswerError: a server that refuses quickly is not fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from benchmarks import maildirs
from benchmarks.peer import TIMEOUT, Answer, AnswerError, Peer
from benchmarks.servers.base import DOMAIN
from benchmarks.servers.mailboxes import ARCHIVIST, DOWNLOADER, PASSWORD, READER, MailboxServer, recipients

AT_ONCE: Final = 8
"""Sessions that log in, or append, at the same time."""
IN_ONE_GO: Final = 100
"""Messages that the POP3 client asks for before it waits."""
PER_ADDRESS: Final = 100
"""Idle sessions from one loopback address."""
APPENDED: Final = "Appended"
SMALL: Final = maildirs.message(1).replace(b"\n", b"\r\n")[:4000].rpartition(b"\r\n")[0] + b"\r\n"
"""What is appended and delivered: some 4 KiB."""


class Size(NamedTuple):
    """How much there is."""

    messages: int
    """In the reader's INBOX."""
    archive: int
    """In the archivist's INBOX."""
    download: int
    """In the INBOX that POP3 fetches."""
    idle_messages: int
    """In each INBOX of the idle ones."""
    sessions: int
    octets: int = 0
    """Of all messages in the reader's INBOX, with CRLF."""
    download_octets: int = 0


class Done(NamedTuple):
    """What a work has done."""

    operations: int
    octets: int = 0


Peers = Sequence[Peer]
Do = Callable[[MailboxServer, Peers, int], Awaitable[Done]]


class Work(NamedTuple):
    """``do`` gets the peers of ``opened`` and how many rounds it is to do."""

    name: str
    opened: Callable[[MailboxServer], AbstractAsyncContextManager[Peers]]
    do: Do


def works(size: Size) -> list[Work]:
    """All of them but the idle sessions."""
    number = f"{size.messages:,}"
    headers = b"FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID)])"
    envelopes = b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
    return [
        Work("logins", known, logins),
        Work(f"SELECT of {number}", reader, partial(select, size.messages)),
        Work(f"SELECT of {size.archive:,}", archivist, partial(select, size.archive)),
        Work(f"FETCH of header fields of {number}", reading, partial(fetch, size, headers, 300)),
        Work(f"FETCH of envelopes and structures of {number}", reading, partial(fetch, size, envelopes, 400)),
        Work(f"FETCH of flags of {number}", reading, partial(fetch, size, b"FETCH 1:* (UID FLAGS)", 15)),
        Work(f"FETCH of bodies of {number}", reading, partial(bodies, size)),
        Work(f"SEARCH BODY in {number}", reading, partial(search, size)),
        Work(f"APPEND, {AT_ONCE} sessions, 4 KiB, durable", appending, append),
        Work(f"deliveries, {len(recipients())} sessions and mailboxes, 4 KiB, durable", delivering, deliver),
        Work(f"POP3 download of {size.download:,}", nobody, partial(download, size)),
    ]


def partial(function: Callable[..., Awaitable[Done]], *given: object) -> Do:
    """The work with what it needs to know."""
    return lambda server, peers, rounds: function(*given, server, peers, rounds)


# ---- who is connected -----------------------------------------------------------------------------------------------


async def together(works: Iterable[Awaitable[None]]) -> None:
    """Does all of them, and only then raises what one of them raised: what is cancelled while it connects
    leaves a socket behind that uvloop waits for when it closes."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if result is not None:
            raise result


async def logged_in(server: MailboxServer, local: str, source: str = "127.0.0.1") -> Peer:
    """An IMAP session of the account."""
    peer = await Peer.connect(server.imap_port, source)
    try:
        await peer.imap(f"LOGIN {local}@{DOMAIN} {PASSWORD}".encode())
    except BaseException:
        peer.close()
        raise
    return peer


@contextlib.asynccontextmanager
async def nobody(_server: MailboxServer) -> AsyncIterator[Peers]:
    yield ()


@contextlib.asynccontextmanager
async def known(server: MailboxServer) -> AsyncIterator[Peers]:
    """Nobody, but the account has logged in before: what is measured is no first login, which is slow on purpose."""
    async with reader(server):
        pass
    yield ()


@contextlib.asynccontextmanager
async def closing(peers: list[Peer]) -> AsyncIterator[Peers]:
    """Ends the connections, whatever happened."""
    try:
        yield peers
    finally:
        for peer in peers:
            peer.close()


@contextlib.asynccontextmanager
async def reader(server: MailboxServer) -> AsyncIterator[Peers]:
    """One session at the big mailbox."""
    async with closing([await logged_in(server, READER)]) as peers:
        yield peers


@contextlib.asynccontextmanager
async def archivist(server: MailboxServer) -> AsyncIterator[Peers]:
    """One session at the huge mailbox."""
    async with closing([await logged_in(server, ARCHIVIST)]) as peers:
        yield peers


@contextlib.asynccontextmanager
async def reading(server: MailboxServer) -> AsyncIterator[Peers]:
    """One session that has it open."""
    async with reader(server) as peers:
        await peers[0].imap(b"SELECT INBOX")
        yield peers


@contextlib.asynccontextmanager
async def appending(server: MailboxServer) -> AsyncIterator[Peers]:
    """Sessions of as many accounts, each with an empty mailbox to append to."""
    async with closing([await logged_in(server, local) for local in recipients()[:AT_ONCE]]) as peers:
        for peer in peers:
            with contextlib.suppress(AnswerError):  # the first time it is not there
                await peer.imap(b"DELETE " + APPENDED.encode())
            await peer.imap(b"CREATE " + APPENDED.encode())
        yield peers


@contextlib.asynccontextmanager
async def delivering(server: MailboxServer) -> AsyncIterator[Peers]:
    """A session for each recipient, past the greeting."""
    async with closing([await Peer.connect(server.port) for _ in recipients()]) as peers:
        for peer in peers:
            await peer.lines(server.greeting, b"250 ", b"\n250 ")
        yield peers


@contextlib.asynccontextmanager
async def idle(server: MailboxServer, count: int) -> AsyncIterator[Peers]:
    """So many sessions that have selected INBOX and are idle, spread over the accounts and over client addresses."""
    locals_ = recipients()

    async def one(number: int) -> None:
        place = number // PER_ADDRESS
        peer = await logged_in(server, locals_[number % len(locals_)], f"127.0.{1 + place // 250}.{1 + place % 250}")
        opened.append(peer)
        await peer.imap(b"SELECT INBOX")
        await peer.lines(b"t IDLE\r\n", b"+ ", b"\n+ ")

    opened: list[Peer] = []
    async with closing(opened):
        for begin in range(0, count, AT_ONCE):
            await together(one(number) for number in range(begin, min(begin + AT_ONCE, count)))
        yield opened


# ---- what they do ---------------------------------------------------------------------------------------------------


async def logins(server: MailboxServer, _peers: Peers, rounds: int) -> Done:
    """Connect, LOGIN, LOGOUT."""

    async def one() -> None:
        for _ in range(rounds):
            peer = await logged_in(server, READER)
            await peer.imap(b"LOGOUT")
            peer.close()

    await together(one() for _ in range(AT_ONCE))
    return Done(AT_ONCE * rounds)


async def select(messages: int, _server: MailboxServer, peers: Peers, rounds: int) -> Done:
    """SELECT, again and again; it must tell of all messages."""
    expected = b"\n* %d EXISTS\r\n" % messages
    for _ in range(rounds):
        check(await peers[0].imap(b"SELECT INBOX", counted=expected), 1)
    return Done(rounds)


async def fetch(size: Size, command: bytes, least: int, _server: MailboxServer, peers: Peers, rounds: int) -> Done:
    """FETCH of something short of all messages; ``least`` octets each. Counts messages."""
    octets = 0
    for _ in range(rounds):
        answer = await peers[0].imap(command, counted=b" FETCH (")
        octets += check(answer, size.messages, size.messages * least)
    return Done(rounds * size.messages, octets)


async def bodies(size: Size, _server: MailboxServer, peers: Peers, rounds: int) -> Done:
    """FETCH of all messages whole. Counts messages."""
    octets = 0
    for _ in range(rounds):
        answer = await peers[0].imap(b"FETCH 1:* (BODY.PEEK[])", counted=b" FETCH (")
        octets += check(answer, size.messages, size.octets)
    return Done(rounds * size.messages, octets)


async def search(size: Size, _server: MailboxServer, peers: Peers, rounds: int) -> Done:
    """SEARCH BODY for a word that is in some of them. Counts messages searched."""
    expected = b" COUNT %d\r\n" % maildirs.needles(size.messages)
    command = f"SEARCH RETURN (COUNT) BODY {maildirs.NEEDLE}".encode()
    for _ in range(rounds):
        check(await peers[0].imap(command, counted=expected), 1)
    return Done(rounds * size.messages, rounds * size.octets)


async def append(_server: MailboxServer, peers: Peers, rounds: int) -> Done:
    """APPEND of one message after the other by each session; afterwards they must all be there."""
    command = f"APPEND {APPENDED} (\\Seen) {{{len(SMALL)}+}}\r\n".encode() + SMALL
    before = [await messages_of(peer) for peer in peers]

    async def one(peer: Peer) -> None:
        for _ in range(rounds):
            await peer.imap(command)

    await together(one(peer) for peer in peers)
    for peer, held in zip(peers, before, strict=True):
        if (now := await messages_of(peer)) != held + rounds:
            raise AnswerError(f"{now - held} messages in the mailbox of {rounds} that were appended")
    return Done(rounds * len(peers), rounds * len(peers) * len(SMALL))


async def messages_of(peer: Peer) -> int:
    """How many messages the mailbox has that is appended to."""
    answer = await peer.ask(f"t STATUS {APPENDED} (MESSAGES)\r\n".encode(), b"\nt OK")
    return int(answer.tail.partition(b"(MESSAGES ")[2].partition(b")")[0])


async def deliver(server: MailboxServer, peers: Peers, rounds: int) -> Done:
    """Messages to one recipient each; they count when they are in the mailboxes, all of them."""
    before = delivered(server)

    async def one(peer: Peer, local: str) -> None:
        envelope = f"MAIL FROM:<sender@example.org>\r\nRCPT TO:<{local}@{DOMAIN}>\r\nDATA\r\n".encode()
        for _ in range(rounds):
            answer = await peer.ask(envelope, b"\n", ends=3)
            if not answer.end.startswith(b"354"):
                raise AnswerError(f"an envelope was answered with {answer.tail[-100:]!r}")
            await peer.lines(SMALL + b".\r\n", b"250")

    await together(one(peer, local) for peer, local in zip(peers, recipients(), strict=True))
    expected = rounds * len(peers)
    until = time.monotonic() + TIMEOUT
    while (found := delivered(server) - before) < expected:
        if time.monotonic() > until:
            raise AnswerError(f"{found} messages in the mailboxes of {expected} that were taken")
        await asyncio.sleep(0.01)
    if found > expected:
        raise AnswerError(f"{found} messages in the mailboxes, but {expected} were sent")
    return Done(expected, expected * len(SMALL))


def delivered(server: MailboxServer) -> int:
    """How many messages are in the INBOXes of the recipients."""
    folders = [server.maildir(local) / part for local in recipients() for part in ("new", "cur")]
    return sum(len(os.listdir(folder)) for folder in folders if folder.is_dir())


async def download(size: Size, server: MailboxServer, _peers: Peers, rounds: int) -> Done:
    """Sessions one after the other that fetch all and remove nothing. Counts messages."""
    octets = 0
    for _ in range(rounds):
        peer = await Peer.connect(server.pop3_port)
        await peer.lines(f"USER {DOWNLOADER}@{DOMAIN}\r\n".encode(), b"+OK")
        await peer.lines(f"PASS {PASSWORD}\r\n".encode(), b"+OK")
        came = 0
        for begin in range(1, size.download + 1, IN_ONE_GO):
            numbers = range(begin, min(begin + IN_ONE_GO, size.download + 1))
            asked = b"".join(b"RETR %d\r\n" % number for number in numbers)
            answer = await peer.ask(asked, b"\n.\r\n", ends=len(numbers), counted=b"+OK ")
            came += check(answer, len(numbers))
        if came < size.download_octets:
            raise AnswerError(f"{came} octets of {size.download_octets}")
        octets += came
        await peer.lines(b"QUIT\r\n", b"+OK")
        peer.close()
    return Done(rounds * size.download, octets)


def check(answer: Answer, found: int, least: int = 0) -> int:
    """The answer's octets. Raises AnswerError when it does not hold what it must."""
    if answer.found != found:
        raise AnswerError(f"{answer.found} times what should be there {found} times, before {answer.end!r}")
    if answer.octets < least:
        raise AnswerError(f"{answer.octets} octets, which cannot be all: at least {least}")
    return answer.octets
