"""TLS as a client, in memory against our own server machine: policies, certificates, sessions, failures."""

from __future__ import annotations

import ssl
import time
from array import array
from pathlib import Path

import pytest

from relay.mail.tls_policy import (
    DANE_EE,
    DANE_TA,
    NO_TLS,
    TlsaRecord,
    TlsPolicy,
    dane,
    encrypt,
    opportunistic,
    verify,
)
from relay.net.tls_client import SESSION_SECONDS, ClientConnection, ClientTls, Secured, TlsFailure
from relay.net.tls_machine import TlsError, TlsServer
from relay.telemetry import metrics
from tests.support.authorities import Issued, root, self_signed

HOST = "mx.example.org"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
ROOT = root()
MIDDLE = ROOT.issue(is_authority=True, common_name="Middle")
GOOD = MIDDLE.issue(HOST)


class World:
    """A client's process, and servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = time.time()
        self.cells = array("Q", [0]) * metrics.ROW_CELLS
        self.tls = self.restart()
        self.anchors = str(folder / "anchors.pem")
        Path(self.anchors).write_bytes(ROOT.pem)

    def restart(self, sessions: int = 100) -> ClientTls:
        self.tls = ClientTls(memoryview(self.cells), sessions=sessions, clock=lambda: self.now)
        return self.tls

    def server(self, issued: Issued, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = issued.server(self.folder, with_root=False)
        context.maximum_version = version
        return context

    def visit(self, policy: TlsPolicy, context: ssl.SSLContext, host: str = HOST, address: str = "192.0.2.1"):
        """A handshake, and one line from the server when it is done."""
        client = self.tls.connect(policy, host, address)
        assert isinstance(client, ClientConnection)
        self.client, self.far = client, TlsServer(context)
        result = shake(client, self.far)
        if isinstance(result, Secured):
            self.far.send(b"250 hello\r\n")
            assert client.receive(self.far.take_output()) == b"250 hello\r\n"
        return result

    def count(self, name: str, *values: str) -> int:
        return self.cells[metrics.index(name, *values)]


def shake(client: ClientConnection, server: TlsServer) -> Secured | TlsFailure:
    """Moves what either side has to say until the client knows."""
    while True:
        octets = client.take_output()
        if octets and not server.is_established:
            server.handshake(octets)
        result = client.negotiate(server.take_output())
        if result is not None:
            octets = client.take_output()
            if isinstance(result, Secured) and not server.is_established:
                server.handshake(octets)
                client.receive(server.take_output())
            return result


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def secured(result: object) -> Secured:
    assert isinstance(result, Secured), result
    return result


def refused(result: object) -> str:
    assert isinstance(result, TlsFailure), result
    assert result.kind == "certificate", result
    assert result.text.startswith("the server's certificate is not acceptable: ")
    assert result.cause
    return result.text.removeprefix("the server's certificate is not acceptable: ")


# ---- policies and certificates --------------------------------------------------------------------------------------

EXPIRED = MIDDLE.issue(HOST, days=-1)
OTHER = MIDDLE.issue("other.example")
ALONE = self_signed(HOST)
STRANGER = root("Elsewhere").issue(HOST)
ALL = {"good": GOOD, "expired": EXPIRED, "wrong name": OTHER, "self-signed": ALONE, "unknown authority": STRANGER}


@every_version
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("policy", [opportunistic(), encrypt()], ids=lambda policy: policy.kind)
def test_policies_that_check_nobody_take_every_certificate(world: World, policy: TlsPolicy, name: str, version):
    """RFC 7435: anything is better than clear text."""
    result = secured(world.visit(policy, world.server(ALL[name], version)))
    assert result.version == version.name.replace("_", ".")
    assert f"{result.version} {result.cipher}" == world.far.summary == world.client.summary
    assert not result.is_verified
    assert result.why_not == f"the policy ({policy.kind}) checks no certificate"


@every_version
def test_a_good_certificate_is_verified(world: World, version):
    result = secured(world.visit(verify(anchors=world.anchors), world.server(GOOD, version)))
    assert (result.is_verified, result.why_not, result.is_resumed) == (True, "", False)


@every_version
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("expired", "certificate has expired"),
        ("wrong name", "it is for other.example, not for mx.example.org"),
        ("self-signed", "self-signed certificate"),
        ("unknown authority", "unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused_with_the_reason(world: World, name: str, reason: str, version):
    result = world.visit(verify(anchors=world.anchors), world.server(ALL[name], version))
    assert refused(result) == reason
    assert world.count("relay_tls_client_handshakes_failed_total", "certificate") == 1
    assert world.count("relay_tls_client_sessions") == 0, "nothing of it is used again"


def test_all_of_openssl_s_text_is_there_for_the_log(world: World):
    result = world.visit(verify(anchors=world.anchors), world.server(EXPIRED))
    assert isinstance(result, TlsFailure)
    assert "CERTIFICATE_VERIFY_FAILED" in result.cause
    assert "certificate has expired" in result.cause


def test_the_server_gets_an_alert_when_its_certificate_is_refused(world: World):
    """RFC 8446 6.2."""
    client = world.tls.connect(verify(anchors=world.anchors), HOST)
    assert isinstance(client, ClientConnection)
    server = TlsServer(world.server(STRANGER))
    server.handshake(client.take_output())
    assert isinstance(client.negotiate(server.take_output()), TlsFailure)
    with pytest.raises(TlsError) as raised:
        server.handshake(client.take_output())
    assert raised.value.kind == "rejected"


def test_the_system_s_authorities_do_not_know_ours(world: World):
    assert refused(world.visit(verify(), world.server(GOOD))) == "unable to get local issuer certificate"


def test_the_system_s_authorities_are_asked(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", world.anchors)
    secured(world.visit(verify(), world.server(GOOD)))


def test_a_certificate_that_is_in_the_file_itself_is_trusted(world: World):
    Path(world.anchors).write_bytes(ALONE.pem)
    secured(world.visit(verify(anchors=world.anchors), world.server(ALONE)))


def test_an_authority_in_the_file_need_not_be_a_root(world: World):
    Path(world.anchors).write_bytes(MIDDLE.pem)
    secured(world.visit(verify(anchors=world.anchors), world.server(GOOD)))
    assert "not for" in refused(world.visit(verify(anchors=world.anchors), world.server(OTHER)))
    assert refused(world.visit(verify(anchors=world.anchors), world.server(STRANGER)))


def test_reference_names_take_the_place_of_the_host(world: World):
    """RFC 8461 4.1, RFC 7672 3.2.2: which names count is not the server's choice."""
    context = world.server(OTHER)
    secured(world.visit(verify("x.example", "other.example", anchors=world.anchors), context))
    assert "not for mx.example.com or x.example" in refused(
        world.visit(verify("x.example", "mx.example.com", anchors=world.anchors), context)
    )


