"""Telling systemd how the service is doing (sd_notify(3)), without libsystemd and without needing systemd.

Theory: systemd names a datagram socket in NOTIFY_SOCKET and reads ``KEY=value`` lines from it. Elsewhere the variable
is missing, and every call here does nothing. Nothing here ever raises or blocks: a service manager that does not
listen must not stop the mail.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping


class Notifier:
    """The service manager's ear. Takes its variables out of ``environ``, so that no child speaks in our name."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        path = environ.pop("NOTIFY_SOCKET", "")
        # A leading "@" stands for the abstract name space; anything but a path or that is not understood (vsock).
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else ""
        self.watchdog_interval = _watchdog_interval(environ)
        """Seconds between two ``watchdog`` calls, half of what systemd allows; 0.0 when it does not watch."""

    @property
    def is_enabled(self) -> bool:
        """Whether there is a service manager to notify."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Started, or reloaded: serving."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def reloading(self, monotonic_us: int) -> None:
        """A reload began at ``monotonic_us`` of CLOCK_MONOTONIC (Type=notify-reload wants to know); ``ready`` ends
        it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}\nSTATUS=reloading")

    def stopping(self, status: str) -> None:
        """Draining; the end follows."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def watchdog(self) -> None:
        """Still alive; to be said every ``watchdog_interval`` seconds."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ear:
                ear.sendto(text.encode(), self._address)
        except OSError:
            pass  # see above: not our trouble


def _watchdog_interval(environ: MutableMapping[str, str]) -> float:
    """From WATCHDOG_USEC, when it is meant for this process (sd_watchdog_enabled(3))."""
    microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (pid and pid != str(os.getpid())):
        return 0.0
    return int(microseconds) / 2_000_000
