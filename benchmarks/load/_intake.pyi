"""What a sink was told, and what it counted."""

import ssl
from typing import BinaryIO

from benchmarks.load._loop import Loop
from benchmarks.load._replies import Replies
from benchmarks.load.sink import Behaviour

class Intake:
    """What all sessions share: how to behave, and the totals."""

    def __init__(self, loop: Loop, behaviour: Behaviour, tls_context: ssl.SSLContext | None = None) -> None: ...
    @property
    def loop(self) -> Loop: ...
    @property
    def replies(self) -> Replies: ...
    @property
    def ended(self) -> str | None: ...
    def reset(self) -> None:
        """Everything counted begins again at zero; connections stay."""
    def stop(self, why: str = "signal") -> None: ...
    def totals(self) -> dict[str, object]: ...
    def write_ledgers(self, file: BinaryIO) -> None: ...
