"""Every dialog script: turn by turn, and however a turn is cut."""

import pytest

from tests.imap.scripts import Script, load_all, matches
from tests.imap.stand import Peer, World

SCRIPTS = load_all()
every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)


def message(number: int) -> bytes:
    return (
        f"From: Anna <anna@local.test>\r\nTo: bob@local.test\r\nSubject: number {number}\r\n"
        f"Date: Mon, {number:02d} Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@local.test>\r\n\r\nText {number}\r\n"
    ).encode()


class Players:
    """The sessions of one script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.world = World(script.words.get("append_limit", 100_000))
        self.world.disk().octets_limit = script.words.get("quota", 0)
        self.peers: dict[int, Peer] = {}
        if count := script.words.get("messages"):
            appending = self.world.store("anna@local.test").begin_append("INBOX")
            for number in range(1, count + 1):
                appending.add()
                appending.write(message(number))
            appending.commit()

    def peer(self, number: int) -> Peer:
        if number not in self.peers:
            words = self.script.words
            peer = Peer(self.world.session(allows_plaintext="in_the_clear" not in words, offers_tls="tls" in words))
            self.peers[number] = peer
            if "out" not in words:
                peer.login()
        return self.peers[number]

    def close(self) -> None:
        for peer in self.peers.values():
            peer.close()


def play(script: Script, cuts) -> None:
    players = Players(script)
    for turn in script.turns:
        is_new = turn.session not in players.peers
        peer = players.peer(turn.session)
        said = peer.greeting if is_new and "out" in script.words else b""
        at = 0
        for cut in [*cuts(len(turn.octets)), len(turn.octets)]:
            said += peer.send(turn.octets[at:cut])
            at = cut
        if not turn.octets:
            said += peer.flush()
        lines = said.decode("utf-8", "backslashreplace").split("\r\n")
        assert lines.pop() == ""
        assert matches(lines, turn.said), f"{turn.octets!r} brought\n" + "\n".join(lines)
    assert players.peer(1).session.is_over == script.is_closed
    players.close()
    assert not players.world.disk().watches


@every_script
def test_each_turn_brings_its_responses(script: Script) -> None:
    play(script, lambda size: [])


@every_script
def test_one_octet_at_a_time_brings_the_same(script: Script) -> None:
    play(script, lambda size: range(1, size))


@every_script
@pytest.mark.parametrize("part", range(1, 8))
def test_cut_in_two_brings_the_same(script: Script, part: int) -> None:
    play(script, lambda size: [size * part // 8] if size > 1 else [])
