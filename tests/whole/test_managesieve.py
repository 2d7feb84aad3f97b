"""ManageSieve in the real appliance: sieve-connect over STARTTLS, and a script that works for the next message."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port, wait_for
from tests.support.needs import need
from tests.support.sink import Sink

PASSWORD = "correct horse battery"
LISTENER = """
[[listener]]
name = "sieve"
kind = "managesieve"
address = "127.0.0.1"
port = {port}
"""


class Served(Appliance):
    def __init__(self, root: Path, sink_port: int) -> None:
        self.sieve_port = free_port()
        super().__init__(root, sink_port, more=LISTENER.format(port=self.sieve_port))


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Served]:
    with Sink() as sink:
        appliance = Served(tmp_path, sink.port)
        appliance.add_account("ann@local.test")
        with appliance:
            yield appliance


def sieve_connect(relay: Served, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs sieve-connect as ann; the certificate is our own, so it is not checked."""
    reading, writing = os.pipe()
    os.write(writing, PASSWORD.encode() + b"\n")
    os.close(writing)
    try:
        return subprocess.run(
            ["sieve-connect", "--server", "127.0.0.1", "--port", str(relay.sieve_port), "--user", "ann@local.test",
             "--notlsverify", "--authmech", "PLAIN", "--passwordfd", str(reading), *words],
            capture_output=True, text=True, timeout=60, check=False, pass_fds=(reading,), cwd=relay.root,
        )  # fmt: skip
    finally:
        os.close(reading)


def test_sieve_connect_uploads_activates_lists_and_downloads_and_the_script_runs(relay: Served) -> None:
    need(shutil.which("sieve-connect") is not None, "sieve-connect is missing")
    script = 'require ["fileinto", "mailbox"];\nfileinto :create "Filed";\n'
    (relay.root / "mine.sieve").write_text(script)
    for words in (("--localsieve", "mine.sieve", "--upload"), ("--remotesieve", "mine.sieve", "--activate")):
        done = sieve_connect(relay, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    listed = sieve_connect(relay, "--list").stdout
    assert '"mine.sieve" ACTIVE' in listed
    got = sieve_connect(relay, "--remotesieve", "mine.sieve", "--localsieve", "back.sieve", "--download")
    assert got.returncode == 0, got.stderr
    assert (relay.root / "back.sieve").read_text() == script
    relay.send("ann@local.test")
    folder = relay.data / "mail" / "local.test" / "ann" / ".Filed" / "new"
    wait_for(lambda: folder.exists() and list(folder.iterdir()), 20, relay.tail)
    assert relay.run("sieve", "list", "ann@local.test") == "mine.sieve\tactive\n"


def test_sieve_connect_is_told_what_is_wrong_with_a_script(relay: Served) -> None:
    need(shutil.which("sieve-connect") is not None, "sieve-connect is missing")
    (relay.root / "bad.sieve").write_text('fileinto "A";\n')
    done = sieve_connect(relay, "--localsieve", "bad.sieve", "--upload")
    assert done.returncode != 0
    assert "fileinto needs require" in done.stdout + done.stderr


def test_a_wrong_password_is_refused_and_the_session_has_a_line_in_the_log(relay: Served) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", relay.sieve_port), timeout=20) as plain:
        file = plain.makefile("rb")
        while not file.readline().startswith(b"OK"):
            pass
        plain.sendall(b"STARTTLS\r\n")
        assert file.readline().startswith(b"OK")
        with context.wrap_socket(plain) as secure:
            words = secure.makefile("rb")
            while not words.readline().startswith(b"OK"):
                pass
            initial = base64.b64encode(b"\0ann@local.test\0wrong")
            secure.sendall(b'AUTHENTICATE "PLAIN" "' + initial + b'"\r\nLISTSCRIPTS\r\nLOGOUT\r\n')
            assert words.readline() == b'NO "The login has failed"\r\n'
            assert words.readline() == b'NO "Log in first"\r\n'
            assert words.readline() == b'OK "Goodbye"\r\n'

    def line() -> list[dict[str, object]]:
        return [each for each in relay.events() if each.get("kind") == "session" and each.get("listener") == "sieve"]

    wait_for(line, 20, relay.tail)
    assert line()[0]["errors"] == 2
