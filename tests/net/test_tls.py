"""Which certificate serves whom, what happens when files change, and which tickets are good."""

import asyncio
import hashlib
import shutil
import ssl
import time
from array import array
from pathlib import Path
from typing import Any

import pytest

from relay.config import Config
from relay.config.model import CertificateFiles, Listener, TlsSettings
from relay.net import _tickets
from relay.net.certificates import CertificateError, Files
from relay.net.tickets import HOUR, TicketKeys
from relay.net.tls import ServerTls
from relay.net.tls_machine import TlsError
from relay.telemetry import metrics
from tests.support.tls import MemoryClient, client_context, make_pair, serial, serial_of

START = time.monotonic()


class World:
    """One process's TLS."""

    def __init__(self, folder: Path, *pairs: Files | tuple[Files, tuple[str, ...]], keys: TicketKeys | None = None,
                 profiles: tuple[str, ...] = ("modern",), **settings: Any) -> None:  # fmt: skip
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.cells = array("Q", [0]) * metrics.ROW_CELLS
        wanted = [pair if isinstance(pair[0], Files) else (pair, ()) for pair in pairs]
        config = Config(
            hostname="mx.example.org",
            data_dir=folder / "data",
            tls=TlsSettings(**settings),
            listeners=tuple(Listener(each, "mx", "127.0.0.1", 0, tls_profile=each) for each in profiles),
            certificates=tuple(CertificateFiles(*files, names) for files, names in wanted),
        )
        self.tls = ServerTls(
            config,
            keys or TicketKeys(START),
            lambda level, event, fields: self.events.append((level, event, dict(fields))),
            memoryview(self.cells),
        )

    def visit(self, name: str | None = None, session: ssl.SSLSession | None = None,
              context: ssl.SSLContext | None = None, profile: str = "modern") -> MemoryClient:  # fmt: skip
        """A client's handshake."""
        client = MemoryClient(context, name=name, session=session)
        self.server = self.tls.of(profile).accept()
        client.shake(self.server)
        return client

    def serial(self, name: str | None = None) -> int:
        return serial(self.visit(name).tls.getpeercert(binary_form=True))

    def resumes(self, session: ssl.SSLSession, context: ssl.SSLContext) -> bool:
        client = self.visit(session=session, context=context)
        assert client.tls.session_reused == self.server.is_resumed
        return self.server.is_resumed

    def count(self, name: str, *values: str) -> int:
        return self.cells[metrics.index(name, *values)]


# ---- versions and ciphers -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_than_tls_1_2_is_spoken(tmp_path):
    old = client_context(ssl.TLSVersion.TLSv1_1)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(TlsError) as raised:
        World(tmp_path).visit(context=old)
    assert raised.value.kind == "no_agreement"


