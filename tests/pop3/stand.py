"""POP3 sessions in memory, on the store's twin: jobs are carried out at once, the password is ``secret``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from relay.auth import Check, CheckPassword, Client, Login, Trouble
from relay.auth.exchange import make
from relay.auth.plain import LOGIN, checked_words
from relay.auth.scram import make_keys
from relay.auth.steps import Refused
from relay.pop3 import Rules, Session
from relay.readers.login_policy import LoginPolicy
from relay.readers.machine import Blocking
from tests.mailbox.twin import Disk, TwinStore

NOW = 1_800_000_000
ACCOUNT = "anna@local.test"
PORTS = "Mail is sent on port 587."


class Logins:
    """An Authenticator of one account."""

    def __init__(self) -> None:
        self.trouble: Trouble | None = None
        self.came_to: list[Trouble] = []

    def exchange(self, mechanism: str, bindings: Any) -> Any:
        keys = make_keys("secret", b"salt", 4096)
        return make(mechanism, keys_of=lambda _: keys, bindings=bindings, nonce="server")

    async def check(self, check: Check, client: Client) -> Login:
        is_right = check.password == "secret" if isinstance(check, CheckPassword) else check.is_right
        if self.trouble or check.name != ACCOUNT or not is_right:
            return Login("", self.trouble or Trouble.CREDENTIALS)
        return Login(ACCOUNT)

    async def password(self, name: bytes, password: bytes, client: Client) -> Login:
        step = checked_words(name, password, LOGIN)
        return Login("", step.trouble) if isinstance(step, Refused) else await self.check(step, client)

    def not_completed(self, trouble: Trouble, client: Client, begun: object = None) -> Login:
        self.came_to.append(trouble)
        return Login("", trouble)


class World:
    """A disk, and who may log in."""

    def __init__(self, locks: Path | None = None) -> None:
        self.disk = Disk(lambda: NOW)
        self.logins = Logins()
        self.locks = locks

    def store(self, _account: str = ACCOUNT) -> TwinStore:
        return TwinStore(self.disk)

    def fill(self, *messages: bytes) -> None:
        appending = self.store().begin_append("INBOX")
        for message in messages:
            appending.add()
            appending.write(message)
        appending.commit()

    def connect(self, *, allows_plaintext: bool = True, offers_tls: bool = False) -> Peer:
        policy = LoginPolicy(self.logins, Client("192.0.2.1", "pop3", "pop3", "1"), offers_tls, allows_plaintext)
        rules = Rules("mx.relay.example", PORTS, self.locks, 60, 600)
        return Peer(Session(rules, policy, self.store))


class Peer:
    """The client's side."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.open(lambda: None)
        self.pieces: list[int] = []
        self.greeting = session.take_output()

    def send(self, octets: bytes) -> bytes:
        """Sends ``octets``; all that is said, with every job done at once."""
        if not self.session.is_over and not self.session.wants_tls:
            self.session.receive(octets, 0)
        said = self.session.take_output()
        while (job := self.session.take_job()) is not None:
            result, fault = None, None
            try:
                result = job.run() if isinstance(job, Blocking) else asyncio.run(_awaited(job.ask()))
            except Exception as raised:  # noqa: BLE001 - the session is to hear of it
                fault = raised
            self.session.job_done(result, fault, 0)
            piece = self.session.take_output()
            self.pieces.append(len(piece))
            said += piece
        return said

    def say(self, *lines: str) -> list[str]:
        return self.send("".join(f"{line}\r\n" for line in lines).encode()).decode().split("\r\n")[:-1]

    def login(self) -> Peer:
        assert self.say(f"USER {ACCOUNT}", "PASS secret")[-1].startswith("+OK ")
        return self

    def drop(self) -> None:
        """The connection is gone."""
        job = self.session.release()
        if isinstance(job, Blocking):
            job.run()


async def _awaited(answer: Any) -> Any:
    return await answer
