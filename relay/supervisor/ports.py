"""Whether the addresses and ports of a configuration can be listened on, and if not, who is in the way.

Not here: the sockets that serve (sockets.py).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.config.check import fixed_next_hops
from relay.config.model import Config
from relay.config.positions import KeyPath
from relay.net import listeners
from relay.net.listeners import Endpoint
from relay.supervisor.premises import Finding, error, warning

_LISTENING: Final = "0A"
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_LOOKUP_SECONDS: Final = 3.0
_LOOKUPS: Final = 64
"""Names that are looked up, at the same time."""


class Holder(NamedTuple):
    """A process that listens on a port."""

    pid: int
    name: str

    @property
    def is_relay(self) -> bool:
        """Whether it is a process of some appliance (supervisor or worker, by the names they give themselves)."""
        return self.name == "relay" or self.name.endswith("@relay")


def of_listeners(config: Config, endpoints: Iterable[Endpoint], *, is_running: bool = False) -> Iterator[Finding]:
    """What keeps this process from listening on ``endpoints``. ``is_running``: an appliance serves from this data
    directory, so that ports which Relay itself holds are as they should be."""
    for endpoint in endpoints:
        if (finding := _look(config, endpoint, is_running=is_running)) is not None:
            yield finding


def _look(config: Config, endpoint: Endpoint, *, is_running: bool) -> Finding | None:
    try:
        listeners.probe(endpoint)
    except OSError as fault:
        path = key_of(config, endpoint)
        if fault.errno == errno.EADDRINUSE:
            holders = holders_of(endpoint.port)
            if is_running and (not holders or any(each.is_relay for each in holders)):
                return None
            who = ", ".join(f"{each.name} (pid {each.pid})" for each in holders) or "a program that only root can see"
            return error((*path, "port"), f"{endpoint}: {who} listens there already; stop it, or take another port")
        if fault.errno == errno.EADDRNOTAVAIL:
            return error(
                (*path, "address"),
                f"{endpoint}: this machine does not have that address (see: ip address); "
                'write one that it has, or "0.0.0.0" or "::" for all',
            )
        if fault.errno in (errno.EACCES, errno.EPERM):
            # Whoever checks may not be who starts it.
            return warning(
                (*path, "port"),
                f"{endpoint}: only root may open ports below 1024; start Relay as root with `user` set, or by systemd",
            )
        return error(path, str(fault.strerror or fault))
    return None


def key_of(config: Config, endpoint: Endpoint) -> KeyPath:
    """The table that asks for ``endpoint``."""
    for number, listener in enumerate(config.listeners):
        if listener.name == endpoint.name:
            return ("listener", number)
    return (endpoint.name,)


def holders_of(port: int) -> list[Holder]:
    """Who listens on TCP ``port`` here, as far as this process may see it; each process once, the oldest first."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, port)}
    found: list[Holder] = []
    for process in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) if inodes else ():
        try:
            held = {_inode_of(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")}
            if held & inodes:
                found.append(Holder(process, Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()))
        except OSError:
            continue  # it is gone, or not ours to look at
    return found[:3]


def _listening(table: Path, port: int) -> Iterator[str]:
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[9]


def _inode_of(link: str) -> str:
    try:
        match = _SOCKET.match(os.readlink(link))
    except OSError:
        return ""
    return match[1] if match else ""


# ---- next hops ------------------------------------------------------------------------------------------------------


def of_next_hops(config: Config) -> Iterator[Finding]:
    """Next hops that are names of this machine, or of none."""
    hops = [(path, hop) for path, hop in fixed_next_hops(config) if hop.host and hop.host != "localhost"]
    addresses = _look_up({hop.host for _, hop in hops})
    for path, hop in hops:
        found = addresses.get(hop.host)
        if found is not None and not found:
            yield warning(path, f"{hop.host} is not found in DNS at the moment; its mail would wait")
        for address in found or ():
            listener = next((each for each in config.listeners if each.port == hop.port), None)
            if listener is not None and _is_mine(address) and _hears(listener.address, address):
                yield error(
                    path,
                    f'{hop} is this server itself ({address}, listener "{listener.name}"): mail would go in a circle; '
                    "name another",
                )
                break


def _hears(listening: str, address: str) -> bool:
    mine, other = ipaddress.ip_address(listening), ipaddress.ip_address(address)
    return mine == other or (mine.is_unspecified and mine.version == other.version)


def _is_mine(address: str) -> bool:
    """Whether this machine has ``address``."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probing:
            probing.bind((address, 0))
    except OSError:
        return False
    return True


def _look_up(names: set[str]) -> dict[str, list[str]]:
    """The addresses of each name, none for one that is not found; a name that takes too long is left out."""
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            found[name] = []
        else:
            found[name] = list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    deadline = time.monotonic() + _LOOKUP_SECONDS
    threads = [threading.Thread(target=look, args=(name,), daemon=True) for name in sorted(names)[:_LOOKUPS]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(found)
