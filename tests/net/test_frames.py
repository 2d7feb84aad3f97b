"""Frames: whole, cut at every octet, too long, and not frames at all; over real socket pairs where it matters."""

import asyncio
import contextlib
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.net.frames import FrameBuffer, FrameClient, FrameError, FrameProtocol, decode, encode

MESSAGES = [("ready",), ("drain", 30.5), ("entry", {"id": "X", "content": b"\xff\x00"}, (1, 2, None), True), ()]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.lists(values, max_size=3).map(tuple), max_size=4), st.integers(1, 50))
def test_what_is_fed_in_pieces_comes_out_whole_and_in_order(messages, piece):
    wire = b"".join(encode(message) for message in messages)
    buffer = FrameBuffer()
    arrived = []
    for start in range(0, len(wire), piece):
        arrived += buffer.feed(wire[start : start + piece])
    assert arrived == messages
    assert buffer.is_empty


def test_an_unfinished_frame_is_seen():
    buffer = FrameBuffer()
    assert buffer.feed(encode(("ready",))[:-1]) == []
    assert not buffer.is_empty


def test_a_length_above_the_limit_is_refused_by_its_head_alone():
    """I5: nothing that a peer sends makes memory grow."""
    with pytest.raises(FrameError, match="more than 100"):
        FrameBuffer(limit=100).feed((101).to_bytes(4, "big"))
    with pytest.raises(FrameError, match="more than 100"):
        encode(("x" * 200,), limit=100)


@given(st.binary(max_size=200))
def test_octets_that_are_no_frames_raise_only_frame_error(octets):
    with contextlib.suppress(FrameError):
        FrameBuffer(limit=1000).feed(octets)


@pytest.mark.parametrize(
    "value", [b"", b"\xc1", b"\x01", b"\x80", b"\x91" * 5000, b"\x90\x90", b"\x91\xa1\xff", b"\xd9"]
)
def test_a_value_that_is_no_message_raises_frame_error(value):
    with pytest.raises(FrameError):
        decode(value)


def test_what_msgpack_does_not_know_cannot_be_sent():
    with pytest.raises(FrameError, match="cannot be packed"):
        encode((object(),))


class Ends:
    """Two FrameProtocols on one socket pair, and what happened to them."""

    def __init__(self) -> None:
        self.arrived: list[tuple] = []
        self.faults: list[Exception | None] = []
        self.over = asyncio.Event()

    def took(self, _protocol, message):
        if message == ("raise",):
            raise RuntimeError("no")
        self.arrived.append(message)

    def closed(self, _protocol, fault):
        self.faults.append(fault)
        self.over.set()

    async def make(self, limit=1 << 20):
        mine, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_unix_connection(
            lambda: FrameProtocol(self.took, self.closed, limit=limit), sock=mine
        )
        return protocol


async def test_a_protocol_hands_over_messages_and_an_orderly_end():
    ends = Ends()
    protocol = await ends.make()
    assert protocol.is_connected
    for message in MESSAGES:
        ends.peer.send(encode(message))
    ends.peer.close()
    await ends.over.wait()
    assert ends.arrived == MESSAGES
    assert ends.faults == [None]
    assert not protocol.is_connected
    protocol.send(("into the void",))
    protocol.close()


@pytest.mark.parametrize("octets", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", encode(("raise",))])
async def test_a_fault_of_the_peer_ends_its_connection_with_the_reason(octets):
    ends = Ends()
    await ends.make()
    ends.peer.send(octets)
    await ends.over.wait()
    assert isinstance(ends.faults[0], FrameError | RuntimeError)
    ends.peer.close()


async def test_no_message_is_handed_over_after_a_close_from_inside():
    ends = Ends()
    protocol = await ends.make()

    def took_and_closed(mine, message):
        ends.arrived.append(message)
        mine.close()

    protocol._on_message = took_and_closed
    ends.peer.send(encode(("one",)) + encode(("two",)))
    await ends.over.wait()
    assert ends.arrived == [("one",)]
    ends.peer.close()


async def test_a_peer_that_does_not_read_makes_the_protocol_unwritable():
    ends = Ends()
    protocol = await ends.make()
    while protocol.is_writable:
        protocol.send(("x" * 10_000,))
    reader = asyncio.get_running_loop()
    while not protocol.is_writable:
        await reader.sock_recv(ends.peer, 1 << 20)
    ends.peer.close()
    await ends.over.wait()


def test_the_blocking_client_asks_and_reads_until_the_end(tmp_path: Path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            with FrameClient(server.accept()[0]) as peer:
                assert peer.receive() == ("queue", "list", {})
                peer.send(("entry", {"id": "1"}))
                peer.send(("end", {"count": 1}))

        thread = threading.Thread(target=answer)
        thread.start()
        with FrameClient.connect(path, timeout=5) as client:
            client.send(("queue", "list", {}))
            assert list(client) == [("entry", {"id": "1"}), ("end", {"count": 1})]
        thread.join()


def test_the_blocking_client_tells_silence_from_a_cut_frame_and_from_the_end():
    mine, peer = socket.socketpair()
    mine.settimeout(0.01)
    client = FrameClient(mine)
    with pytest.raises(TimeoutError):
        client.receive()
    peer.send(encode(("a",)) + b"\x00\x00")
    assert client.receive() == ("a",)
    peer.close()
    with pytest.raises(FrameError, match="inside a frame"):
        client.receive()
    client.close()
    with pytest.raises(FileNotFoundError):
        FrameClient.connect(Path("/nonexistent/s.sock"), timeout=1)
