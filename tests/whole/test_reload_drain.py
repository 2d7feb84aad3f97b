"""Reload and drain under load: no refused connection, no lost message, exit code 0 (DESIGN section 2)."""

from __future__ import annotations

import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port, wait_for
from tests.support.sink import SILENT, Sink
from tests.support.source import Source, name_of


def test_reloads_under_load_lose_and_refuse_nothing(tmp_path: Path) -> None:
    with Sink() as sink, Appliance(tmp_path, sink.port) as relay:
        source = Source(relay.smtp_port, sessions=8, messages=10**9, size=1000)
        source.start()
        for generation in range(2, 6):
            relay.write_config(smtp_workers=1 + generation % 2)
            assert relay.process is not None
            relay.process.send_signal(signal.SIGHUP)
            wait_for(partial(relay.serves, generation), 20, lambda: f"a new generation\n{relay.tail()}")
        source.stop.set()
        source.join(30)
        assert len(source.acknowledged) > 50
        assert {line[:9] for line in source.refused} <= {"421 4.3.2"}, set(source.refused)
        wait_for(
            lambda: source.acknowledged <= {name_of(message.content) for message in sink.messages},
            30,
            lambda: f"missing\n{relay.tail()}",
        )
        names = [name_of(message.content) for message in sink.messages]
        assert len(names) == len(set(names)), "none twice"
        assert relay.terminate() == 0


IMAP = """
[[listener]]
name = "imap"
kind = "imap"
address = "127.0.0.1"
port = {port}
tls = "none"
plaintext_login = true
"""


TALKS: list[Talk] = []


@pytest.fixture(autouse=True)
def _close_talks() -> Iterator[None]:
    yield
    while TALKS:
        talk = TALKS.pop()
        talk.file.close()
        talk.peer.close()


class Talk:
    """A client of one line after the other."""

    def __init__(self, port: int) -> None:
        self.peer = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.peer.makefile("rb")
        TALKS.append(self)

    def line(self) -> str:
        return self.file.readline().decode().rstrip("\r\n")

    def say(self, text: str, last: str) -> str:
        """The first line of the reply that begins with ``last``."""
        self.peer.sendall(f"{text}\r\n".encode())
        while not (line := self.line()).startswith(last):
            assert line, f"the server has closed, behind {text}"
        return line


def smtp(port: int) -> Talk:
    talk = Talk(port)
    assert talk.line().startswith("220 ")
    talk.say("EHLO a.test", "250 ")
    return talk


def reload(relay: Appliance, generation: int) -> None:
    assert relay.process is not None
    relay.process.send_signal(signal.SIGHUP)
    wait_for(partial(relay.serves, generation), 20, lambda: f"a new generation\n{relay.tail()}")


def test_sessions_that_were_there_are_served_on_after_a_reload(tmp_path: Path) -> None:
    """Idle, in a transaction, in a content, and in IDLE of IMAP."""
    port = free_port()
    with Sink() as sink:
        relay = Appliance(tmp_path, sink.port, more=IMAP.format(port=port))
        relay.add_account("anna@local.test")
        with relay:
            idle, inside, content = (smtp(relay.smtp_port) for _ in range(3))
            for talk in (inside, content):
                talk.say("MAIL FROM:<a@b.test>", "250 ")
                talk.say("RCPT TO:<anna@local.test>", "250 ")
            content.say("DATA", "354 ")
            reader = Talk(port)
            assert reader.line().startswith("* OK")
            reader.say('a LOGIN anna@local.test "correct horse battery"', "a OK")
            reader.say("b SELECT INBOX", "b OK")
            reader.say("c IDLE", "+ ")
            old = [pid for pid, name in relay.workers().items() if "smtp" in name or "mailbox" in name]
            reload(relay, 2)
            assert content.say("Subject: one\r\n\r\n.", "250 2.0.0")
            inside.say("DATA", "354 ")
            assert inside.say("Subject: two\r\n\r\n.", "250 2.0.0")
            for name in ("three", "four"):
                idle.say("MAIL FROM:<a@b.test>", "250 ")
                idle.say("RCPT TO:<anna@local.test>", "250 ")
                idle.say("DATA", "354 ")
                assert idle.say(f"Subject: {name}\r\n\r\n.", "250 2.0.0")
            folder = relay.data / "mail/local.test/anna"  # the session at it may move them from new to cur
            wait_for(lambda: len([*folder.glob("[nc]*[wr]/*")]) == 4, 20, lambda: f"delivered\n{relay.tail()}")
            reader.say("DONE", "c OK")
            assert reader.say("d STATUS INBOX (MESSAGES)", "* STATUS").endswith(" (MESSAGES 4)")
            assert smtp(relay.smtp_port).say("QUIT", "221 ")
            for talk in (idle, inside, content):
                talk.say("QUIT", "221 ")
            reader.say("e LOGOUT", "e OK")
            wait_for(lambda: not set(old) & set(relay.workers()), 20, "the old processes gone with their sessions")
            assert relay.terminate() == 0


