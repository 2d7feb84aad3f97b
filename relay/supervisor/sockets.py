"""The listening sockets of all slots, held by the supervisor for as long as their address is configured.

Theory: what waits in a socket's backlog dies with its last descriptor, so the supervisor keeps one of each. Slot ``i``
of a generation with ``n`` workers gets the sockets ``i``, ``i + n``, ``i + 2n``, ... of each address: one, unless a
reload lowered the number of workers. Then the sockets of the slots that are gone are served by those that are left:
closing them would reset the connections that the kernel has already put into them.

An address keeps its sockets through every reload that still has it, also under another listener's name.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from relay.net import listeners
from relay.net.listeners import Endpoint


class Address(NamedTuple):
    """What makes two endpoints the same. Port 0 stands for another port each time it is used."""

    address: str
    port: int
    name: str

    @classmethod
    def of(cls, endpoint: Endpoint) -> Address:
        return cls(endpoint.address, endpoint.port, "" if endpoint.port else endpoint.name)


class ListeningSockets:
    """All of them, by address. Only the supervisor has one; a child keeps what is its own and closes the rest."""

    def __init__(self) -> None:
        self._open: dict[Address, list[socket.socket]] = {}

    def ensure(self, wanted: Mapping[Endpoint, int]) -> None:
        """Opens what is missing of ``wanted`` sockets per endpoint: all of it, or nothing and OSError."""
        opened: list[tuple[Address, socket.socket]] = []
        try:
            for endpoint, count in wanted.items():
                address = Address.of(endpoint)
                have = self._open.get(address, [])
                if not have and endpoint.port not in self._ports():
                    listeners.probe(endpoint)
                for _ in range(count - len(have)):
                    have = self._open.get(address, [])
                    port = have[0].getsockname()[1] if have else endpoint.port
                    made = listeners.open_listener(endpoint, port)
                    self._open.setdefault(address, []).append(made)
                    opened.append((address, made))
        except OSError:
            for address, made in opened:
                self._open[address].remove(made)
                made.close()
                if not self._open[address]:
                    del self._open[address]
            raise

    def has(self, endpoint: Endpoint) -> bool:
        """Whether its address is open already."""
        return Address.of(endpoint) in self._open

    def of_slot(self, endpoint: Endpoint, slot: int, slots: int) -> tuple[socket.socket, ...]:
        """What worker ``slot`` of ``slots`` listens on; still owned by this object."""
        return tuple(self._open.get(Address.of(endpoint), ())[slot::slots])

    def bound(self, endpoint: Endpoint) -> tuple[str, int]:
        """The address and port that the endpoint really has."""
        name = self._open[Address.of(endpoint)][0].getsockname()
        return name[0], name[1]

    def keep_only(self, endpoints: Iterable[Endpoint]) -> None:
        """Closes our copies of every socket of another address; a worker that still has one goes on with it."""
        kept = {Address.of(endpoint) for endpoint in endpoints}
        for address in [address for address in self._open if address not in kept]:
            for listening in self._open.pop(address):
                listening.close()

    def close_others(self, mine: Iterable[socket.socket]) -> None:
        """In a child: closes all but ``mine``."""
        kept = set(mine)
        for sockets in self._open.values():
            for listening in sockets:
                if listening not in kept:
                    listening.close()

    def _ports(self) -> set[int]:
        return {address.port for address in self._open} - {0}
