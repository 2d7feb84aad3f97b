"""sd_notify(3) without systemd."""

import os
import socket
from pathlib import Path

import pytest

from relay.net.notify import Notifier


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_what_is_said_is_heard(tmp_path: Path, kind: str) -> None:
    name = f"@relay-test-{os.getpid()}" if kind == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(name.replace("@", "\0"))
        environ = {"NOTIFY_SOCKET": name, "OTHER": "stays"}
        notifier = Notifier(environ)
        assert environ == {"OTHER": "stays"}, "a child must not speak for us"
        assert notifier.is_enabled
        notifier.ready("generation 1 serves")
        notifier.reloading(12345)
        notifier.stopping("draining")
        notifier.status("text")
        notifier.watchdog()
        assert [ear.recv(4096).decode() for _ in range(5)] == [
            f"READY=1\nSTATUS=generation 1 serves\nMAINPID={os.getpid()}",
            "RELOADING=1\nMONOTONIC_USEC=12345\nSTATUS=reloading",
            "STOPPING=1\nSTATUS=draining",
            "STATUS=text",
            "WATCHDOG=1",
        ]


@pytest.mark.parametrize("value", ["", "vsock:2:1", "/nonexistent/notify"])
def test_without_a_manager_nothing_happens(value: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": value})
    notifier.ready("x")
    notifier.watchdog()


def test_a_manager_that_does_not_listen_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(5000):
            notifier.watchdog()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_when_it_is_ours(environ: dict[str, str], interval: float) -> None:
    assert Notifier(environ).watchdog_interval == interval
