"""An IMAP session in memory, on the store's twin: the jobs are carried out at once."""

from __future__ import annotations

import base64
import re

from relay.auth import Accepted, Challenge, CheckPassword, Client, Login
from relay.auth.steps import Refused, Trouble
from relay.imap import Session, State
from relay.imap.change_watch import Watches
from relay.mailbox.interfaces import Store
from relay.readers.login_policy import LoginPolicy
from relay.readers.machine import Blocking
from tests.mailbox.twin import Disk, TwinStore, TwinWatcher

NOW = 1_800_000_000
USERS = {b"anna": b"secret", b"bob": b'pass"word'}


class PlainExchange:
    """SASL PLAIN alone."""

    def start(self, initial):
        return Challenge(b"") if initial is None else self.answer(initial)

    def answer(self, line):
        if line == b"*":
            return Refused(Trouble.CANCELLED)
        _, name, password = base64.b64decode(line).split(b"\0")
        return CheckPassword(name.decode(), password.decode(), "PLAIN")

    def checked(self, login):
        return Refused(login.trouble) if login.trouble else Accepted(login.account)


class Authenticator:
    """Knows the passwords of USERS."""

    def exchange(self, mechanism, bindings):
        return PlainExchange() if mechanism == "PLAIN" else None

    async def password(self, name, password, client):
        return self.answer(name, password)

    async def check(self, check, client):
        return self.answer(check.name.encode(), check.password.encode())

    def answer(self, name, password):
        if USERS.get(name.lower()) == password:
            return Login(name.decode().lower() + "@local.test")
        return Login("", Trouble.CREDENTIALS)

    def not_completed(self, trouble, client, begun=None):
        return Login("", trouble)


class World:
    """Accounts with their disks."""

    def __init__(self, append_limit: int = 100_000) -> None:
        self.append_limit = append_limit
        self.now = float(NOW)
        self.disks: dict[str, Disk] = {}
        self.watcher: Watches = TwinWatcher()

    def store(self, account: str) -> Store:
        return TwinStore(self.disk(account))

    def disk(self, account: str = "anna@local.test") -> Disk:
        return self.disks.setdefault(account, Disk(lambda: NOW))

    def session(self, *, allows_plaintext: bool = True, offers_tls: bool = False) -> Session:
        policy = LoginPolicy(
            Authenticator(), Client("192.0.2.1", "imap", "imap", "1"), offers_tls=offers_tls,
            allows_plaintext=allows_plaintext,
        )  # fmt: skip
        return Session(
            State("mx.relay.example", self.append_limit, lambda: self.now, ports="Mail is sent on port 587."),
            policy, self.store, self.watcher,
            login_timeout=60, idle_timeout=1800,
        )  # fmt: skip


class Peer:
    """A client: what it sends brings what the session says."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.wakes = 0
        session.open(self.wake)
        self.greeting = self.flush()

    def wake(self) -> None:
        self.wakes += 1

    def send(self, octets: bytes) -> bytes:
        if octets:
            self.session.receive(octets, 0)
        return self.flush()

    def flush(self) -> bytes:
        said = []
        while True:
            said.append(self.session.take_output())
            if self.session.is_over or self.session.wants_tls:
                break
            job = self.session.take_job()
            if job is not None:
                self.carry_out(job)
            elif self.wakes:
                self.wakes = 0
                self.session.woken(0)
            else:
                break
        said.append(self.session.take_output())
        return b"".join(said)

    def carry_out(self, job) -> None:
        result, fault = None, None
        try:
            result = job.run() if isinstance(job, Blocking) else finished(job.ask())
        except Exception as raised:  # noqa: BLE001 - whatever it is, the session is told
            fault = raised
        self.session.job_done(result, fault, 0)

    def login(self) -> None:
        assert re.match(rb"l OK ", self.send(b"l LOGIN anna secret\r\n"))

    def close(self) -> None:
        job = self.session.release()
        if isinstance(job, Blocking):
            job.run()


def finished(coroutine):
    """What a coroutine that waits for nothing returns."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")
