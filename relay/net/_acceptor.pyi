"""A listening socket on a Poll."""

import socket
from collections.abc import Callable

from relay.net._poll import Poll, Watched

class Acceptor(Watched):
    """Accepts from a listening socket until it is closed; to be subclassed in Cython."""

    def __init__(self, poll: Poll, listening: socket.socket, on_trouble: Callable[[Exception], object]) -> None:
        """``listening`` belongs to it from now on. ``on_trouble`` gets the fault when a connection could not be
        accepted because this machine lacks something (descriptors, memory); accepting then stops until ``resume``."""

    def resume(self) -> None:
        """Accepts again, after trouble. Nothing happens when it does already, or is closed."""

    def close(self) -> None:
        """Accepts no more and closes the socket; connections that were accepted stay."""
