"""Says who a client is: the one place of a worker that checks passwords and proofs.

Theory. A check costs an attacker as much as possible and us as little: argon2 runs in a few threads with a short
queue, never on the loop; tries are charged, slowed and bounded before anything is looked at (throttle.py); a login that
was right a short while ago from the same network is not computed again (login_cache.py). An unknown account, a wrong
password and an app password that is for another protocol go the same way, take the same time and get the same answer.

A check that has begun goes on when its client hangs up: otherwise hanging up would give back what it was charged.

Invariants: no password, no proof and nothing made from them is logged; a name is logged only when it is an address,
since people type passwords into the wrong field.

Not here: mechanisms (plain.py, scram.py), what an account may do (relay/policy).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol

from relay.auth import exchange, plain
from relay.auth.entries import PROTOCOLS, Account, find_app_password
from relay.auth.exchange import Exchange
from relay.auth.login_cache import Remembered
from relay.auth.sources import AccountError, AccountSource
from relay.auth.steps import TEMPORARY, Check, CheckPassword, Login, Refused, Trouble
from relay.auth.throttle import Admission, Throttle
from relay.config.auth import AuthSettings
from relay.mail.address import AddressError, parse_address
from relay.net.client_key import client_key
from relay.telemetry import metrics

LONGEST_QUEUE: Final = 64
"""Passwords that may wait for a thread."""


class Client(NamedTuple):
    """Who wants to log in."""

    address: str
    """IP address as text."""
    protocol: str
    """``smtp``, ``imap`` or ``pop3``."""
    listener: str
    session_id: str


class Events(Protocol):
    """Where events go (relay/telemetry/sink.py)."""

    def event(self, level: str, event: str, /, **fields: object) -> None: ...


class Authenticator:
    """Belongs to the loop's thread."""

    def __init__(
        self,
        accounts: AccountSource,
        settings: AuthSettings,
        log: Events,
        row: memoryview[int],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self._accounts = accounts
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self._throttle = Throttle(settings.failure_window, settings.max_failures, settings.longest_delay)
        self._remembered = Remembered(secrets.token_bytes(32), settings.remember, settings.remember_limit)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="password")
        self._queued = 0
        self._is_told = False
        self._meter = _Meter(row)
        self._going_on: set[asyncio.Task[Login]] = set()

    def exchange(self, mechanism: str, bindings: Mapping[str, bytes]) -> Exchange | None:
        """An exchange of ``mechanism`` (in upper case); None when there is no such mechanism.

        ``bindings`` are the channel bindings of the TLS connection by name (relay.net.tls_machine), empty without.
        Whether the mechanism may be used here, the caller knows from exchange.offered().
        """
        nonce = secrets.token_urlsafe(24)
        return exchange.make(mechanism, keys_of=self._accounts.scram_keys, bindings=bindings, nonce=nonce)

    async def password(self, name: bytes, password: bytes, client: Client, command: str = plain.LOGIN) -> Login:
        """A login without SASL (IMAP LOGIN, POP3 PASS)."""
        step = plain.checked_words(name, password, command)
        if isinstance(step, Refused):
            return self.not_completed(step.trouble, client)
        return await self.check(step, client)

    async def check(self, check: Check, client: Client) -> Login:
        """The account, or why not; counted and logged. Never raises for what a client can cause."""
        task = asyncio.ensure_future(self._check(check, client))
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        return await asyncio.shield(task)

    def not_completed(self, trouble: Trouble, client: Client, begun: Exchange | None = None) -> Login:
        """Counts an exchange that ended before there was anything to check; one that had ``begun`` is logged, and
        charged like a failure when the client had named an account."""
        self._meter.counted(client.protocol, trouble)
        if begun is None:
            return Login("", trouble)
        if begun.name and begun.stage != "verified" and trouble not in TEMPORARY:
            _, network = client_key(client.address)
            self._throttle.left_open(network, _throttle_name(begun.name), self._clock())
            self._meter.rows(self._throttle.rows, len(self._remembered))
        self._log.event(
            "warning", "login not completed",
            reason=trouble.value, account=_shown(begun.name), mechanism=begun.mechanism, stage=begun.stage,
            protocol=client.protocol, listener=client.listener, client=client.address, session_id=client.session_id,
        )  # fmt: skip
        return Login("", trouble)

    async def close(self) -> None:
        """Gives up what still waits."""
        for task in list(self._going_on):
            task.cancel()
        await asyncio.gather(*self._going_on, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _check(self, check: Check, client: Client) -> Login:
        _, network = client_key(client.address)
        now = self._clock()
        if self._throttle.is_shut_out(network, now):
            return self._refused(check, client, Trouble.THROTTLED)
        try:
            found = self._accounts.find(check.name)
            account = found if found is None or isinstance(found, Account) else await found
        except AccountError as fault:
            self._log.event("error", "accounts not read", cause=str(fault))
            return self._refused(check, client, Trouble.BUSY)
        mark = b""
        if isinstance(check, CheckPassword):
            line = check.name if account is None else _line_of(account, client.protocol)
            mark = self._remembered.mark(network, line, check.password)
            if account is not None and self._remembered.holds(mark, now):
                self._meter.remembered(client.protocol)
                return Login(account.address)
        admission = self._throttle.admit(network, _throttle_name(check.name), now)
        self._meter.rows(self._throttle.rows, len(self._remembered))
        if admission is None:
            return self._refused(check, client, Trouble.BUSY)
        return await self._admitted(check, client, account, admission, mark)

    async def _admitted(
        self, check: Check, client: Client, account: Account | None, admission: Admission, mark: bytes
    ) -> Login:
        """Waits as long as it has to, looks, and settles the charge."""
        is_right: bool | None = False
        started = self._clock()
        try:
            if admission.delay:
                await self._sleep(admission.delay)
            if isinstance(check, CheckPassword):
                is_right = await self._is_password(check.password, account, client.protocol)
            else:
                is_right = check.is_right
        finally:
            now = self._clock()
            settle = self._throttle.not_tried if is_right is None else self._throttle.failed
            (self._throttle.succeeded if is_right else settle)(admission, now)
            self._meter.took(now - started)
        if is_right is None:
            return self._refused(check, client, Trouble.BUSY)
        if not is_right or account is None:
            return self._refused(check, client, Trouble.CREDENTIALS)
        if mark:
            self._remembered.add(mark, now)
        self._meter.accepted(client.protocol)
        if isinstance(check, CheckPassword) and self._accounts.needs_keys(account):
            await self._renew_keys(account, check.password)
        return Login(account.address)

    async def _renew_keys(self, account: Account, password: str) -> None:
        """Makes the account's SCRAM keys those that the configuration wants, now that its password is known. The client
        waits for it, so that they are durable when it gets its reply."""
        if find_app_password(account.app_passwords, password, *PROTOCOLS):
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._accounts.renew_keys, account, password)
        except AccountError as fault:
            if not self._is_told:  # the file is not ours to write, or the disk is full: the same for all accounts
                self._log.event("warning", "keys not renewed", account=account.address, cause=str(fault))
            self._is_told = True

    async def _is_password(self, password: str, account: Account | None, protocol: str) -> bool | None:
        """Whether it is the account's, or one of its app passwords; None when too many wait for a thread."""
        if account is not None and find_app_password(account.app_passwords, password, protocol):
            return True
        if self._queued >= LONGEST_QUEUE:
            return None
        self._queued += 1
        self._meter.queued(self._queued)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._accounts.verify, account, password)
        finally:
            self._queued -= 1
            self._meter.queued(self._queued)

    def _refused(self, check: Check, client: Client, trouble: Trouble) -> Login:
        self._meter.counted(client.protocol, trouble)
        self._log.event(
            "warning", "login refused",
            reason=trouble.value, account=_shown(check.name), mechanism=check.mechanism, protocol=client.protocol,
            listener=client.listener, client=client.address, session_id=client.session_id,
        )  # fmt: skip
        return Login("", trouble)


