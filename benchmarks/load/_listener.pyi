"""A listening socket on the loop."""

import socket

from benchmarks.load._loop import Endpoint, Loop

class Listener(Endpoint):
    """Accepts connections from a listening socket, and owns it."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None: ...
    def close(self) -> None: ...
