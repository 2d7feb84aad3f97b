"""TLS of the whole appliance: real clients, several workers, certificates that are swapped under load, reloads."""

from __future__ import annotations

import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from relay.net.certificates import Files
from tests.support.appliance import Appliance, free_port, wait_for
from tests.support.explained import bare
from tests.support.needs import need
from tests.support.sink import Sink
from tests.support.tls import MemoryClient, SocketClient, client_context, make_pair, serial, serial_of

SUBMISSIONS = """
[[listener]]
name = "submissions"
kind = "submission"
address = "127.0.0.1"
port = {port}
tls = "implicit"
"""


def certificate(files: Files) -> str:
    return f'\n[[certificate]]\ncert = "{files.cert}"\nkey = "{files.key}"\n'


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture(scope="module")
def relay(sink: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """Two workers with the self-signed certificate, and a port that begins with TLS."""
    root = tmp_path_factory.mktemp("tls")
    port = free_port()
    more = SUBMISSIONS.format(port=port)
    with Appliance(root, sink.port, smtp_workers=2, more=more, expects=("worker lost",)) as running:
        running.submissions_port = port  # type: ignore[attr-defined]
        yield running


def submissions_port(relay: Appliance) -> int:
    return relay.submissions_port  # type: ignore[attr-defined,no-any-return]


def smtp_workers(relay: Appliance) -> int:
    """How many there are, those of a generation that drains among them."""
    return sum("smtp" in name for name in relay.workers().values())


def worker_of(connection: socket.socket, relay: Appliance) -> int:
    """The pid of the worker that serves ``connection``: who has a descriptor of the other end."""
    here = connection.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[2].rpartition(":")[2], 16) == here and int(words[1].rpartition(":")[2], 16) == relay.smtp_port:
            inode = f"socket:[{words[9]}]"
            for pid in relay.workers():
                if any(_links_to(path, inode) for path in Path(f"/proc/{pid}/fd").iterdir()):
                    return pid
    raise AssertionError("nobody serves it")


def _links_to(path: Path, target: str) -> bool:
    try:
        return str(path.readlink()) == target
    except OSError:
        return False


# ---- real clients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [("--tls",), ("--tls-on-connect",), ("--tls", "--tls-protocol", "tlsv1_2")],
                         ids=" ".join)  # fmt: skip
def test_swaks_sends_under_tls(relay: Appliance, sink: Sink, flags: tuple[str, ...]) -> None:
    need(shutil.which("swaks") is not None, "swaks is not installed")
    able = subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False).returncode == 0
    need(able, "swaks has no TLS: libnet-ssleay-perl is not installed")
    port = submissions_port(relay) if "--tls-on-connect" in flags else relay.smtp_port
    name = f"swaks-{'-'.join(flags).strip('-')}"
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), *flags, "--from", "a@source.test",
         "--to", "b@relay.test", "--header", f"X-Name: {name}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: any(name.encode() in each.content for each in sink.messages), 20, "the message at the sink")
    content = next(each.content for each in sink.messages if name.encode() in each.content)
    version = b"TLSv1.2" if "tlsv1_2" in flags else b"TLSv1.3"
    assert b"with ESMTPS (" + version + b" " in content


