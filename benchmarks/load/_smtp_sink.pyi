"""The sink's side of SMTP and LMTP."""

import socket

from benchmarks.load._intake import Intake
from benchmarks.load._listener import Listener
from benchmarks.load._stream import Stream

class SinkListener(Listener):
    def __init__(self, intake: Intake, sock: socket.socket) -> None: ...

class SinkSession(Stream):
    """One connection."""