def test_a_host_that_is_an_address_is_verified_as_one(world: World):
    context = world.server(MIDDLE.issue(addresses=("192.0.2.1",)))
    secured(world.visit(verify(anchors=world.anchors), context, host="192.0.2.1"))
    assert "not for 192.0.2.2" in refused(world.visit(verify(anchors=world.anchors), context, host="192.0.2.2"))


@every_version
def test_records_are_matched(world: World, version):
    """RFC 7672 3.1: neither the dates nor the name nor who has signed it count for usage 3."""
    for issued in (EXPIRED, OTHER, ALONE):
        good = dane((TlsaRecord(DANE_EE, 1, 0, issued.public_key_info),))
        assert secured(world.visit(good, world.server(issued, version))).is_verified
        assert refused(world.visit(good, world.server(GOOD, version))) == "no TLSA record matches it"


@every_version
def test_an_authority_of_the_records_is_followed(world: World, version):
    records = (TlsaRecord(DANE_TA, 1, 0, MIDDLE.public_key_info),)
    assert secured(world.visit(dane(records), world.server(GOOD, version))).is_verified
    assert "other.example, not for mx.example.org" in refused(world.visit(dane(records), world.server(OTHER, version)))
    assert "no chain leads to" in refused(world.visit(dane(records), world.server(EXPIRED, version)))
    assert secured(world.visit(dane(records, "other.example"), world.server(OTHER, version))).is_verified


def test_a_date_is_read_on_the_clock(world: World):
    policy = dane((TlsaRecord(DANE_TA, 1, 0, MIDDLE.public_key_info),))
    world.now += 31 * 86400
    assert "no chain leads to" in refused(world.visit(policy, world.server(GOOD)))


def test_anchors_that_cannot_be_read_are_our_own_fault_and_tried_again(world: World):
    policy = verify(anchors=str(world.folder / "later.pem"))
    for content in (None, b"nothing of that kind"):
        if content:
            Path(policy.anchors).write_bytes(content)
        result = world.tls.connect(policy, HOST)
        assert isinstance(result, TlsFailure)
        assert (result.kind, result.text) == ("anchors", "the trust anchors cannot be read")
        assert policy.anchors in result.cause
    assert world.count("relay_tls_client_handshakes_failed_total", "anchors") == 2
    Path(policy.anchors).write_bytes(ROOT.pem)
    secured(world.visit(policy, world.server(GOOD)))


