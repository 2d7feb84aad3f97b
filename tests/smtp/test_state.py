"""The table of a session's states: every cell of it is shown, and nothing from outside leads beyond it."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.smtp._state import EVENT_NAMES, STATE_NAMES, TRANSITIONS, TransitionError, after
from tests.smtp.stand import FakeStream, Peer, Stand
from tests.smtp.test_policy_answers import Scripted, pending

ENVELOPE = ("EHLO client.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>")


def asking(stage: str, **settings: Any) -> Stand:
    return Stand(policy=Scripted(stage, pending()), early_talk="everybody", **settings)


def lines(stand: Stand, *lines: str) -> Peer:
    peer = stand.connect()
    for line in lines:
        peer.say(line)
    return peer


def over() -> Peer:
    return lines(Stand(), "QUIT")


def gone() -> Peer:
    peer = lines(Stand(), *ENVELOPE)
    peer.session.lost()
    return peer


def login() -> Peer:
    return lines(Stand(kind="submission", plaintext_login=True), "EHLO client.example", "AUTH LOGIN")


MADE: dict[str, Callable[[], Peer]] = {
    "connected": lambda: lines(asking("connect", banner_delay=5.0)),
    "greeting": lambda: lines(Stand(banner_delay=5.0)),
    "command": lambda: lines(Stand(tls=True)),
    "recipients": lambda: lines(asking("rcpt"), *ENVELOPE),
    "asking": lambda: lines(asking("mail"), *ENVELOPE[:2]),
    "login": login,
    "content": lambda: lines(Stand(), *ENVELOPE, "DATA"),
    "chunk": lambda: lines(Stand(), *ENVELOPE, "BDAT 5"),
    "handshake": lambda: lines(Stand(tls=True), "EHLO client.example", "STARTTLS"),
    "over": over,
    "gone": gone,
}
"""A session in each state."""


def saying(*lines: str) -> Callable[[Peer], object]:
    return lambda peer: peer.say(*lines)


def answered(peer: Peer) -> None:
    peer.session.answered(None)


CELLS: dict[tuple[str, str], tuple[Callable[[], Peer], Callable[[Peer], object]]] = {
    ("connected", "tls_begins"): (lambda: lines(Stand(tls=True, is_implicit=True)), lambda peer: None),
    ("connected", "admitted"): (MADE["connected"], answered),
    ("greeting", "greeted"): (MADE["greeting"], lambda peer: peer.stand.pass_time(6)),
    ("command", "tls_begins"): (lambda: lines(Stand(tls=True), "EHLO client.example"), saying("STARTTLS")),
    ("command", "asked"): (lambda: lines(asking("mail"), ENVELOPE[0]), saying(ENVELOPE[1])),
    ("command", "rcpt_asked"): (lambda: lines(asking("rcpt"), *ENVELOPE[:2]), saying(ENVELOPE[2])),
    ("command", "challenged"): (
        lambda: lines(Stand(kind="submission", plaintext_login=True), "EHLO client.example"),
        saying("AUTH LOGIN"),
    ),
    ("command", "data_begins"): (lambda: lines(Stand(), *ENVELOPE), saying("DATA")),
    ("command", "chunk_begins"): (lambda: lines(Stand(), *ENVELOPE), saying("BDAT 5")),
    ("recipients", "rcpt_asked"): (MADE["recipients"], saying("RCPT TO:<bert@local.test>")),
    ("recipients", "answered"): (MADE["recipients"], answered),
    ("asking", "answered"): (MADE["asking"], answered),
    ("login", "responded"): (MADE["login"], saying("*")),
    ("content", "data_ends"): (MADE["content"], saying(".")),
    ("chunk", "data_ends"): (MADE["chunk"], lambda peer: peer.send(b"12345")),
    ("handshake", "tls_first"): (
        lambda: lines(asking("connect", tls=True, is_implicit=True)),
        lambda peer: peer.session.secured(FakeStream),
    ),
    ("handshake", "tls_done"): (MADE["handshake"], lambda peer: peer.session.secured(FakeStream)),
    ("over", "lost"): (MADE["over"], lambda peer: peer.session.lost()),
}
for each in STATE_NAMES[:9]:
    CELLS[each, "ended"] = (MADE[each], lambda peer: peer.session.fail(RuntimeError("a fault of ours")))

POSSIBLE = [(state, event) for state, row in TRANSITIONS.items() for event in row]
IMPOSSIBLE = [(state, event) for state in STATE_NAMES for event in EVENT_NAMES if event not in TRANSITIONS[state]]


@pytest.mark.parametrize("cell", POSSIBLE, ids="-".join)
def test_each_cell_of_the_table_happens(cell: tuple[str, str]) -> None:
    state, event = cell
    make, act = CELLS[cell]
    peer = make()
    if cell != ("connected", "tls_begins"):  # that happens inside open()
        assert peer.session.state_name == state
    act(peer)
    assert peer.session.state_name == TRANSITIONS[state][event] == after(state, event)


def test_all_cells_are_shown() -> None:
    assert set(CELLS) == set(POSSIBLE)
    assert len(POSSIBLE) + len(IMPOSSIBLE) == len(STATE_NAMES) * len(EVENT_NAMES)


@pytest.mark.parametrize("state", STATE_NAMES)
def test_what_the_table_does_not_have_is_rejected(state: str) -> None:
    for event in set(EVENT_NAMES) - set(TRANSITIONS[state]):
        with pytest.raises(TransitionError, match=f"{event} in state {state}"):
            after(state, event)


VERBS = (
    "EHLO again.example", "HELO again.example", "LHLO a.example", "MAIL FROM:<c@d.example>",
    "RCPT TO:<bert@local.test>",
    "RCPT TO:<", "DATA", "BDAT 5", "BDAT 0 LAST", "BDAT x", "RSET", "NOOP", "VRFY a", "EXPN a", "HELP", "QUIT",
    "STARTTLS",
    "AUTH LOGIN", "*", "XYZZY", ".", "GET / HTTP/1.1", "x" * 20_000,
)  # fmt: skip
INPUTS: dict[str, Callable[[Peer], object]] = {
    **{verb[:20]: saying(verb) for verb in VERBS},
    "half a line": lambda peer: peer.send(b"NO"),
    "TLS": lambda peer: peer.send(b"\x16\x03\x01"),
    "timer": lambda peer: peer.stand.pass_time(400),
    "long timer": lambda peer: peer.stand.pass_time(100_000),
    "drain": lambda peer: peer.stand.context.drain(lambda: None),
    "lost": lambda peer: peer.session.lost(),
    "abort": lambda peer: peer.session.abort(),
    "fault": lambda peer: peer.session.fail(RuntimeError("x")),
    "answered": answered,
    "answer fails": lambda peer: peer.session.answered(TimeoutError("x")),
    "told": lambda peer: peer.session.spool_answered(),
    "file drained": lambda peer: peer.session.file_drained(),
    "insecure": lambda peer: peer.session.insecure("closed", "x"),
}


def reachable(state: str) -> set[str]:
    found, new = {state}, [state]
    while new:
        new = [each for each in TRANSITIONS[new.pop()].values() if each not in found] + new
        found.update(new)
    return found


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("state", STATE_NAMES)
def test_every_input_in_every_state_stays_within_the_table(state: str, name: str) -> None:
    peer = MADE[state]()
    assert peer.session.state_name == state
    INPUTS[name](peer)
    assert peer.session.state_name in reachable(state)
    faults = [fields["cause"] for _, event, fields in peer.stand.log.events if event == "session failed"]
    assert all("Impossible" not in cause for cause in faults)
    peer.session.lost()
    assert peer.session.state_name == "gone"
    assert peer.stand.context.open_sessions == 0
    assert peer.stand.context.buffered == 0
    assert len(peer.stand.wheel) == 0
