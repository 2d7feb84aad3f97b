"""Every dialog script of tests/pop3/dialogs (their form: tests/imap/dialogs/README), however it is cut."""

from pathlib import Path

import pytest

from tests.imap.scripts import Script, load, matches
from tests.pop3.stand import World

SCRIPTS = [load(path) for path in sorted((Path(__file__).parent / "dialogs").glob("*.txt"))]
every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)


def message(number: int) -> bytes:
    return f"Subject: number {number}\r\nTo: anna@local.test\r\n\r\nText {number}\r\n.dot\r\n..\r\nlast\r\n".encode()


def play(script: Script, cuts) -> None:
    world = World()
    if count := script.words.get("messages"):
        world.fill(*(message(number) for number in range(1, count + 1)))
    peer = world.connect(allows_plaintext="in_the_clear" not in script.words, offers_tls="tls" in script.words)
    said = peer.greeting
    if "in" in script.words:
        peer.login()
        said = b""
    for turn in script.turns:
        at = 0
        for cut in [*cuts(len(turn.octets)), len(turn.octets)]:
            said += peer.send(turn.octets[at:cut])
            at = cut
        lines = said.decode().split("\r\n")[:-1]
        assert matches(lines, turn.said), f"{turn.octets!r} brought\n" + "\n".join(lines)
        said = b""
    assert peer.session.is_over == script.is_closed
    peer.drop()


@every_script
def test_each_turn_brings_its_answers(script: Script) -> None:
    play(script, lambda size: [])


@every_script
def test_one_octet_at_a_time_brings_the_same(script: Script) -> None:
    play(script, lambda size: range(1, size))


@every_script
@pytest.mark.parametrize("part", range(1, 8))
def test_cut_in_two_brings_the_same(script: Script, part: int) -> None:
    play(script, lambda size: [size * part // 8] if size > 1 else [])