def test_clear_text_is_no_policy_to_connect_under(world: World):
    with pytest.raises(ValueError, match="in the clear"):
        world.tls.connect(NO_TLS, HOST)


# ---- versions, names, contexts --------------------------------------------------------------------------------------


def test_an_older_version_than_the_policy_wants_is_refused(world: World):
    client = world.tls.connect(encrypt("1.3"), HOST)
    assert isinstance(client, ClientConnection)
    server = TlsServer(world.server(GOOD, ssl.TLSVersion.TLSv1_2))
    with pytest.raises(TlsError):
        server.handshake(client.take_output())
    result = client.negotiate(server.take_output())
    assert isinstance(result, TlsFailure)
    assert result.kind == "handshake"
    assert result.text == "the server refused the TLS handshake (tlsv1_alert_protocol_version)"
    assert "SSL" in result.cause
    assert secured(world.visit(encrypt("1.3"), world.server(GOOD))).version == "TLSv1.3"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("MX.Example.org.", "mx.example.org"), ("192.0.2.1", None), ("2001:db8::1", None), ("bücher.example", None),
        ("x" * 64 + ".example", None), ("a..b", None), ("", None), ("_25.example", "_25.example"),
    ],
)  # fmt: skip
def test_the_host_name_is_sent_to_the_server(world: World, host: str, name: str | None):
    """RFC 6066 3: host names only."""
    asked = []
    context = world.server(GOOD)
    context.sni_callback = lambda _connection, name, _context: asked.append(name)
    secured(world.visit(encrypt(), context, host=host))
    assert asked == [name]


def test_there_is_one_context_for_policies_that_ask_the_same_of_openssl(world: World):
    def context(policy: TlsPolicy) -> ssl.SSLContext:
        connection = world.tls.connect(policy, HOST)
        assert isinstance(connection, ClientConnection)
        return connection._ssl.context

    records = [dane((TlsaRecord(DANE_EE, 1, 1, bytes([number]) * 32),)) for number in range(50)]
    assert len({id(context(each)) for each in (opportunistic(), encrypt(), *records)}) == 1
    anchored = [verify(f"{number}.example", anchors=world.anchors) for number in range(50)]
    assert len({id(context(each)) for each in anchored}) == 1
    different = (encrypt(), encrypt("1.3"), verify(), verify(anchors=world.anchors))
    assert len({id(context(each)) for each in different}) == 4


# ---- sessions -------------------------------------------------------------------------------------------------------


def policies(world: World) -> dict[str, TlsPolicy]:
    return {
        "opportunistic": opportunistic(),
        "verify": verify(anchors=world.anchors),
        "dane": dane((TlsaRecord(DANE_EE, 1, 0, GOOD.public_key_info),)),
    }


@every_version
@pytest.mark.parametrize("kind", ["opportunistic", "verify", "dane"])
def test_the_next_connection_is_resumed_and_as_good_as_the_first(world: World, kind: str, version):
    policy, context = policies(world)[kind], world.server(GOOD, version)
    first = secured(world.visit(policy, context))
    for number in range(1, 4):
        again = secured(world.visit(policy, context))
        assert again == first._replace(is_resumed=True)
        assert world.far.is_resumed
        assert world.count("relay_tls_client_handshakes_total", first.version, "yes") == number
    assert world.count("relay_tls_client_handshakes_total", first.version, "no") == 1
    assert world.count("relay_tls_client_sessions") >= 1


@every_version
def test_a_session_is_for_one_policy_one_host_and_one_address(world: World, version):
    """Or somebody who was never checked would pass for somebody who was."""
    context = world.server(GOOD, version)
    for policy in (*policies(world).values(), encrypt(), verify("mx.example.org", anchors=world.anchors)):
        assert not secured(world.visit(policy, context)).is_resumed, policy
    assert not secured(world.visit(encrypt(), context, address="192.0.2.2")).is_resumed
    assert not secured(world.visit(encrypt(), context, host="mx2.example.org")).is_resumed
    assert secured(world.visit(encrypt(), context)).is_resumed


def test_a_tls_1_3_ticket_is_shown_once(world: World):
    """RFC 8446 C.4: connections that show the same could be recognised as those of one client."""
    context = world.server(GOOD)
    secured(world.visit(encrypt(), context))
    shown = []
    for _ in range(4):
        assert secured(world.visit(encrypt(), context)).is_resumed
        assert world.client._offered is not None
        shown.append(world.client._offered.id)
    for _ in range(6):
        connection = world.tls.connect(encrypt(), HOST, "192.0.2.1")
        assert isinstance(connection, ClientConnection)
        if connection._offered is not None:
            shown.append(connection._offered.id)
    assert len(shown) == len(set(shown)) > 4
    assert not secured(world.visit(encrypt(), context)).is_resumed, "none is left"