def s_client(port: int, *options: str, commands: str = "EHLO a.test\nQUIT\n") -> str:
    done = subprocess.run(
        ["openssl", "s_client", "-ign_eof", "-crlf", "-connect", f"127.0.0.1:{port}", *options],
        input=commands, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_shakes_hands_and_comes_again_with_its_ticket(relay: Appliance, tmp_path: Path, version: str) -> None:
    need(shutil.which("openssl") is not None, "openssl is not installed")
    session = str(tmp_path / "session")
    first = s_client(relay.smtp_port, "-starttls", "smtp", version, "-sess_out", session)
    assert "CN = mx.relay.example" in first or "CN=mx.relay.example" in first
    assert "New, TLSv1." in first
    for _ in range(4):
        again = s_client(relay.smtp_port, "-starttls", "smtp", version, "-sess_in", session)
        assert "Reused, TLSv1." in again, again


def test_openssl_is_refused_with_what_is_too_old(relay: Appliance) -> None:
    need(shutil.which("openssl") is not None, "openssl is not installed")
    said = s_client(relay.smtp_port, "-starttls", "smtp", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "New, TLSv1.1" not in said
    assert "Cipher is (NONE)" in said


def test_smtplib_sends_over_both_kinds_of_port(relay: Appliance) -> None:
    with smtplib.SMTP("127.0.0.1", relay.smtp_port, timeout=20) as client:
        assert client.starttls(context=client_context())[0] == 220
        client.ehlo("a.test")
        assert not client.has_extn("starttls")
        assert client.sendmail("a@source.test", ["b@relay.test"], "Subject: x\r\n\r\nhello\r\n") == {}
    with smtplib.SMTP_SSL("127.0.0.1", submissions_port(relay), timeout=20, context=client_context()) as client:
        assert client.sendmail("a@source.test", ["b@relay.test"], "Subject: x\r\n\r\nhello\r\n") == {}
    line = relay_transaction(relay, "submissions")
    assert line["protocol"] == "ESMTPS"
    assert str(line["tls"]).startswith("TLSv1.3 TLS_")


def relay_transaction(relay: Appliance, listener: str) -> dict[str, object]:
    def found() -> list[dict[str, object]]:
        return [each for each in relay.events() if each["kind"] == "transaction" and each["listener"] == listener]

    wait_for(found, 10, "the transaction in the log")
    return found()[-1]


# ---- tickets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_ticket_of_one_worker_is_good_at_every_other(relay: Appliance, version: ssl.TLSVersion) -> None:
    context = client_context(version)
    with SocketClient(relay.smtp_port) as client:
        session = client.starttls(context=context).session
        first = worker_of(client.socket, relay)
    others = 0
    for _ in range(60):
        with SocketClient(relay.smtp_port) as client:
            secured = client.starttls(context=context, session=session)
            assert secured.session_reused
            others += worker_of(client.socket, relay) != first
        if others >= 3:
            break
    assert others, "every connection came to the same worker"
    assert (
        relay.metrics()[f'relay_tls_handshakes_total{{resumed="yes",version="{version.name.replace("_", ".")}"}}'] > 0
    )


def test_a_ticket_survives_a_reload_and_a_killed_worker(relay: Appliance) -> None:
    """A configuration reload replaces all workers; the keys are the supervisor's."""
    context = client_context()
    with SocketClient(relay.smtp_port) as client:
        session = client.starttls(context=context).session
    generation = int(relay.metrics()["relay_supervisor_generation"])
    assert relay.process is not None
    relay.process.send_signal(signal.SIGHUP)
    wait_for(partial(relay.serves, generation + 1), 20, relay.tail)
    with SocketClient(relay.smtp_port) as client:
        assert client.starttls(context=context, session=session).session_reused
        worker = worker_of(client.socket, relay)
    subprocess.run(["kill", "-9", str(worker)], check=True)
    wait_for(lambda: worker not in relay.workers() and smtp_workers(relay) == 2, 20, relay.tail)
    for _ in range(8):
        with SocketClient(relay.smtp_port) as client:
            assert client.starttls(context=context, session=session).session_reused


# ---- what a stranger may try ----------------------------------------------------------------------------------------


def test_commands_injected_behind_starttls_do_nothing(relay: Appliance, sink: Sink) -> None:
    """CVE-2011-0411."""
    before = len(sink.messages)
    evil = (
        b"EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<b@relay.test>\r\nDATA\r\nSubject: evil\r\n\r\n.\r\n"
    )
    with socket.create_connection(("127.0.0.1", relay.smtp_port), timeout=10) as client:
        client.recv(1000)
        client.sendall(b"EHLO a.test\r\n")
        client.recv(1000)
        client.sendall(b"STARTTLS\r\n" + evil)
        said = b""
        while octets := client.recv(1000):
            said += octets
    assert bare(said) == b"554 5.5.1 Nothing may follow STARTTLS before TLS has begun\r\n"
    with SocketClient(relay.smtp_port) as second:
        second.reply()
        second.say("EHLO a.test")
        assert second.say("STARTTLS")[0].startswith("220 ")
        second.socket.sendall(evil)
        assert not [line for line in second.reply() if line[:3].isdigit()]
    assert len(sink.messages) == before


def test_a_handshake_that_is_never_finished_is_cut_off(sink: Sink, tmp_path: Path) -> None:
    more = '[tls]\nhandshake_timeout = "1s"\nmax_handshakes = 2'
    with Appliance(tmp_path, sink.port, smtp_workers=1, more=more) as relay:
        stalled = [SocketClient(relay.smtp_port) for _ in range(2)]
        for client in stalled:
            client.reply()
            client.say("EHLO a.test")
            assert client.say("STARTTLS")[0].startswith("220 ")
            client.socket.sendall(MemoryClient().step()[:50])
        with SocketClient(relay.smtp_port) as third:
            third.reply()
            third.say("EHLO a.test")
            assert third.say("STARTTLS")[0].startswith("454 4.7.0 ")
        for client in stalled:
            assert client.reply() == []
            client.socket.close()
        assert relay.metrics()['relay_tls_handshakes_failed_total{reason="timeout"}'] == 2
        with SocketClient(relay.smtp_port) as client:
            client.starttls()


def test_a_drain_during_a_handshake_ends_in_time(sink: Sink, tmp_path: Path) -> None:
    with Appliance(tmp_path, sink.port, smtp_workers=1, more='[tls]\nhandshake_timeout = "2s"') as relay:
        finishing, stalled = SocketClient(relay.smtp_port), SocketClient(relay.smtp_port)
        for client in (finishing, stalled):
            client.reply()
            client.say("EHLO a.test")
            assert client.say("STARTTLS")[0].startswith("220 ")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGTERM)
        finishing.secure()
        assert finishing.reply()[0].startswith("421 4.3.2 ")
        finishing.socket.close()
        assert relay.process.wait(10) == 0
        stalled.socket.close()


# ---- certificates ---------------------------------------------------------------------------------------------------


def serial_now(port: int, name: str | None = None) -> int:
    with SocketClient(port) as client:
        return serial(client.starttls(name=name).getpeercert(binary_form=True))


def test_certificates_are_swapped_under_load(sink: Sink, tmp_path: Path) -> None:
    """Kubernetes swaps one link to a folder, certbot one link per file. Nobody is refused, all workers follow."""
    versions = [make_pair(tmp_path / f"v{number}", "mx.relay.example") for number in range(3)]
    data = tmp_path / "..data"
    data.symlink_to(versions[0].cert.parent)
    live = Files(data / "pair.crt", data / "pair.key")
    with Appliance(tmp_path, sink.port, smtp_workers=2, more=certificate(live)) as relay:
        stop, refused, served = threading.Event(), list[str](), list[int]()

        def load() -> None:
            while not stop.is_set():
                try:
                    served.append(serial_now(relay.smtp_port))
                except (OSError, AssertionError) as fault:
                    refused.append(repr(fault))

        threads = [threading.Thread(target=load, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for version in versions[1:]:
            (tmp_path / "next").symlink_to(version.cert.parent)
            (tmp_path / "next").rename(data)
            wanted = serial_of(version)
            wait_for(lambda: len(served) > 20 and set(served[-20:]) == {wanted}, 20, relay.tail)  # noqa: B023
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not refused
        assert relay.metrics()['relay_tls_certificate_loads_total{result="served"}'] == 4, "two swaps in two workers"

        def loaded() -> int:
            return sum(line.get("event") == "certificate loaded" for line in relay.events())

        wait_for(lambda: loaded() >= 2, 10, relay.tail)
        assert loaded() == 2, "told once, not by each worker"


def test_a_pair_that_does_not_fit_is_refused_and_a_good_one_follows(sink: Sink, tmp_path: Path) -> None:
    first, second = make_pair(tmp_path, "a.example", stem="1"), make_pair(tmp_path, "a.example", stem="2")
    live = Files(tmp_path / "live.crt", tmp_path / "live.key")
    for link, target in zip(live, first, strict=True):
        link.symlink_to(target)
    more = certificate(live)
    with Appliance(tmp_path, sink.port, smtp_workers=1, more=more, expects=("certificate refused",)) as relay:
        (tmp_path / "next").symlink_to(second.cert)
        (tmp_path / "next").rename(live.cert)
        wait_for(lambda: any(line.get("event") == "certificate refused" for line in relay.events()), 10, relay.tail)
        assert serial_now(relay.smtp_port) == serial_of(first)
        (tmp_path / "next").symlink_to(second.key)
        (tmp_path / "next").rename(live.key)
        wait_for(lambda: serial_now(relay.smtp_port) == serial_of(second), 10, relay.tail)
        expiry = relay.metrics()["relay_tls_certificate_expiry_time_seconds"]
        assert 29 < (expiry - datetime.now(UTC).timestamp()) / 86400 < 31


def test_names_get_their_certificates(sink: Sink, tmp_path: Path) -> None:
    first = make_pair(tmp_path, "mx.relay.example", stem="1")
    second = make_pair(tmp_path, "*.example.net", stem="2", rsa_key=True)
    more = certificate(first) + certificate(second)
    with Appliance(tmp_path, sink.port, smtp_workers=1, more=more) as relay:
        assert serial_now(relay.smtp_port, "mail.example.net") == serial_of(second)
        assert serial_now(relay.smtp_port, "mx.relay.example") == serial_of(first)
        assert serial_now(relay.smtp_port) == serial_of(first)


def test_a_reload_with_a_bad_certificate_is_refused(sink: Sink, tmp_path: Path) -> None:
    """I6: it is told with file and line before a worker is begun, and the old generation serves on."""
    first, second = make_pair(tmp_path, "a.example", stem="1"), make_pair(tmp_path, "b.example", stem="2")
    with Appliance(tmp_path, sink.port, smtp_workers=1, more=certificate(first), expects=("reload refused",)) as relay:
        relay.write_config(more=certificate(Files(first.cert, second.key)))
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        wait_for(lambda: relay.metrics()["relay_supervisor_reload_refused"] == 1, 20, relay.tail)
        assert f"{relay.config}:" in relay.tail()
        assert "certificate[1]: " in relay.tail()
        assert serial_now(relay.smtp_port) == serial_of(first)
        checked = relay.result("check")
        assert checked.returncode == 3
        assert "is not the key of the certificate" in checked.stdout + checked.stderr


def test_a_listener_without_tls_offers_none(sink: Sink, tmp_path: Path) -> None:
    plain = free_port()
    more = f'[[listener]]\nname = "plain"\nkind = "mx"\naddress = "127.0.0.1"\nport = {plain}\ntls = "none"\n'
    with Appliance(tmp_path, sink.port, smtp_workers=1, more=more) as relay, SocketClient(plain) as client:
        client.reply()
        assert not any("STARTTLS" in line for line in client.say("EHLO a.test"))
        assert client.say("STARTTLS")[0].startswith("502 ")
        assert (relay.data / "tls" / "self-signed.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("cipher", "where"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", ("mx", "submissions")),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", ("mx", "submissions")),
        ("ECDHE-RSA-AES256-SHA384", ("mx",)),
        ("ECDHE-ECDSA-AES256-SHA", ("mx",)),
        ("DHE-RSA-AES128-GCM-SHA256", ("mx",)),
        ("DHE-RSA-AES256-SHA", ("mx",)),
        ("AES128-SHA", ("mx",)),
    ],
)
def test_other_servers_need_not_fall_back_to_clear_text_and_people_get_good_ciphers_only(relay, cipher, where):
    """RFC 7435: whatever is encrypted beats clear text."""
    need(shutil.which("openssl") is not None, "openssl is not installed")
    places = {
        "mx": ["-starttls", "smtp", "-connect", f"127.0.0.1:{relay.smtp_port}"],
        "submissions": ["-connect", f"127.0.0.1:{submissions_port(relay)}"],
    }
    for name, words in places.items():
        done = subprocess.run(
            ["openssl", "s_client", *words, "-tls1_2", "-cipher", cipher],
            input="QUIT\r\n", capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        agreed = f"Cipher is {cipher}" in done.stdout
        assert agreed == (name in where), (name, done.stdout + done.stderr)