def test_a_session_is_told_to_come_again_when_its_time_after_a_reload_is_over(tmp_path: Path) -> None:
    with Sink() as sink, Appliance(tmp_path, sink.port) as relay:
        relay.write_config(top='reload_timeout = "2s"')
        relay.config.write_text(relay.config.read_text().replace('drain_timeout = "10s"', 'drain_timeout = "2s"'))
        reload(relay, 2)
        talk = smtp(relay.smtp_port)
        reload(relay, 3)
        talk.say("NOOP", "250 ")
        assert talk.line().startswith("421 4.3.2 ")
        assert talk.line() == ""


def test_a_stop_tells_them_at_once_also_after_a_reload(tmp_path: Path) -> None:
    with Sink() as sink, Appliance(tmp_path, sink.port, top='reload_timeout = "1h"') as relay:
        talk = smtp(relay.smtp_port)
        reload(relay, 2)
        talk.say("NOOP", "250 ")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGTERM)
        assert talk.line().startswith("421 4.3.2 ")
        assert relay.process.wait(20) == 0


def test_a_bad_configuration_never_replaces_a_good_one(tmp_path: Path) -> None:
    """I6."""
    with Sink() as sink, Appliance(tmp_path, sink.port, expects=("reload refused",)) as relay:
        relay.write_config(more='[smtp]\nmax_recipient = 3\nlarge_content = "7 parsecs"')
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        wait_for(lambda: relay.metrics()['relay_supervisor_reloads_total{result="refused"}'] == 1, 10, "refused")
        text = relay.tail()
        for part in ("max_recipient", "7 parsecs"):
            assert part in text, text
        source = Source(relay.smtp_port, sessions=1, messages=5)
        source.start()
        source.join(20)
        assert relay.metrics()["relay_supervisor_generation"] == 1


def test_sigterm_under_load_drains_and_exits_0(tmp_path: Path) -> None:
    with Sink() as sink, Appliance(tmp_path, sink.port) as relay:
        source = Source(relay.smtp_port, sessions=8, messages=10**9, size=1000)
        source.start()
        wait_for(lambda: len(source.acknowledged) > 100, 20, "some load")
        assert relay.terminate() == 0
        source.stop.set()
        source.join(30)
        known = set(source.acknowledged)
        relay.start()
        wait_for(lambda: known <= {name_of(message.content) for message in sink.messages}, 30, "all at the sink")
        names = [name_of(message.content) for message in sink.messages]
        assert len(names) == len(set(names)), "none twice"


def test_readiness_is_red_while_the_appliance_drains(tmp_path: Path) -> None:
    """DESIGN section 2: a load balancer must see it; the admin worker is the last to go."""
    with (
        Sink() as sink,
        Appliance(tmp_path, sink.port) as relay,
        socket.create_connection(("127.0.0.1", relay.smtp_port), timeout=10) as peer,
    ):
        assert peer.recv(1000).startswith(b"220 ")
        peer.sendall(b"EHLO a.test\r\n")
        wait_for(lambda: b"250 " in peer.recv(4096), 10, "the reply to EHLO")
        peer.sendall(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<b@relay.test>\r\nDATA\r\n")
        wait_for(lambda: b"354" in peer.recv(4096), 10, "a transaction that is under way")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGTERM)
        codes: set[str] = set()

        def is_red() -> bool:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{relay.admin_port}/readyz", timeout=2).close()
            except urllib.error.HTTPError as answer:
                codes.update(reason["code"] for reason in json.loads(answer.read())["reasons"])
            return "draining" in codes

        wait_for(is_red, 5, lambda: f"draining among {codes}")
        peer.sendall(b"Subject: last\r\n\r\n.\r\n")
        answer = peer.recv(4096)
        assert answer.startswith(b"250 2.0.0 "), answer
        assert relay.process.wait(15) == 0


@pytest.mark.parametrize(("stage", "code"), [("mail", 0), ("data", 0), ("content", 6)])
def test_a_drain_waits_for_a_silent_next_hop_only_where_it_may_have_the_message(
    tmp_path: Path, stage: str, code: int
) -> None:
    """RFC 5321 4.1.1.4: a content without its end of data is not accepted, so what is taken back is not doubled."""
    silent, stuck = threading.Event(), threading.Event()
    silent.set()

    def answer(at: str, _argument: str) -> str | None:
        if at == stage and silent.is_set():
            stuck.set()
            return SILENT
        return None

    # Without PIPELINING: what is behind a command without an answer is not sent.
    with Sink(("8BITMIME",), answer=answer) as sink, Appliance(tmp_path, sink.port) as relay:
        relay.send("someone@relay.test")
        wait_for(stuck.is_set, 20, "an attempt under way")
        assert relay.terminate() == code
        silent.clear()
        if code == 0:
            assert [entry["attempts"] for entry in relay.queue()] == [0], "no attempt is counted"
            relay.start()
            wait_for(lambda: len(sink.messages) == 1, 30, "delivered after the restart")
            wait_for(lambda: not relay.queue(), 10, "an empty queue")
