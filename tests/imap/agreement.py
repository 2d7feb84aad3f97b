"""Fails when tokeniser and twin differ, or when a session does not bear what it is told; for hypothesis, the corpus and
the fuzz target."""

from __future__ import annotations

from relay.imap._tokens import Tokens
from relay.imap.completion import Bad
from tests.imap import twin_tokens
from tests.imap.stand import Peer, World

PAIRS = {
    "atom": lambda octets: twin_tokens.longest("atom", octets),
    "flag": lambda octets: twin_tokens.longest("flag", octets),
    "literal": twin_tokens.literal,
    "sequence_set": twin_tokens.sequence_set,
}


def taken(octets: bytes, name: str, *, utf8: bool = False):
    tokens = Tokens(octets, utf8=utf8)
    try:
        return getattr(tokens, name)(), tokens.at
    except Bad:
        return None


def tokens(octets: bytes) -> None:
    """Every token at the beginning of ``octets``."""
    for name, twin in PAIRS.items():
        assert taken(octets, name) == twin(octets), name
    for utf8 in (False, True):
        assert taken(octets, "quoted", utf8=utf8) == twin_tokens.quoted(octets, utf8=utf8)


def session(octets: bytes) -> None:
    """A session says the same however its input is cut, never fails, and leaves nothing behind."""
    assert said(octets, len(octets)) == said(octets, 7)


def said(octets: bytes, cut: int) -> bytes:
    world = World(append_limit=10_000)
    peer = Peer(world.session())
    peer.login()
    appending = world.store("anna@local.test").begin_append("INBOX")
    appending.add(["\\Seen"])
    appending.write(b"Subject: one\r\nFrom: a@b.c\r\n\r\ntext\r\n")
    appending.commit()
    out = [peer.send(b"s SELECT INBOX\r\n")]
    for at in range(0, len(octets), max(cut, 1)):
        if peer.session.is_over or peer.session.wants_tls:
            break
        out.append(peer.send(octets[at : at + cut]))
    peer.close()
    assert not world.disk().watches
    return b"".join(out)
