"""A test stand for sessions: the real machine and policy, a fake spool and log, and a clock that stands still."""

from __future__ import annotations

import dataclasses
import json
import re
from array import array
from pathlib import Path
from typing import Any, Final

from relay.auth import Check as LoginCheck
from relay.auth import CheckPassword, Client, Login, Trouble
from relay.auth.exchange import make
from relay.auth.scram import make_keys
from relay.config.model import Config, DomainSettings, Listener, RelayDomain
from relay.mail.envelope import Envelope, unpack
from relay.mail.next_hop import NextHop
from relay.net.wheel import TimingWheel
from relay.policy.assembly import checks_of
from relay.policy.pipeline import STAGES, Check, Pipeline
from relay.policy.verdict import Verdict
from relay.smtp import ServerContext, Service, Session
from relay.telemetry import metrics
from tests.support.directories import directory_of
from tests.support.explained import EXPLAIN_ID, bare

SECOND = 1_000_000
START = 1000 * SECOND
"""Monotonic time at which every stand begins, in microseconds."""
WALL = 1_795_000_000 * SECOND + 250_000
"""The time since the epoch then: Thu, 18 Nov 2026 12:26:40 UTC."""
ACCOUNTS: Final = (b"anna@local.test", b"bert@local.test")


class LargeFile:
    """A LargeContent in memory."""

    def __init__(self, spool: Spool, queue_id: str, on_drained: Any) -> None:
        self.spool = spool
        self.queue_id = queue_id
        self.on_drained = on_drained
        self.octets = bytearray()
        self.size = 0
        self.state = "open"
        self.committed: Any = None

    def write(self, octets: bytes) -> bool:
        assert self.state == "open"
        self.octets += octets
        self.size += len(octets)
        return not self.spool.is_behind

    def commit(self, committed: Any) -> None:
        assert self.state == "open"
        self.state = "committing"
        self.committed = committed

    def abort(self) -> None:
        assert self.state != "appended", "the file of a record must not be removed"
        self.state = "aborted"


def tell(waiters: list[Any], error: Exception | None = None) -> None:
    """Answers a batch, as relay.spool.writer does."""
    for call in [waiter.spooled(error) for waiter in waiters]:
        if call is not None:
            call()


class Record:
    """What was appended."""

    def __init__(self, envelope: bytes, content: Any, waiter: Any, large: LargeFile | None) -> None:
        self.envelope: Envelope = unpack(envelope)
        self.parts = list(content)
        self.waiter = waiter
        self.large = large

    @property
    def content(self) -> bytes:
        return b"".join(self.parts) + (bytes(self.large.octets) if self.large else b"")

    @property
    def received(self) -> bytes:
        return bytes(self.parts[0])


class Spool:
    """A log in memory; records become durable when sync() is called, as with the real one never inside append()."""

    number = 7

    def __init__(self) -> None:
        self.waiting: list[Record] = []
        self.records: list[Record] = []
        self.larges: list[LargeFile] = []
        self.room = True
        self.is_behind = False
        self.error: Exception | None = None
        self.raises: Exception | None = None

    def append(self, envelope: bytes, content: Any, waiter: Any, large: LargeFile | None = None) -> None:
        if self.raises:
            raise self.raises
        if large is not None:
            assert large.state == "committed"
            large.state = "appended"
        self.waiting.append(Record(envelope, content, waiter, large))

    def open_large(self, queue_id: str, on_drained: Any = None) -> LargeFile:
        if self.raises:
            raise self.raises
        large = LargeFile(self, queue_id, on_drained)
        self.larges.append(large)
        return large

    def has_room(self) -> bool:
        return self.room

    @property
    def has_work(self) -> bool:
        return bool(self.waiting) or any(large.state == "committing" for large in self.larges)

    def sync(self) -> None:
        """Everything that waits is now durable, or has failed with ``error``."""
        for large in self.larges:
            if large.state == "committing":
                large.state = "aborted" if self.error else "committed"
                large.committed(self.error)
        waiting, self.waiting = self.waiting, []
        if self.error is None:
            self.records += waiting
        tell([record.waiter for record in waiting], self.error)