def test_tls_1_3_alone_can_be_asked_for(tmp_path):
    world = World(tmp_path, min_version="1.3")
    with pytest.raises(TlsError) as raised:
        world.visit(context=client_context(ssl.TLSVersion.TLSv1_2))
    assert raised.value.kind == "no_agreement"
    world.visit()
    assert world.server.version == "TLSv1.3"


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "ECDHE-RSA-AES128-SHA", "AES256-GCM-SHA384"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(tmp_path, ciphers):
    """RFC 9325 4.2."""
    weak = client_context(ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers(ciphers)
    with pytest.raises(TlsError) as raised:
        World(tmp_path, make_pair(tmp_path, "a.example", rsa_key=True)).visit(context=weak)
    assert raised.value.kind == "no_agreement"


@pytest.mark.parametrize("rsa_key", [False, True], ids=["ec", "rsa"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_both_kinds_of_key_serve_both_versions(tmp_path, rsa_key, version):
    world = World(tmp_path, make_pair(tmp_path, "a.example", rsa_key=rsa_key))
    world.visit(context=client_context(version))
    assert world.server.is_established


KINDS_OF_CIPHERS = {
    "ECDHE-RSA-AES128-GCM-SHA256": ("modern", "intermediate", "opportunistic"),
    "ECDHE-ECDSA-CHACHA20-POLY1305": ("modern", "intermediate", "opportunistic"),
    "DHE-RSA-AES256-GCM-SHA384": ("intermediate", "opportunistic"),
    "ECDHE-RSA-AES256-SHA384": ("opportunistic",),
    "ECDHE-ECDSA-AES128-SHA": ("opportunistic",),
    "ECDHE-RSA-AES128-SHA": ("opportunistic",),
    "DHE-RSA-AES128-SHA": ("opportunistic",),
    "AES256-GCM-SHA384": ("opportunistic",),
    "AES128-SHA": ("opportunistic",),
    "ADH-AES128-SHA256": (),
    "NULL-SHA256": (),
}


@pytest.mark.parametrize("profile", ["modern", "intermediate", "opportunistic"])
@pytest.mark.parametrize("cipher", KINDS_OF_CIPHERS)
def test_each_profile_has_its_ciphers(all_profiles, profile, cipher):
    """With the certificates that Relay makes itself: one of each kind of key."""
    context = client_context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    if profile not in KINDS_OF_CIPHERS[cipher]:
        with pytest.raises(TlsError) as raised:
            all_profiles.visit(context=context, profile=profile)
        assert raised.value.kind == "no_agreement"
        return
    all_profiles.visit(context=context, profile=profile)
    assert all_profiles.server.summary == f"TLSv1.2 {cipher}"


@pytest.mark.parametrize("profile", ["modern", "intermediate", "opportunistic"])
def test_the_best_that_both_have_is_taken(all_profiles, profile):
    """Whatever the client likes best: it may be old, or somebody may have put its list into another order."""
    context = client_context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-SHA:DHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256")
    all_profiles.visit(context=context, profile=profile)
    assert all_profiles.server.summary == "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256"


@pytest.fixture(scope="module")
def all_profiles(tmp_path_factory) -> World:
    """A process with a listener of each profile."""
    return World(tmp_path_factory.mktemp("profiles"), profiles=("modern", "intermediate", "opportunistic"))


# ---- names ----------------------------------------------------------------------------------------------------------


def test_a_client_gets_the_certificate_of_the_name_it_asks_for(tmp_path):
    first = make_pair(tmp_path, "mx.example.org", stem="1")
    second = make_pair(tmp_path, "mail.example.net", "*.sub.example.net", stem="2")
    world = World(tmp_path, first, second)
    assert world.serial("mail.example.net") == serial_of(second)
    assert world.serial("MAIL.Example.Net") == serial_of(second)
    assert world.serial("x.sub.example.net") == serial_of(second)
    assert world.serial("mx.example.org") == serial_of(first)


def test_everybody_else_gets_the_first_certificate(tmp_path):
    first, second = make_pair(tmp_path, "mx.example.org", stem="1"), make_pair(tmp_path, "*.example.net", stem="2")
    world = World(tmp_path, first, second)
    for name in (None, "elsewhere.example", "example.net", "a.b.example.net"):
        assert world.serial(name) == serial_of(first), name


def test_configured_names_take_the_place_of_those_in_the_certificate(tmp_path):
    first, second = make_pair(tmp_path, "a.example", stem="1"), make_pair(tmp_path, "b.example", stem="2")
    world = World(tmp_path, first, (second, ("a.example", "*.c.example")))
    assert world.serial("a.example") == serial_of(first), "the first that has the name"
    assert world.serial("x.c.example") == serial_of(second)
    assert world.serial("b.example") == serial_of(first)


def one_kind(kind: str) -> ssl.SSLContext:
    """A client that can check no other certificates."""
    context = client_context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256" if kind == "ec" else "ECDHE-RSA-AES128-GCM-SHA256")
    return context


def served(world: World, kind: str, name: str | None = None) -> int:
    return serial(world.visit(name, context=one_kind(kind)).tls.getpeercert(binary_form=True))


@pytest.mark.parametrize("wanted", [(), ("mx.example.org",)], ids=["of the certificates", "of the configuration"])
def test_two_certificates_of_one_name_serve_whom_each_can(tmp_path, wanted):
    pairs = {kind: make_pair(tmp_path, "mx.example.org", stem=kind, rsa_key=kind == "rsa") for kind in ("rsa", "ec")}
    other = make_pair(tmp_path, "b.example", stem="other")
    world = World(tmp_path, (pairs["rsa"], wanted), (other, ()), (pairs["ec"], wanted))
    for kind, files in pairs.items():
        for name in ("mx.example.org", None, "elsewhere.example"):
            assert served(world, kind, name) == serial_of(files), (kind, name)
    assert served(world, "ec", "b.example") == serial_of(other)
    with pytest.raises(TlsError):
        served(world, "rsa", "b.example")


def test_one_of_two_certificates_can_be_replaced(tmp_path):
    live, fixed = Live(tmp_path / "x", "a.example"), make_pair(tmp_path, "a.example", rsa_key=True)
    world = World(tmp_path, live.files, fixed)
    new = live.swap()
    for _ in range(2):
        world.tls.look()
    assert served(world, "ec") == serial_of(new)
    assert served(world, "rsa") == serial_of(fixed)


def test_two_certificates_with_one_kind_of_key_cannot_be_given_one_name(tmp_path):
    pairs = [(make_pair(tmp_path, "a.example", stem=stem), ("a.example",)) for stem in "12"]
    with pytest.raises(CertificateError, match=r'certificate\[2\]: "a.example" gets certificate 1 already'):
        World(tmp_path, *pairs)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_the_channel_binding_is_that_of_the_certificate_that_was_shown(tmp_path, kind):
    """RFC 5929 4.1."""
    world = World(tmp_path)
    client = world.visit(context=one_kind(kind))
    shown = hashlib.sha256(client.tls.getpeercert(binary_form=True) or b"").digest()
    assert world.server.bindings["tls-server-end-point"] == shown
    again = world.visit(context=client.context, session=client.session)
    assert again.tls.session_reused
    assert "tls-server-end-point" not in world.server.bindings, "nobody knows which it was"


def test_the_certificates_that_we_make_stay_the_same(tmp_path):
    first = [each.pair.der for each in World(tmp_path).tls.served_for(None).certificates]
    assert [each.pair.kind for each in World(tmp_path).tls.served_for(None).certificates] == ["ec", "rsa"]
    assert [each.pair.der for each in World(tmp_path).tls.served_for(None).certificates] == first


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    good, bad = make_pair(tmp_path, "a.example", stem="1"), make_pair(tmp_path, "b.example", stem="2")
    shutil.copy(good.key, bad.key)
    gone = Files(tmp_path / "no.crt", tmp_path / "no.key")
    with pytest.raises(CertificateError) as raised:
        World(tmp_path, good, bad, gone)
    assert "certificate[2]: " in str(raised.value)
    assert "certificate[3]: " in str(raised.value)
    assert "certificate[1]" not in str(raised.value)


def test_a_key_that_openssl_refuses_is_refused_here(tmp_path):
    """Security level 2 of OpenSSL wants at least 2048 bits."""
    with pytest.raises(CertificateError, match="OpenSSL refuses it: EE_KEY_TOO_SMALL"):
        World(tmp_path, make_pair(tmp_path, "a.example", rsa_key=True, bits=1024))


def test_without_a_certificate_one_is_made_for_the_host_name(tmp_path):
    world = World(tmp_path)
    assert world.tls.served_for(None).certificates[0].names == ("mx.example.org",)
    assert world.serial("mx.example.org") == serial_of(world.tls.served_for(None).certificates[0].files)


def test_a_server_that_brings_its_own_tls_serves_the_same(tmp_path):
    """The admin port will: aiohttp wants a context, and never asks for another one."""
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)

    async def serials() -> list[int]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=world.tls.context)
        found = []
        for _ in range(2):
            place = server.sockets[0].getsockname()[:2]
            _, writer = await asyncio.open_connection(*place, ssl=client_context())
            found.append(serial(writer.get_extra_info("ssl_object").getpeercert(binary_form=True)))
            writer.close()
            live.swap()
            world.tls.look()
            world.tls.look()
        server.close()
        return found

    first, second = asyncio.run(serials())
    assert first != second


# ---- files that change ----------------------------------------------------------------------------------------------


class Live:
    """A pair behind symbolic links, as certbot keeps it."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.names = names
        self.version = 0
        self.files = Files(folder / "live" / "fullchain.pem", folder / "live" / "privkey.pem")
        self.files.cert.parent.mkdir(parents=True)
        self.swap()

    def make(self, **options: Any) -> Files:
        self.version += 1
        return make_pair(self.folder / "archive", *self.names, stem=str(self.version), **options)

    def swap(self, new: Files | None = None) -> Files:
        """Points the links at another pair; each swap is atomic, the two together are not."""
        new = new or self.make()
        for link, target in zip(self.files, new, strict=True):
            beside = link.with_suffix(".new")
            beside.symlink_to(target)
            beside.rename(link)
        return new


def test_a_swapped_pair_serves_once_it_has_stood_still(tmp_path):
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)
    old = world.serial()
    new = live.swap()
    world.tls.look()
    assert world.serial() == old
    world.tls.look()
    assert world.serial() == serial_of(new) != old
    assert [event[:2] for event in world.events] == [("info", "certificate loaded")]
    assert world.count("relay_tls_certificate_loads_total", "served") == 1


def test_a_pair_in_the_middle_of_a_swap_is_not_reported(tmp_path):
    """certbot swaps one link after the other: in between they do not fit."""
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)
    new = live.make()
    live.swap(Files(new.cert, live.files.key.resolve()))
    world.tls.look()
    live.swap(new)
    world.tls.look()
    world.tls.look()
    assert world.serial() == serial_of(new)
    assert [event for _, event, _ in world.events] == ["certificate loaded"]


def test_a_pair_that_does_not_fit_is_refused_and_the_old_one_serves_on(tmp_path):
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)
    old = world.serial()
    new = live.make()
    live.swap(Files(new.cert, live.files.key.resolve()))
    for _ in range(5):
        world.tls.look()
    assert world.serial() == old
    assert [(level, event) for level, event, _ in world.events] == [("error", "certificate refused")], "told once"
    assert "is not the key of" in str(world.events[0][2]["cause"])
    assert world.count("relay_tls_certificate_loads_total", "refused") == 1
    live.swap(new)
    for _ in range(2):
        world.tls.look()
    assert world.serial() == serial_of(new)


def test_a_file_that_vanishes_changes_nothing(tmp_path):
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)
    old = world.serial()
    live.files.cert.unlink()
    for _ in range(3):
        world.tls.look()
    assert world.serial() == old
    assert [event for _, event, _ in world.events] == ["certificate refused"]


def test_another_kind_of_key_takes_the_place_of_the_old_one(tmp_path):
    """Loaded into the old context, OpenSSL would keep the old certificate beside the new one and serve both."""
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)
    new = live.swap(live.make(rsa_key=True))
    for _ in range(2):
        world.tls.look()
    assert world.serial() == serial_of(new)
    both = client_context(ssl.TLSVersion.TLSv1_2)
    both.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(TlsError):
        world.visit(context=both)


def test_only_the_pair_that_changed_is_read_again(tmp_path):
    live, other = Live(tmp_path / "x", "a.example"), make_pair(tmp_path, "b.example")
    world = World(tmp_path, live.files, other)
    before = world.tls.served_for("b.example").certificates[0]
    live.swap()
    for _ in range(2):
        world.tls.look()
    assert world.tls.served_for("b.example").certificates[0] is before


def test_a_connection_in_the_middle_of_its_handshake_goes_on_with_the_old_pair(tmp_path):
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)
    server, client = world.tls.accept(), MemoryClient()
    server.handshake(client.step())
    client.incoming.write(server.take_output())
    live.swap()
    for _ in range(2):
        world.tls.look()
    assert server.handshake(client.step())


def test_a_certificate_that_has_expired_is_warned_of_and_serves(tmp_path):
    """For mail in transit an old certificate is better than none: senders do not check it (RFC 7435)."""
    world = World(tmp_path, make_pair(tmp_path, "a.example", days=-1))
    assert [(level, event) for level, event, _ in world.events] == [("warning", "certificate not valid")]
    world.visit()


def test_the_gauge_tells_when_the_first_certificate_expires(tmp_path):
    world = World(tmp_path, make_pair(tmp_path, "a.example", days=20, stem="1"), make_pair(tmp_path, "b.x", days=5))
    days = (world.count("relay_tls_certificate_expiry_time_seconds") / 1e6 - time.time()) / 86400
    assert 4.9 < days < 5.1


# ---- tickets --------------------------------------------------------------------------------------------------------

both_versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)  # fmt: skip


@both_versions
def test_a_ticket_is_good_in_every_process_that_has_the_keys(tmp_path, version):
    keys = TicketKeys(START)
    context = client_context(version)
    session = World(tmp_path / "1", keys=keys).visit(context=context).session
    assert World(tmp_path / "2", make_pair(tmp_path, "other.example"), keys=keys).resumes(session, context)


@both_versions
@pytest.mark.parametrize("profile", ["modern", "intermediate", "opportunistic"])
def test_a_ticket_is_good_with_every_profile(tmp_path, version, profile):
    keys = TicketKeys(START)
    context = client_context(version)
    session = World(tmp_path / "1", keys=keys, profiles=(profile,)).visit(context=context, profile=profile).session
    other = World(tmp_path / "2", keys=keys, profiles=(profile,))
    assert other.visit(context=context, session=session, profile=profile).tls.session_reused


@both_versions
def test_a_ticket_is_no_good_elsewhere(tmp_path, version):
    context = client_context(version)
    session = World(tmp_path).visit(context=context).session
    assert not World(tmp_path).resumes(session, context)


@both_versions
def test_a_ticket_survives_a_new_certificate(tmp_path, version):
    live = Live(tmp_path, "a.example")
    world = World(tmp_path, live.files)
    context = client_context(version)
    session = world.visit(context=context).session
    live.swap()
    for _ in range(2):
        world.tls.look()
    assert world.resumes(session, context)


@both_versions
def test_a_ticket_survives_new_keys_until_its_lifetime_is_over(tmp_path, version):
    world = World(tmp_path, ticket_lifetime=2 * HOUR)
    context = client_context(version)
    session = world.visit(context=context).session
    world.tls.turn_keys(START + 1.5 * HOUR)
    assert world.resumes(session, context)
    world.tls.turn_keys(START + 4 * HOUR)
    assert not world.resumes(session, context)


def test_a_client_with_an_old_ticket_gets_a_new_one(tmp_path):
    """RFC 5077 3.3; a TLS 1.3 server gives one with every handshake anyway."""
    world = World(tmp_path)
    context = client_context(ssl.TLSVersion.TLSv1_2)
    old = world.visit(context=context).session
    world.tls.turn_keys(START + 2 * HOUR)
    again = world.visit(session=old, context=context)
    assert again.tls.session_reused
    world.tls.turn_keys(START + 6 * HOUR)
    assert not world.resumes(old, context)
    assert World(tmp_path, keys=world.tls._keys).resumes(again.session, context)


@both_versions
def test_a_client_can_come_again_and_again(tmp_path, version):
    """A TLS 1.3 client shows a ticket once and needs a new one each time (RFC 8446 C.4)."""
    world = World(tmp_path)
    context = client_context(version)
    client = world.visit(context=context)
    for _ in range(4):
        before = client.session
        client = world.visit(session=before, context=context)
        assert client.tls.session_reused
        assert version == ssl.TLSVersion.TLSv1_2 or client.session != before


def test_the_client_is_told_the_lifetime(tmp_path):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        session = World(tmp_path, ticket_lifetime=1800.0).visit(context=client_context(version)).session
        assert session.ticket_lifetime_hint == 1800


@both_versions
def test_no_tickets_where_none_are_wanted(tmp_path, version):
    world = World(tmp_path, ticket_lifetime=0.0)
    context = client_context(version)
    client = world.visit(context=context)
    assert client.tls.session is None or not client.session.has_ticket
    assert not world.tls.has_shared_tickets


def test_an_openssl_that_cannot_be_reached_is_told_of_and_serves(tmp_path, monkeypatch):
    """A Python with OpenSSL linked into it: resumption then works in one process at a time."""
    monkeypatch.setattr(_tickets, "install", lambda *_: False)
    world = World(tmp_path)
    assert [event for _, event, _ in world.events] == ["session tickets not shared"]
    context = client_context()
    session = world.visit(context=context).session
    assert world.resumes(session, context)
    assert not World(tmp_path, keys=world.tls._keys).resumes(session, context)


def test_this_pythons_openssl_can_be_reached():
    assert _tickets.install(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), 60)


def test_what_is_no_context_is_left_alone():
    nothing: Any = object()
    assert not _tickets.install(nothing, 60)


# ---- handshakes -----------------------------------------------------------------------------------------------------


def test_handshakes_are_bounded_and_counted(tmp_path):
    world = World(tmp_path, max_handshakes=2)
    handshakes = world.tls.handshakes
    assert handshakes.begin()
    assert handshakes.begin()
    assert not handshakes.begin()
    assert world.count("relay_tls_handshakes_failed_total", "busy") == 1
    assert world.count("relay_tls_handshakes_open") == 2
    handshakes.failed("timeout")
    assert handshakes.begin()
    context = client_context()
    client = world.visit(context=context)
    handshakes.done(world.server, 1500)
    handshakes.begin()
    world.visit(session=client.session, context=context)
    handshakes.done(world.server, 500)
    assert world.count("relay_tls_handshakes_total", "TLSv1.3", "no") == 1
    assert world.count("relay_tls_handshakes_total", "TLSv1.3", "yes") == 1
    assert world.count("relay_tls_handshakes_open") == 1
