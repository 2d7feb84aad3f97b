"""The mailbox scenario: its client, its Maildirs, and a small real comparison of Relay with Dovecot."""

import asyncio
import mailbox
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from benchmarks import maildirs
from benchmarks.peer import Answer, AnswerError, Peer
from benchmarks.results import Run, medians
from benchmarks.scenarios import mailbox as scenario
from benchmarks.scenarios.mailbox_works import check, works
from benchmarks.scenarios.settings import MAILBOX_SERVERS, Settings
from benchmarks.servers import READERS
from benchmarks.targets import TARGETS
from tests.support.appliance import open_to_all
from tests.support.needs import need
from tests.support.waiting import settled


def talk(said, use):
    """What ``use`` makes of a peer whose server sends ``said``: the greeting, then one list of pieces per line read."""

    async def main():
        async def serve(reader, writer):
            for pieces in said:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                await reader.readline()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            peer = await Peer.connect(server.sockets[0].getsockname()[1])
            try:
                return await use(peer)
            finally:
                peer.close()
                await settled()  # both ends get to know it

    return uvloop.run(main())


def test_what_is_counted_is_found_also_where_it_comes_in_pieces():
    """What ends the answer stands across two reads, too."""
    pieces = [b"* 1 FE", b"TCH (X)\r\n* 2 FETCH (Y)\r", b"\nt", b" OK don", b"e\r\n"]
    answer = talk([[b"* OK hello\r\n"], pieces], lambda peer: peer.imap(b"FETCH 1:2 X", counted=b" FETCH ("))
    assert (answer.found, answer.end, answer.octets) == (2, b"t OK done", sum(map(len, pieces)))


def test_a_refusal_is_not_taken_for_an_answer():
    with pytest.raises(AnswerError, match="NO not today"):
        talk([[b"* OK hello\r\n"], [b"t NO not today\r\n"]], lambda peer: peer.imap(b"NOOP"))


def test_a_work_that_fails_ends_although_it_leaves_a_connection_open():
    """A loop of uvloop would wait for it for ever, out of reach of any time limit: hence the thread."""

    async def work():
        peer = await Peer.connect(listener.getsockname()[1])
        await peer.lines(b"PASS x\r\n", b"+OK")

    def run():
        with pytest.raises(AnswerError, match="no"):
            uvloop.run(scenario.ended(work()))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"+OK hello\r\n")
            assert accepted.recv(100)
            accepted.sendall(b"-ERR no\r\n")
            thread.join(20)
            assert not thread.is_alive()


def test_a_connection_that_is_closed_in_an_answer_is_an_error():
    with pytest.raises(AnswerError, match="closed"):
        talk([[b"* OK hello\r\n"], [b"* 1 EXISTS\r\n"]], lambda peer: peer.ask(b"NOOP\r\n\r\n", b"\nt "))


def test_several_replies_are_waited_for():
    answer = talk(
        [[b"220 x\r\n"], [b"250 a\r\n250 b\r\n", b"354 c\r\n"]], lambda peer: peer.ask(b"M\r\n", b"\n", ends=3)
    )
    assert answer.end == b"354 c"


def test_too_few_messages_and_too_few_octets_are_found_out():
    answer = Answer(100, 9, b"t OK", b"t OK\r\n")
    assert check(answer, 9, 100) == 100
    with pytest.raises(AnswerError, match="9 times"):
        check(answer, 10)
    with pytest.raises(AnswerError, match="at least 101"):
        check(answer, 9, 101)


def test_a_maildir_has_the_messages_and_octets_it_says(tmp_path):
    """Two of them are the same, and the standard library reads them."""
    octets = maildirs.make(tmp_path / "one", 120)
    assert maildirs.make(tmp_path / "two", 120) == octets
    place = mailbox.Maildir(tmp_path / "one", create=False)
    texts = [message.as_bytes() for message in place]
    assert len(texts) == 120
    assert sum(len(text) + text.count(b"\n") for text in texts) == octets
    assert sum(maildirs.NEEDLE.encode() in text for text in texts) == maildirs.needles(120) == 2
    assert {path.name for path in (tmp_path / "two" / "cur").iterdir()} == {
        path.name for path in (tmp_path / "one" / "cur").iterdir()
    }


def test_a_huge_maildir_is_made_of_links(tmp_path):
    octets = maildirs.make(tmp_path / "one", 25, 10)
    texts = [path.read_bytes() for path in sorted((tmp_path / "one" / "cur").iterdir())]
    assert len(texts) == 25
    assert texts[:5] == texts[10:15] == texts[20:]
    assert len(set(texts)) == 10
    assert sum(len(text) + text.count(b"\n") for text in texts) == octets
    assert len({path.stat().st_ino for path in (tmp_path / "one" / "cur").iterdir()}) == 10


def test_every_target_is_of_a_work_that_there_is():
    names = [work.name for work in works(scenario.sizes(10_000))] + [scenario.idle_name(scenario.sizes(10_000))]
    for target in TARGETS:
        if target.scenario == "mailbox":
            assert len([name for name in names if name.startswith(target.work)]) == 1, target.title


@pytest.fixture
def short_path() -> Iterator[Path]:
    """For Dovecot's sockets, whose names may have 107 octets."""
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        yield Path(folder)


def test_relay_and_dovecot_do_every_work_on_the_same_maildirs(short_path):
    """Small, but all of it: each answer is checked, and a note would name what was not as it must be."""
    for name in MAILBOX_SERVERS:
        why = READERS[name].missing()
        need(why is None, f"{name}: {why}")
    open_to_all(short_path)  # Dovecot's mail processes give root up
    run = Run("mailbox", short_path)
    scenario.run(run, Settings(MAILBOX_SERVERS, 1, 0.02, 20))
    assert run.notes == []
    found = medians(run.measurements)
    assert len(found) == len(works(scenario.sizes(20))) + 1
    for work, servers in found.items():
        assert set(servers) == {"relay", "dovecot"}, work
        for values in servers.values():
            assert "idle" in work or values["per_second"] > 0
