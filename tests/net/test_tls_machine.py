"""The TLS machine between wire and protocol, against a client in memory (RFC 8446, RFC 5246)."""

import ssl
import time
from array import array
from typing import Any

import pytest

from relay.config import Config
from relay.net.tickets import TicketKeys
from relay.net.tls import ServerTls
from relay.net.tls_machine import TlsError, TlsServer
from relay.telemetry import metrics
from tests.support.tls import MemoryClient, client_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    row = memoryview(array("Q", [0]) * metrics.ROW_CELLS)
    config = Config(hostname="mx.example.org", data_dir=tmp_path_factory.mktemp("data"))
    return ServerTls(config, TicketKeys(time.monotonic()), lambda *_: None, row)


def secure(tls: ServerTls, version=ssl.TLSVersion.TLSv1_3) -> tuple[TlsServer, MemoryClient]:
    server, client = tls.accept(), MemoryClient(client_context(version))
    client.shake(server)
    return server, client


@every_version
def test_what_is_said_goes_both_ways(tls, version):
    server, client = secure(tls, version)
    assert server.receive(client.say(b"EHLO a\r\n")) == b"EHLO a\r\n"
    server.send(b"250 a\r\n")
    client.incoming.write(server.take_output())
    assert client.read() == b"250 a\r\n"
    assert server.take_output() == b""


@every_version
def test_version_and_cipher_are_told(tls, version):
    server, client = secure(tls, version)
    assert server.version == version.name.replace("_", ".")
    agreed = client.tls.cipher()
    assert agreed is not None
    assert server.summary == f"{server.version} {agreed[0]}"
    assert not server.is_resumed


@every_version
def test_one_octet_at_a_time_brings_the_same(tls, version):
    server, client = tls.accept(), MemoryClient(client_context(version))
    while not (server.is_established and client.is_done):
        for octet in client.step():
            assert not server.is_established
            server.handshake(bytes([octet]))
        client.incoming.write(server.take_output())
    wire = client.say(b"EHLO a\r\n")
    assert b"".join(server.receive(bytes([octet])) for octet in wire) == b"EHLO a\r\n"


def test_what_stands_behind_the_end_of_the_handshake_is_not_lost(tls):
    """A TLS 1.3 client may send its first command together with its Finished."""
    server, client = tls.accept(), MemoryClient()
    server.handshake(client.step())
    client.incoming.write(server.take_output())
    assert server.handshake(client.step() + client.say(b"EHLO a\r\n"))
    assert server.receive(b"") == b"EHLO a\r\n"


@pytest.mark.parametrize("size", [1, 16384, 16385, 8192, 100_000, 1_000_000])
def test_contents_of_any_size_come_through_in_one_call(tls, size):
    server, client = secure(tls)
    octets = bytes(range(256)) * (size // 256 + 1)
    assert server.receive(client.say(octets[:size])) == octets[:size]
    server.send(octets[:size])
    client.incoming.write(server.take_output())
    assert client.read() == octets[:size]


@every_version
def test_close_notify_ends_the_input(tls, version):
    server, client = secure(tls, version)
    wire = client.say(b"QUIT\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert server.receive(wire + client.outgoing.read()) == b"QUIT\r\n"
    assert server.is_closed
    assert server.receive(b"more") == b""
    server.close()
    assert server.take_output()


@every_version
def test_our_close_notify_reaches_the_client(tls, version):
    """Without it the end could be anybody's (RFC 8446 6.1)."""
    server, client = secure(tls, version)
    server.send(b"221 Bye\r\n")
    server.close()
    client.incoming.write(server.take_output())
    assert client.read() == b"221 Bye\r\n"
    assert client.tls.read(10) == b""


@every_version
def test_a_changed_octet_is_noticed(tls, version):
    server, client = secure(tls, version)
    wire = bytearray(client.say(b"MAIL FROM:<a@b.example>\r\n"))
    wire[-1] ^= 1
    with pytest.raises(TlsError):
        server.receive(bytes(wire))
    assert server.take_output()  # an alert


GARBAGE = {
    "a command": (b"EHLO client.example\r\n", "protocol"),
    "a request": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "protocol"),
    "SSL 2": (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + b"\0" * 40, "no_agreement"),
    "a record of nonsense": (b"\x16\x03\x01\x00\x10" + b"\xff" * 16, "protocol"),
    "a hello that is too long": (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\0" * 20000, "protocol"),
    "data before the handshake": (b"\x17\x03\x03\x00\x05hello", "protocol"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_handshake_is_a_fault_of_the_peer(tls, name):
    octets, kind = GARBAGE[name]
    with pytest.raises(TlsError) as raised:
        tls.accept().handshake(octets)
    assert raised.value.kind == kind
    assert raised.value.reason == raised.value.reason.lower()
    assert raised.value.kind in metrics.TLS_FAILURES


def test_a_client_that_does_not_trust_us_says_so(tls):
    strict = ssl.create_default_context()
    server, client = tls.accept(), MemoryClient(strict, name="mx.example.org")
    server.handshake(client.step())
    client.incoming.write(server.take_output())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.step()
    with pytest.raises(TlsError) as raised:
        server.handshake(client.outgoing.read())
    assert raised.value.kind == "rejected"


def test_a_client_cannot_make_us_shake_hands_again(tls):
    """TLS 1.2 allows it, and it costs us more than the client: CVE-2011-1473."""
    assert tls.context.options & ssl.OP_NO_RENEGOTIATION


def test_a_large_content_leaves_no_large_buffer_behind(tls):
    """A memory BIO never gives back what it has once held, so no more than a slice of a read may ever be in one."""
    server, client = secure(tls)
    most = 0

    class Watched:
        def __init__(self, inner: ssl.MemoryBIO) -> None:
            self.inner = inner

        def write(self, octets: bytes) -> None:
            nonlocal most
            self.inner.write(octets)
            most = max(most, self.inner.pending)

        @property
        def pending(self) -> int:
            return self.inner.pending

    watched: Any = Watched(server._incoming)
    server._incoming = watched
    assert len(server.receive(client.say(b"x" * 1_000_000))) == 1_000_000
    assert 0 < most <= 8192
    assert watched.pending == 0