class _Meter:
    """The cells of this process."""

    def __init__(self, row: memoryview[int]) -> None:
        self._row = row
        self._results = {
            (protocol, result): metrics.index("relay_auth_logins_total", protocol, result)
            for protocol in metrics.LOGIN_PROTOCOLS
            for result in metrics.LOGIN_RESULTS
        }
        self._seconds = metrics.histogram_cells("relay_auth_check_seconds")
        self._queued = metrics.index("relay_auth_waiting_checks")
        self._throttle_rows = metrics.index("relay_auth_throttle_rows")
        self._remembered = metrics.index("relay_auth_remembered_logins")

    def counted(self, protocol: str, trouble: Trouble) -> None:
        self._row[self._results[protocol, trouble.value]] += 1

    def accepted(self, protocol: str) -> None:
        self._row[self._results[protocol, "accepted"]] += 1

    def remembered(self, protocol: str) -> None:
        self._row[self._results[protocol, "remembered"]] += 1

    def took(self, seconds: float) -> None:
        self._seconds.observe(self._row, round(seconds * 1_000_000))

    def queued(self, count: int) -> None:
        self._row[self._queued] = count

    def rows(self, throttle: int, remembered: int) -> None:
        self._row[self._throttle_rows] = throttle
        self._row[self._remembered] = remembered


def _line_of(account: Account, protocol: str) -> str:
    """What is kept of the passwords of ``account`` for ``protocol``: a change makes it another."""
    digests = (each.digest for each in account.app_passwords if protocol in each.protocols)
    return " ".join((account.address, protocol, account.password_hash, *digests))


def _throttle_name(name: str) -> str:
    """One row for all spellings of a name."""
    try:
        return parse_address(name).decode(errors="replace").casefold()
    except AddressError:
        return name.casefold()[:256]


def _shown(name: str) -> str | None:
    """A name for the log: only what is an address."""
    try:
        return parse_address(name).decode(errors="backslashreplace")
    except AddressError:
        return None