class Log:
    """Log lines as the objects they spell."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def append(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        self.lines.append(json.loads(line))

    def event(self, level: str, event: str, /, **fields: Any) -> None:
        self.events.append((level, event, fields))


class FakeTls:
    """What a session sees of relay.net.tls.ServerTls."""

    def __init__(self) -> None:
        self.handshakes = self
        self.has_room = True
        self.open = 0
        self.ended: list[str] = []

    def begin(self) -> bool:
        self.open += self.has_room
        return self.has_room

    def done(self, stream: Any, microseconds: int) -> None:
        assert microseconds >= 0
        self.open -= 1
        self.ended.append(stream.summary)

    def failed(self, reason: str) -> None:
        self.open -= 1
        self.ended.append(reason)


class FakeStream:
    """What a session sees of relay.net.tls_machine.TlsServer, once its handshake is done."""

    summary = "TLSv1.3 TLS_AES_256_GCM_SHA384"

    bindings: Final = {"tls-exporter": b"x" * 32}


class Logins:
    """An Authenticator that answers at once: anna's password is ``secret``."""

    def __init__(self) -> None:
        self.came_to: list[Trouble] = []
        self.clients: list[Client] = []
        self.trouble: Trouble | None = None
        self.waits: Any = None

    def exchange(self, mechanism: str, bindings: Any) -> Any:
        keys = make_keys("secret", b"salt", 4096)
        return make(mechanism, keys_of=lambda _: keys, bindings=bindings, nonce="server")

    def check(self, check: LoginCheck, client: Client) -> Any:
        self.clients.append(client)
        is_right = check.password == "secret" if isinstance(check, CheckPassword) else check.is_right
        if self.trouble or not (is_right and check.name == "anna@local.test"):
            return Login("", self.trouble or Trouble.CREDENTIALS)
        return self.waits or Login("anna@local.test")

    def not_completed(self, trouble: Trouble, client: Client, begun: Any = None) -> Login:
        self.came_to.append(trouble)
        self.begun = begun
        return Login("", trouble)


BASE = Config(
    hostname="mx.relay.example",
    data_dir=Path("/nonexistent"),
    postmaster="anna@local.test",
    listeners=(Listener("mx", "mx", "127.0.0.1", 0), Listener("submission", "submission", "127.0.0.1", 0)),
    domains=DomainSettings(local=("local.test",)),
    relay_domains=(
        RelayDomain("relay.test", NextHop("smtp", "127.0.0.1", 2526)),
        RelayDomain("listed.test", NextHop("smtp", "127.0.0.1", 2526), recipients=("known@listed.test",)),
    ),
)


def configured(**settings: Any) -> Config:
    """BASE with other settings of ``[smtp]``; ``trusted_networks`` and ``workers`` are taken at the top."""
    top: dict[str, Any] = {key: settings.pop(key) for key in ("trusted_networks", "hostname") if key in settings}
    if "senders" in settings:
        top["auth"] = dataclasses.replace(BASE.auth, senders=settings.pop("senders"))
    workers = dataclasses.replace(BASE.workers, smtp=settings.pop("smtp_workers", 1))
    return dataclasses.replace(BASE, workers=workers, smtp=dataclasses.replace(BASE.smtp, **settings), **top)


class Policed(Pipeline):
    """Asks one object at each stage. Gives awaitables to the session as they are, so that a test can answer them."""

    def __init__(self, policy: Any, row: Any, on_fault: Any) -> None:
        def ask(stage: str) -> Any:
            return lambda view, about: self.answer(stage, view, about)

        super().__init__([Check("other", stage, ask(stage)) for stage in STAGES], row, on_fault)
        self.policy = policy
        self.awaitable: Any = None

    def answer(self, stage: str, view: Any, about: Any) -> Any:
        method = getattr(self.policy, stage, None)
        if method is None:
            return None
        answer = method(view) if stage == "connect" else method(view, about)
        self.awaitable = None if answer is None or isinstance(answer, Verdict) else answer
        return None if self.awaitable is not None else answer

    def ask(self, checks: Any, subject: Any, about: Any) -> Any:
        self.awaitable = None
        answer = super().ask(checks, subject, about)
        return answer if self.awaitable is None else self.awaitable


