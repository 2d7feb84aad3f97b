"""One listener of a worker that serves readers: what its sessions are made of.

Not here: a session (dialogue.py), what all listeners share (gate.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relay.net.tls import Accepting
from relay.readers.gate import Gate
from relay.readers.machine import Machine
from relay.readers.meter import Meter


class Listening:
    """One listener: what its sessions are made of."""

    def __init__(
        self,
        gate: Gate,
        name: str,
        protocol: str,
        machine: Callable[[Listening, str, str], Machine],
        *,
        tls: Accepting | None,
        is_implicit: bool,
    ) -> None:
        """``machine`` makes the machine for a connection of the listener, a client's address, and the session's id."""
        self.gate: Final = gate
        self.name: Final = name
        self.protocol: Final = protocol
        self.machine: Final = machine
        self.tls: Final = tls
        self.is_implicit: Final = is_implicit
        self.meter: Final = Meter(gate.row, protocol)
