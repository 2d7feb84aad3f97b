"""The generator's side of SMTP and LMTP up to the first MAIL."""

import ssl
from typing import Self

from benchmarks.load._drive import Client, Drive
from benchmarks.load._messages import Messages
from benchmarks.load._replies import Replies
from benchmarks.load.plan import GeneratePlan

class SmtpLoad:
    """What the sessions of one generator share. ``target``: as address.pack() makes it."""

    def __init__(
        self,
        drive: Drive,
        messages: Messages,
        plan: GeneratePlan,
        target: tuple[int, bytes],
        tls_context: ssl.SSLContext | None = None,
    ) -> None: ...
    @property
    def drive(self) -> Drive: ...
    @property
    def replies(self) -> Replies: ...
    @property
    def fatal(self) -> str | None:
        """Why the server cannot do what was asked for."""

class Opening(Client):
    """The life of a session's connections."""

    def __new__(cls, load: SmtpLoad) -> Self: ...
    def abandon(self) -> None:
        """The time is over: settles what is under way."""