class Stand:
    """One worker's context with a fake world around it."""

    def __init__(
        self,
        *,
        kind: str = "mx",
        policy: Any = None,
        checks: Any = None,
        spool: Any = None,
        log: Any = None,
        tls: Any = None,
        is_implicit: bool = False,
        plaintext_login: bool = False,
        directions: str = "",
        **settings: Any,
    ) -> None:
        self.config = configured(**settings)
        self.now = START
        self.spool: Any = spool or Spool()
        self.log: Any = Log() if log is None else log
        self.cells = array("Q", [0]) * metrics.ROW_CELLS
        self.wheel: TimingWheel = TimingWheel(0.5, 64, START / SECOND)
        self.context = ServerContext(
            self.config,
            spool=self.spool,
            log=self.log,
            wheel=self.wheel,
            row=memoryview(self.cells),
        )
        self.tls: Any = self._tls(tls)
        self.logins = Logins()
        self.policy = policy
        self.service = Service(
            self.context,
            kind,
            kind,
            self.config.smtp,
            self._pipeline(kind, policy, checks),
            tls=self.tls,
            is_implicit=is_implicit,
            authenticator=self.logins if kind == "submission" else None,
            allows_plaintext_login=plaintext_login,
            directions=directions,
        )
        self.pass_time(0)

    def _pipeline(self, kind: str, policy: Any, checks: Any) -> Pipeline:
        """That of the product, one with ``checks``, or one that asks ``policy``, which has a method a stage."""
        row = memoryview(self.cells)
        if policy is not None:
            return Policed(policy, row, self.failed)
        listener = next(each for each in self.config.listeners if each.kind == kind)
        own = checks_of(listener, self.config, directory_of(self.config, *ACCOUNTS))
        return Pipeline(own if checks is None else checks, row, self.failed)

    def failed(self, check: str, fault: BaseException) -> None:
        """As the worker reports a check's fault."""
        self.log.event("error", "check failed", check=check, cause=f"{type(fault).__name__}: {fault}")

    def _tls(self, tls: Any) -> Any:
        """``tls`` as it was given: None, True for a fake, or what makes a real one for a row of counters."""
        return FakeTls() if tls is True else tls and tls(memoryview(self.cells))

    def pass_time(self, seconds: float) -> None:
        """Moves the clock and lets the wheel turn."""
        self.now += int(seconds * SECOND)
        self.context.tick(self.now, WALL + self.now - START)

    def connect(self, address: str = "192.0.2.1", port: int = 4025) -> Peer:
        return Peer(self, address, port)

    def count(self, name: str, *values: str) -> int:
        """The value of a counter or gauge."""
        return self.cells[metrics.index(name, *values)]


class Peer:
    """The other side of one session in memory."""

    def __init__(self, stand: Stand, address: str, port: int) -> None:
        self.stand = stand
        self.ids: list[str] = []
        """Of all refusals that have one."""
        self.session: Any = Session(stand.service)
        self.session.open(address, port, stand.now)
        self.greeting = self.take()

    def send(self, octets: bytes) -> bytes:
        """Sends ``octets`` as one buffer and lets the spool sync; all replies."""
        out: bytes = self.plain(self.session.receive(octets, self.stand.now))
        spool = self.stand.spool
        while isinstance(spool, Spool) and spool.has_work:
            spool.sync()
            out += self.take()
        return out

    def take(self) -> bytes:
        """What the session has to write by itself."""
        return self.plain(self.session.take_output())

    def plain(self, replies: bytes) -> bytes:
        """``replies`` without the ids at the ends of refusals, which must be this session's and stand nowhere else;
        ``ids`` has them."""
        found = EXPLAIN_ID.findall(replies)
        self.ids += [name.decode() for _, name, _ in found]
        for reply, name, _ in found:
            assert reply[:1] in b"45", "only refusals have an id"
            assert name[:13].decode() == self.session.session_id, "the id is the session's own"
        return bare(replies)

    def say(self, *lines: str) -> list[str]:
        """Sends lines, each with CRLF, as one buffer; the lines of the replies."""
        return self.send("".join(f"{line}\r\n" for line in lines).encode()).decode().splitlines()

    def hello(self) -> Peer:
        assert self.say("EHLO client.example")[-1].startswith("250 ")
        return self

    def begin(self, *recipients: str, sender: str = "sender@elsewhere.example") -> Peer:
        """EHLO, MAIL and RCPT, all accepted."""
        self.hello()
        assert self.say(f"MAIL FROM:<{sender}>") == ["250 2.1.0 Sender ok"]
        for recipient in recipients or ("anna@local.test",):
            assert self.say(f"RCPT TO:<{recipient}>") == ["250 2.1.5 Recipient ok"]
        return self

    def transmit(self, content: bytes, *recipients: str) -> str:
        """A whole transaction with ``content`` (as sent, without the end of data); the last reply."""
        self.begin(*recipients)
        assert self.say("DATA") == ["354 End data with <CR><LF>.<CR><LF>"]
        return self.send(content + b".\r\n").decode().strip()


MESSAGE = b"From: sender@elsewhere.example\r\nTo: anna@local.test\r\nSubject: a test\r\n\r\nHello.\r\n"


def without_ids(replies: bytes) -> bytes:
    """``replies`` with queue ids made alike."""
    return re.sub(rb"queued as [0-9A-Z]{13}", b"queued as <id>", replies)
