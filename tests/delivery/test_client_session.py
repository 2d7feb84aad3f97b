"""The client session on real sockets and uvloop: streaming, back-pressure, timeouts, lost connections, smtp-sink."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
from typing import Any

import pytest

from relay.delivery._client import ClientSession
from relay.delivery._delivery import Delivery
from relay.delivery.chunking import Chunking
from relay.delivery.connect import Connector, ConnectSettings
from relay.delivery.owner import Limits
from relay.mail.envelope import DOTS
from relay.mail.next_hop import NextHop
from relay.mail.outcome import DEFERRED, DELIVERED, FAILED, Outcome
from relay.net.dns import Resolver
from tests.delivery.network import Ground, cutting, serving, turning
from tests.delivery.peer import CUT, STALL, Peer, RecordingOwner, message
from tests.support.waiting import accepts, reached, settled


class Owner(RecordingOwner):
    """A recording owner that quits when it has nothing more, and can be waited for."""

    def __init__(self, deliveries=()):
        super().__init__(deliveries)
        self.is_closed = asyncio.Event()
        self.on_closed = self.is_closed.set

    def take(self, client):
        delivery = super().take(client)
        if delivery is None:
            client.quit()
        return delivery


def connector(ground: Ground, limits: Limits | None = None, **settings) -> Connector:
    shared = ConnectSettings("relay.test", limits or Limits(), **settings)
    resolver = Resolver(servers=[("127.0.0.1", 1)])
    return Connector(shared, resolver, *ground, shuffle=random.shuffle, chunking=Chunking())


async def deliver(port: int, owner: Owner, limits: Limits | None = None) -> ClientSession | Outcome:
    async with turning() as ground:
        client = await connector(ground, limits).open(NextHop("smtp", "127.0.0.1", port), owner)
        if isinstance(client, ClientSession):
            await asyncio.wait_for(owner.is_closed.wait(), 30)
        assert len(ground.wheel) == 0, "a timer was left behind"
    owner.greetings.append(client if isinstance(client, Outcome) else None)
    owner.check_all_came_back()
    return client


@pytest.mark.parametrize("extensions", [(b"PIPELINING",), (b"8BITMIME",), (b"PIPELINING", b"CHUNKING")])
async def test_messages_go_over_one_connection(extensions):
    peers = []

    def peer():
        peers.append(Peer(extensions=extensions))
        return peers[-1]

    owner = Owner(message(number, 3) for number in range(20))
    async with serving(peer) as port:
        await deliver(port, owner)
    assert len(peers) == 1
    assert [content for _, _, content in peers[0].delivered] == [delivery.content for delivery in owner.taken]
    assert all(outcome.kind == DELIVERED for outcomes in owner.outcomes.values() for outcome in outcomes)
    assert owner.closings == [([], None)]
    assert all(d.taken_at <= d.content_at <= d.finished_at for d in owner.taken)


async def test_an_envelope_of_more_parts_than_one_call_sends_arrives_whole():
    names = tuple(b"r%d@peer.test" % number for number in range(1000))
    content = b"Subject: many\r\n\r\n"
    owner = Owner([Delivery(b"a@b", names, 0, len(content), content)])
    peer = Peer()
    async with serving(lambda: peer) as port:
        await deliver(port, owner)
    assert peer.delivered == [(b"a@b", names, content)]


async def test_lmtp_over_a_unix_socket(tmp_path):
    path = str(tmp_path / "lmtp")
    owner = Owner([message(1, 3)])
    async with serving(lambda: Peer({("reply", 1): b"550 5.2.2 full"}, lmtp=True), path), turning() as ground:
        client = await connector(ground).open(NextHop("lmtp", path=path), owner)
        assert isinstance(client, ClientSession)
        await asyncio.wait_for(owner.is_closed.wait(), 10)
    assert [outcome.kind for outcome in owner.of(0)] == [DELIVERED, FAILED, DELIVERED]
    assert owner.of(0)[0].next_hop == path


@pytest.mark.parametrize("kind", ["file", "memory", "borrowed"])
@pytest.mark.parametrize("flags", [0, DOTS])
async def test_a_large_content_arrives_whole_whatever_it_lies_in(tmp_path, kind, flags):
    line = b".dots and more\r\n" if flags else b"no dots at all here\r\n"
    content = b"Subject: large\r\n\r\n" + line * 200_000
    path = tmp_path / "content"
    path.write_bytes(content)
    places: dict[str, dict[str, Any]] = {
        "file": {"path": str(path)},
        "memory": {"content": content},
        "borrowed": {"content": memoryview(content)},
    }
    peer = Peer()
    owner = Owner([Delivery(b"a@b", (b"c@d",), flags, len(content), **places[kind]), message(2, 1)])
    async with serving(lambda: peer) as port:
        await deliver(port, owner)
    assert [outcome.kind for d in owner.taken for outcome in owner.outcomes[id(d)]] == [DELIVERED] * 2
    assert peer.delivered[0][2] == content
    assert peer.delivered[1][2] == owner.taken[1].content


async def test_a_stream_waits_for_a_peer_that_does_not_read_and_its_memory_is_bounded(tmp_path):
    """I5: the file is read only as fast as the peer takes it."""
    content = b"x" * 78 + b"\r\n"
    path = tmp_path / "content"
    path.write_bytes(content * 500_000)
    size = path.stat().st_size
    release = asyncio.Event()
    got = bytearray()

    async def talk(reader, writer):
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250 hi\r\n")
        for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(reply)
        await release.wait()
        while not got.endswith(b"\r\n.\r\n"):
            got.extend(await reader.read(1 << 20))
        writer.write(b"250 ok\r\n")
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1 << 16)
    owner = Owner([Delivery(b"a@b", (b"c@d",), 0, size, path=str(path))])
    async with server, turning() as ground:
        port = server.sockets[0].getsockname()[1]
        client = await connector(ground).open(NextHop("smtp", "127.0.0.1", port), owner)
        assert isinstance(client, ClientSession)
        await reached(lambda: client.is_choked)
        for _ in range(50):
            await settled(1)
            assert client.octets_waiting <= 2 * 131072
        release.set()
        await asyncio.wait_for(owner.is_closed.wait(), 30)
    assert len(got) == size + 3
    assert owner.of(0)[0].kind == DELIVERED


@pytest.mark.parametrize("fault", ["missing", "short", "long"])
async def test_a_content_file_that_is_not_what_was_stored_is_never_delivered(tmp_path, fault):
    path = tmp_path / "content"
    if fault != "missing":
        path.write_bytes(b"x" * (1000 if fault == "long" else 10))
    peer = Peer()
    owner = Owner([Delivery(b"a@b", (b"c@d",), 0, 100, path=str(path)), message(2, 1)])
    async with serving(lambda: peer) as port:
        await deliver(port, owner)
    assert not peer.delivered
    assert (owner.of(0)[0].kind, owner.of(0)[0].status) == (DEFERRED, "4.3.0")
    assert str(tmp_path) not in owner.of(0)[0].text, "I8: our paths go into no DSN"


@pytest.mark.parametrize("stage", ["banner", "ehlo", "mail", "rcpt", "data", "reply"])
async def test_a_peer_that_falls_silent_is_given_up_when_its_time_is_over(stage):
    """I10."""
    short = Limits(banner=0.1, helo=0.1, mail=0.1, rcpt=0.1, data=0.1, content=0.1, reply=0.1)
    owner = Owner([message(1, 1), message(2, 1)])
    async with serving(lambda: Peer({(stage, 0): STALL})) as port:
        client = await deliver(port, owner, short)
    why = client if isinstance(client, Outcome) else owner.of(0)[0]
    assert (why.kind, why.status) == (DEFERRED, "4.4.2")
    assert "timed out" in why.text


@pytest.mark.parametrize("extensions", [(b"PIPELINING",), (b"PIPELINING", b"CHUNKING")])
async def test_a_connection_cut_after_any_number_of_octets_loses_nothing(tmp_path, extensions):
    path = tmp_path / "content"
    path.write_bytes(b"y: z\r\n" * 100)
    lost = 0
    for after in range(0, 1400, 23):
        peers = [Peer(extensions=extensions)]
        owner = Owner([message(1, 2), Delivery(b"a@b", (b"c@d",), 0, 600, path=str(path)), message(3, 1)])
        async with serving(peers.copy().pop) as port, cutting(port, after) as proxied:
            await deliver(proxied, owner)
        for delivery in owner.taken:
            kinds = {outcome.kind for outcome in owner.outcomes.get(id(delivery), [])}
            assert FAILED not in kinds
            lost += DEFERRED in kinds
            if DELIVERED in kinds:
                assert any(delivery.reverse_path == reverse_path for reverse_path, _, _ in peers[0].delivered)
    assert lost > 10, "the cuts must hit something"


async def test_a_stalling_proxy_in_the_middle_of_a_streamed_content_is_given_up(tmp_path):
    path = tmp_path / "content"
    path.write_bytes(b"y" * 20_000_000)
    owner = Owner([Delivery(b"a@b", (b"c@d",), 0, 20_000_000, path=str(path))])
    async with serving(Peer) as port, cutting(port, 1_000_000, stalls=True) as proxied:
        await deliver(proxied, owner, Limits(content=0.2))
    assert (owner.of(0)[0].kind, owner.of(0)[0].stage) == (DEFERRED, "content")


async def test_each_address_is_tried_until_one_greets():
    """A host that refuses the connection or the greeting is passed over."""
    async with serving(Peer) as good, turning() as ground:
        owner = Owner([message(1, 1)])
        tries: list[str] = []

        class Three(Connector):
            async def _try(self, owner, host, address, port, *, lmtp=False):
                tries.append(address)
                return await super()._try(owner, host, "127.0.0.1", port if address == "127.0.0.3" else 1, lmtp=lmtp)

        class Names(Resolver):
            async def configured_addresses(self, host):
                return (await super().configured_addresses("127.0.0.1"))._replace(
                    addresses=("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
                )

        connect = Three(ConnectSettings("relay.test"), Names(), *ground, shuffle=random.shuffle)
        client = await connect.open(NextHop("smtp", "host.test", good), owner)
        assert isinstance(client, ClientSession)
        await asyncio.wait_for(owner.is_closed.wait(), 10)
        assert tries == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert owner.of(0)[0].kind == DELIVERED


async def test_a_connection_attempt_without_answer_ends_in_time():
    """I10. A listening socket whose queue is full answers no SYN."""
    with contextlib.ExitStack() as held, socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        why = await deliver(deaf.getsockname()[1], Owner(), Limits(connect=0.1))
    assert isinstance(why, Outcome)
    assert why[:2] == (DEFERRED, 0)
    assert (why.status, why.stage) == ("4.4.1", "connect")
    assert why.text == "no answer to the connection attempt in time"


async def test_an_attempt_that_is_given_up_leaves_no_socket_and_no_timer_behind():
    async with serving(lambda: Peer({("banner", 0): STALL})) as port, turning() as ground:
        owner = Owner([message(1, 1)])
        opening = asyncio.ensure_future(connector(ground).open(NextHop("smtp", "127.0.0.1", port), owner))
        while not ground.poll.watched:
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert (ground.poll.watched, len(ground.wheel)) == (0, 0)
        assert not owner.taken


async def test_connections_come_from_the_source_address():
    async with turning() as ground:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            opening = asyncio.ensure_future(
                connector(ground, source_address="127.0.0.7").open(
                    NextHop("smtp", "127.0.0.1", listening.getsockname()[1]), Owner()
                )
            )
            listening.setblocking(False)
            accepted, peer = await asyncio.get_running_loop().sock_accept(listening)
            with accepted:
                assert peer[0] == "127.0.0.7"
        assert isinstance(await opening, Outcome)


async def test_a_unix_path_that_is_too_long_is_temporary_too():
    async with turning() as ground:
        why = await connector(ground).open(NextHop("lmtp", path="/" + "x" * 200), Owner())
    assert isinstance(why, Outcome)
    assert (why.kind, why.text) == (DEFERRED, "cannot connect: AF_UNIX path too long")


@pytest.mark.parametrize("there", [True, False])
async def test_a_unix_socket_that_nobody_listens_on_is_temporary(tmp_path, there):
    path = str(tmp_path / "lmtp")
    if there:
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(path)
    async with turning() as ground:
        why = await connector(ground).open(NextHop("lmtp", path=path), Owner())
    assert isinstance(why, Outcome)
    assert (why.kind, why.status, why.stage, why.next_hop) == (DEFERRED, "4.4.1", "connect", path)
    assert why.text == f"cannot connect: {'Connection refused' if there else 'No such file or directory'}"


async def test_a_refused_connection_is_temporary_and_says_so():
    async with turning() as ground:
        why = await connector(ground).open(NextHop("smtp", "127.0.0.1", 1), Owner())
    assert isinstance(why, Outcome)
    assert (why.kind, why.status, why.stage) == (DEFERRED, "4.4.1", "connect")
    assert "Connection refused" in why.text
    assert why.next_hop == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("greeting", "kind"), [(b"554 5.3.2 no", FAILED), (b"421 4.3.2 busy", DEFERRED), (CUT, DEFERRED)]
)
async def test_a_refused_greeting_is_the_outcome_of_the_attempt(greeting, kind):
    owner = Owner([message(1, 1)])
    async with serving(lambda: Peer({("banner", 0): greeting})) as port:
        why = await deliver(port, owner)
    assert isinstance(why, Outcome)
    assert (why.kind, why.stage) == (kind, "banner")
    assert len(owner.waiting) == 1


async def test_abort_settles_what_is_in_hand():
    owner = RecordingOwner([message(1, 1)])
    async with serving(lambda: Peer({("reply", 0): STALL})) as port, turning() as ground:
        client = await connector(ground).open(NextHop("smtp", "127.0.0.1", port), owner)
        assert isinstance(client, ClientSession)
        await reached(lambda: owner.taken[0].content_at)
        client.abort("drained")
        await reached(lambda: owner.closings)
        client.wake()
        client.quit()
        client.abort()
    assert owner.of(0)[0].kind == DEFERRED
    assert owner.of(0)[0].text.startswith("drained; ")


async def test_an_idle_session_is_woken_and_later_quits_by_itself():
    owner = RecordingOwner()
    async with serving(Peer) as port, turning() as ground:
        client = await connector(ground, Limits(idle=0.2)).open(NextHop("smtp", "127.0.0.1", port), owner)
        assert isinstance(client, ClientSession)
        assert client.is_idle
        owner.waiting = [message(1, 1)]
        client.wake()
        await reached(lambda: owner.closings)
        assert len(ground.wheel) == 0
    assert owner.of(0)[0].kind == DELIVERED
    assert owner.closings == [([], None)]


async def test_a_fault_in_the_owners_code_ends_the_session_and_reaches_the_loop():
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context["exception"]))

    class Faulty(RecordingOwner):
        def finished(self, client, delivery, outcomes):
            super().finished(client, delivery, outcomes)
            raise ZeroDivisionError

    owner = Faulty([message(1, 1), message(2, 1)])
    async with serving(Peer) as port, turning() as ground:
        await connector(ground).open(NextHop("smtp", "127.0.0.1", port), owner)
        await reached(lambda: owner.closings)
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
    owner.greetings.append(None)
    owner.check_all_came_back()


SINK = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin")


@pytest.mark.skipif(SINK is None, reason="needs smtp-sink (Debian: postfix)")
@pytest.mark.parametrize(
    "options", [[], ["-p"], ["-e"], ["-8"], ["-L"], ["-f", "."], ["-r", "."], ["-q", "."], ["-Q", "."]]
)
async def test_smtp_sink_takes_what_is_sent(options, unused_tcp_port):
    """Another implementation at the other end: -p no pipelining, -e no EHLO, -L LMTP, -f/-r/-q/-Q fail at the dot."""
    assert SINK is not None
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    process = subprocess.Popen([SINK, *user, *options, f"127.0.0.1:{unused_tcp_port}", "100"])
    try:
        await reached(lambda: accepts(unused_tcp_port), "smtp-sink does not listen", every=0.01)
        owner = Owner(message(number, 2) for number in range(50))
        next_hop = NextHop("lmtp" if "-L" in options else "smtp", "127.0.0.1", unused_tcp_port)
        async with turning() as ground:
            client = await connector(ground).open(next_hop, owner)
            assert isinstance(client, ClientSession), client
            await asyncio.wait_for(owner.is_closed.wait(), 20)
        kinds = [outcome.kind for outcomes in owner.outcomes.values() for outcome in outcomes]
        owner.check_all_came_back()
        if set(options) & {"-f", "-r", "-q", "-Q"}:
            assert set(kinds) <= {DEFERRED, FAILED}
            assert kinds
        else:
            assert kinds == [DELIVERED] * 100
    finally:
        process.terminate()
        process.wait()