@every_version
def test_a_server_that_has_forgotten_us_is_met_anew_and_checked(world: World, version):
    policy = verify(anchors=world.anchors)
    secured(world.visit(policy, world.server(GOOD, version)))
    assert not secured(world.visit(policy, world.server(GOOD, version))).is_resumed
    secured(world.visit(policy, world.server(GOOD, version)))
    assert "other.example" in refused(world.visit(policy, world.server(OTHER, version)))


@every_version
def test_a_session_is_kept_for_an_hour(world: World, version):
    context = world.server(GOOD, version)
    secured(world.visit(encrypt(), context))
    world.now += SESSION_SECONDS
    assert not secured(world.visit(encrypt(), context)).is_resumed
    world.now += SESSION_SECONDS - 1
    assert secured(world.visit(encrypt(), context)).is_resumed


@pytest.mark.parametrize(("kind", "is_resumed"), [("verify", False), ("dane", False), ("opportunistic", True)])
def test_no_longer_than_a_certificate_that_was_checked_is_good(world: World, kind: str, is_resumed: bool):
    issued = MIDDLE.issue(HOST, days=0.01)
    policy = {**policies(world), "dane": dane((TlsaRecord(DANE_EE, 1, 0, issued.public_key_info),))}[kind]
    context = world.server(issued)
    for _ in range(3):
        secured(world.visit(policy, context))
    assert world.far.is_resumed
    world.now += 0.011 * 86400
    assert secured(world.visit(policy, context)).is_resumed == is_resumed


def test_no_more_sessions_are_kept_than_may_be(world: World):
    """I5, I10."""
    world.restart(sessions=5)
    context = world.server(GOOD)
    for number in range(20):
        secured(world.visit(encrypt(), context, address=f"192.0.2.{number}"))
        assert world.count("relay_tls_client_sessions") == len(world.tls._sessions) <= 5
    assert secured(world.visit(encrypt(), context, address="192.0.2.19")).is_resumed
    assert not secured(world.visit(encrypt(), context, address="192.0.2.1")).is_resumed


@every_version
def test_a_server_without_tickets_costs_nothing_for_ever(world: World, version):
    context = world.server(GOOD, version)
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    secured(world.visit(encrypt(), context))
    for _ in range(10):
        world.far.send(b"x")
        assert world.client.receive(world.far.take_output()) == b"x"
    assert world.client._looks == 0
    assert not secured(world.visit(encrypt(), context)).is_resumed


# ---- what is no handshake -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"454 4.7.0 TLS not available\r\n", "the server did not answer with TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server did not answer with TLS"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "the server refused the TLS handshake (sslv3_alert_handshake_failure)"),
        (b"\x16\x03\x03\x00\x10" + b"\xff" * 16, "the TLS handshake failed ("),
        (b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + b"\0" * 20000, "the TLS handshake failed ("),
    ],
    ids=["a reply", "http", "an alert", "nonsense", "too long"],
)
def test_what_is_no_handshake_is_a_failure(world: World, octets: bytes, text: str):
    client = world.tls.connect(encrypt(), HOST)
    assert isinstance(client, ClientConnection)
    assert client.take_output()[:1] == b"\x16"
    result = client.negotiate(octets)
    assert isinstance(result, TlsFailure)
    assert result.kind == "handshake"
    assert result.text.startswith(text)
    assert result.cause
    assert world.count("relay_tls_client_handshakes_failed_total", "handshake") == 1


@every_version
def test_one_octet_at_a_time_comes_to_the_same(world: World, version):
    client = world.tls.connect(encrypt(), HOST)
    assert isinstance(client, ClientConnection)
    server, result = TlsServer(world.server(GOOD, version)), None
    while result is None:
        server.handshake(client.take_output())
        octets = server.take_output()
        for at in range(len(octets)):
            assert result is None
            result = client.negotiate(octets[at : at + 1])
    assert secured(result).version == version.name.replace("_", ".")


@every_version
def test_what_is_changed_on_the_way_is_noticed(world: World, version):
    secured(world.visit(encrypt(), world.server(GOOD, version)))
    world.far.send(b"250 fine\r\n")
    octets = bytearray(world.far.take_output())
    octets[-1] ^= 1
    with pytest.raises(TlsError) as raised:
        world.client.receive(bytes(octets))
    failure = world.client.broken(raised.value)
    assert failure.kind == "broken"
    assert "bad" in failure.text or "mac" in failure.text
    assert "SSL" in failure.cause
