"""``relay serve`` that cannot start says why and where; what cannot be served never replaces what is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port, wait_for

TREE = Path(__file__).parents[2]
DEBIAN = Path("/usr/bin/python3")
"""A Python that every account can read, where the one that runs the tests may live in somebody's home."""


def served(appliance: Appliance) -> subprocess.CompletedProcess[str]:
    """``relay serve`` that is expected to end at once."""
    environ = dict(os.environ, RELAY_ALLOW_ROOT="true")
    return subprocess.run(
        appliance.command("serve"), env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_port_in_use_is_told_with_file_line_and_who_has_it(tmp_path: Path) -> None:
    relay = Appliance(tmp_path, free_port())
    with socket.create_server(("127.0.0.1", relay.smtp_port)):
        done = served(relay)
    assert done.returncode == 5
    line = 1 + relay.config.read_text().splitlines().index(f"port = {relay.smtp_port}")
    assert f"{relay.config}:{line}: listener[1].port: mx on 127.0.0.1:{relay.smtp_port}: " in done.stderr
    assert f"(pid {os.getpid()}) listens there already" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[sieve]\ndefault_script = 'no.sieve'", "sieve.default_script: there is no file"),
        ("[log]\ndestination = '/nonexistent/folder/log'", "log.destination: there is no folder /nonexistent/folder"),
        ("[[certificate]]\ncert = 'no.pem'\nkey = 'no.key'", "certificate[1].cert: there is no file"),
    ],
)
def test_what_is_missing_is_told_before_anything_starts(tmp_path: Path, more: str, said: str) -> None:
    done = served(Appliance(tmp_path, free_port(), more=more))
    assert done.returncode == 5
    assert "relay: cannot start:" in done.stderr
    assert f"{tmp_path}/relay.toml:" in done.stderr
    assert said in done.stderr


def test_a_worker_that_cannot_start_is_told_with_its_reason_and_the_logs_place(tmp_path: Path) -> None:
    """It said: see the log."""
    log = tmp_path / "mail.log"
    relay = Appliance(tmp_path, free_port(), more=f"[log]\ndestination = '{log}'")
    (tmp_path / "data" / "run").mkdir(parents=True)
    (tmp_path / "data" / "run").rmdir()
    (tmp_path / "data" / "run").write_text("in the way")
    done = served(relay)
    assert done.returncode == 5
    assert f"{tmp_path}/data/run" in done.stderr


def test_a_reload_with_a_script_that_is_broken_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with Appliance(tmp_path, free_port(), expects=("reload refused",)) as relay:
        (tmp_path / "default.sieve").write_text("keep;\nnonsense")
        relay.write_config(more="[sieve]\ndefault_script = 'default.sieve'")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        wait_for(lambda: [each for each in relay.events() if each["event"] == "reload refused"], 15, relay.tail)
        (refused,) = (each for each in relay.events() if each["event"] == "reload refused")
        assert f"{relay.config}:" in refused["reason"]
        assert "sieve.default_script" in refused["reason"]
        assert "line 2" in refused["reason"]
        assert relay.send("a@relay.test"), "the old configuration serves on"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_code_that_the_account_cannot_read_keeps_it_from_starting(tmp_path: Path) -> None:
    """It started, and its sessions ended at their first late import."""
    relay = Appliance(tmp_path, free_port(), top='user = "nobody"', data=Path("/tmp") / f"relay-start-{os.getpid()}")
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "relay").symlink_to(TREE / "relay")
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "relay.cli", "serve", "--config", str(relay.config)],
            env={**os.environ, "PYTHONPATH": str(tmp_path / "closed")}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(relay.data, ignore_errors=True)
    assert done.returncode == 5
    assert "its own code cannot be used: /" in done.stderr
    assert "account nobody" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not DEBIAN.exists(), reason="needs root, and a Python that all can read")
def test_a_late_import_needs_no_file_once_it_serves(tmp_path: Path) -> None:
    """All that a worker may need is imported before root's rights go: types of DNS records, codecs, and so on."""
    version = subprocess.run(
        [DEBIAN, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    if version.stdout.strip() != str(sys.version_info[:2]):
        pytest.skip("another Python")
    libraries = sysconfig.get_path("purelib")
    program = (
        "import sys; from relay.supervisor import preload; preload.import_everything(); known = set(sys.modules);"
        "import dns.resolver, dns.rdtypes.IN.AAAA, dns.rdtypes.ANY.MX, encodings.iso2022_jp;"
        "'x'.encode('idna'); b'x'.decode('koi8-r'); import concurrent.futures.thread, aiohttp.web, linecache;"
        "print(sorted(set(sys.modules) - known))"
    )
    done = subprocess.run(
        [DEBIAN, "-c", program], env={"PYTHONPATH": f"{TREE}:{libraries}"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
