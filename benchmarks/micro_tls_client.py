"""What TLS costs as a client: python -m benchmarks.micro_tls_client [--count 300] [--rounds 5]

**Handshakes in memory**: processor time of the client's side alone, ``ssl`` by itself against Relay's ClientTls under
each policy, full and resumed (P-256 certificates, the server's side is not counted). **Checks**: names and TLSA records
by themselves. **Sending**: 8 MiB encrypted in portions of 64 KiB, as the stream does it.

Medians of rounds in turns. Not shown here: the network, the server.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import ssl
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from relay.mail.tls_policy import TlsaRecord, TlsPolicy, dane, encrypt, verify
from relay.net.peer_certificates import mismatch_of_names, mismatch_of_records
from relay.net.tls_client import ClientConnection, ClientTls
from relay.net.tls_machine import TlsClient, TlsServer
from relay.net.tls_profiles import make_client_context
from relay.telemetry import metrics
from tests.support.authorities import root

HOST = "mx.example.org"
ROOT = root()
MIDDLE = ROOT.issue(is_authority=True, common_name="Middle")
LEAF = MIDDLE.issue(HOST)
RECORDS = {
    "3 1 1": TlsaRecord(3, 1, 1, hashlib.sha256(LEAF.public_key_info).digest()),
    "2 1 1": TlsaRecord(2, 1, 1, hashlib.sha256(ROOT.public_key_info).digest()),
}


def handshake(make: Callable[[], TlsClient], step: Callable[[TlsClient, bytes], object], server: TlsServer) -> float:
    """Seconds of the client's processor time for a whole handshake, and the first line of the server."""
    began = time.process_time()
    client = make()
    spent = time.process_time() - began
    octets, is_done = client.take_output(), False
    while not (is_done and server.is_established):
        if octets:
            server.handshake(octets)
        answer = server.take_output()
        began = time.process_time()
        if is_done:
            client.receive(answer)  # tickets
        else:
            is_done = bool(step(client, answer))
        octets = client.take_output()
        spent += time.process_time() - began
    server.send(b"220 hello\r\n")
    answer = server.take_output()
    began = time.process_time()
    client.receive(answer)
    return spent + time.process_time() - began


def bare(server: ssl.SSLContext) -> Callable[[bool], float]:
    """``ssl`` without any check; the last session is kept."""
    context = make_client_context()
    kept: list[ssl.SSLSession] = []

    def once(is_resumed: bool) -> float:
        made: list[TlsClient] = []

        def make() -> TlsClient:
            made.append(TlsClient(context, HOST, kept.pop() if is_resumed and kept else None))
            made[0].handshake(b"")
            return made[0]

        spent = handshake(make, TlsClient.handshake, TlsServer(server))
        began = time.process_time()
        session = made[0].new_session
        spent += time.process_time() - began
        if session is not None:
            kept[:] = [session]
        return spent

    return once


def relay(server: ssl.SSLContext, policy: TlsPolicy) -> Callable[[bool], float]:
    """ClientTls under ``policy``."""
    tls = ClientTls(memoryview(array("Q", [0]) * metrics.ROW_CELLS))
    number = 0

    def once(is_resumed: bool) -> float:
        nonlocal number
        number += not is_resumed  # another address: no session is known

        def make() -> TlsClient:
            connection = tls.connect(policy, HOST, str(number))
            assert isinstance(connection, ClientConnection)
            return connection

        def step(client: TlsClient, octets: bytes) -> object:
            assert isinstance(client, ClientConnection)
            return client.negotiate(octets)

        return handshake(make, step, TlsServer(server))

    return once


def handshakes(folder: Path, count: int, rounds: int) -> None:
    """Prints the first table."""
    server = LEAF.server(folder)
    anchors = folder / "anchors.pem"
    anchors.write_bytes(ROOT.pem)
    ways = {
        "ssl by itself": bare(server),
        "encrypt": relay(server, encrypt()),
        "verify": relay(server, verify(anchors=str(anchors))),
        **{f"dane {name}": relay(server, dane((record,))) for name, record in RECORDS.items()},
    }
    spent: dict[tuple[str, bool], list[float]] = {(name, kind): [] for name in ways for kind in (False, True)}
    for _ in range(rounds):
        for (name, is_resumed), figures in spent.items():
            ways[name](False)
            figures.append(statistics.median(ways[name](is_resumed) for _ in range(count)))
    for name in ways:
        full, resumed = (statistics.median(spent[name, kind]) * 1e6 for kind in (False, True))
        print(f"{name:14} {full:6.0f} us full, {resumed:6.0f} us resumed")


def checks(count: int) -> None:
    """Prints what is checked on a finished handshake, alone."""
    now, chain = datetime.now(UTC), LEAF.chain()
    each: dict[str, Callable[[], str]] = {"names": lambda: mismatch_of_names(chain[0], (HOST,))}
    for name, record in RECORDS.items():
        each[f"dane {name}"] = lambda record=record: mismatch_of_records(chain, (record,), (HOST,), now)  # type: ignore[misc]
    for name, check in each.items():
        assert check() == ""
        began = time.process_time()
        for _ in range(count):
            check()
        print(f"{name:14} {(time.process_time() - began) / count * 1e6:6.0f} us")


def sending(folder: Path) -> None:
    """Prints the rate of encryption."""
    tls = ClientTls(memoryview(array("Q", [0]) * metrics.ROW_CELLS))
    client, server = tls.connect(encrypt(), HOST), TlsServer(LEAF.server(folder))
    assert isinstance(client, ClientConnection)
    while not server.is_established:
        server.handshake(client.take_output())
        client.negotiate(server.take_output())
    content = memoryview(bytes(1 << 23))
    began = time.process_time()
    for at in range(0, len(content), 65536):
        client.send(content[at : at + 65536])
        client.take_output()
    print(f"{'sending':14} {(time.process_time() - began) * 1e6 / 8:6.0f} us per MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="handshakes in each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    gc.freeze()
    print(ssl.OPENSSL_VERSION)
    with tempfile.TemporaryDirectory() as folder:
        handshakes(Path(folder), options.count, options.rounds)
        checks(options.count)
        sending(Path(folder))


if __name__ == "__main__":
    main()
