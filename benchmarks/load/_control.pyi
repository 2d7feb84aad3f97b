"""The control socket: one command line per connection, one JSON line as the answer."""

import socket
from collections.abc import Callable

from benchmarks.load._listener import Listener
from benchmarks.load._loop import Loop

class Control(Listener):
    """``answer`` takes the command and returns one line without its end."""

    def __init__(self, loop: Loop, sock: socket.socket, answer: Callable[[str], str]) -> None: ...
