"""Whether a mailbox has room, asked while a message comes in: for ``mailbox.over_quota = "reject"``.

Theory: who is told at RCPT, or at the end of the content, that a mailbox is full gets no bounce from us later, and a
stranger whose address was misused gets none either. Sessions know no disk (docs/ARCHITECTURE.md), so what an account
has left is counted in a thread, which pauses the session, for ``DEADLINE`` at most. Who was found full stays so for a
moment and is refused at once; who had room may have been delivered to since. What cannot be known is taken in, and
delivery decides: a disk that does not answer, an account whose script may send the message elsewhere or throw it away,
mail that is on its way already.

Not here: counting (relay/mailbox/quota.py), what delivery does without room (relay/mda/room.py).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from relay.config.model import Config
from relay.mail.reply import MAILBOX_FULL
from relay.mailbox.files import read_file
from relay.mailbox.limits import LimitTable
from relay.mailbox.maildir import folder_of
from relay.mailbox.scripts import active_path
from relay.mda.room import Room
from relay.policy.verdict import Answer, Verdict, reject

FRESH: Final = 2.0
"""Seconds for which a full mailbox is taken to be full."""
DEADLINE: Final = 2.0
"""Seconds that a session waits for one."""
KNOWN: Final = 10_000
"""Accounts whose counts are kept."""
PENDING: Final = 100
"""Counts under way, above which mail is taken in unasked."""
THREADS: Final = 2
REASON: Final = "mailbox_full"
_ELSEWHERE: Final = re.compile(rb"redirect|discard|reject|include", re.IGNORECASE)
"""Words of a script that may have the message not stored."""


class Fullness:
    """For one smtp worker; belongs to the loop's thread."""

    def __init__(self, config: Config) -> None:
        self._mail_dir = config.mail_dir
        self._room = Room(config.mailbox, config.mailbox_limits)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="quota")
        self._left: OrderedDict[bytes, tuple[float, int | None]] = OrderedDict()
        self._pending: dict[bytes, asyncio.Future[int | None]] = {}

    @classmethod
    def of(cls, config: Config) -> Fullness | None:
        """One where it is wanted and there is anything to count."""
        if config.mailbox.over_quota != "reject" or not LimitTable(config.mailbox, config.mailbox_limits).has_quota:
            return None
        return cls(config)

    def judge(self, accounts: Sequence[bytes], octets: int) -> Answer:
        """Refuses a message of ``octets`` (0: nobody has said) when none of ``accounts`` has room for it."""
        octets = max(1, octets)
        left = [self._known(account) for account in accounts]
        if all(each is not None and not _fits(each, octets) for each in left):
            return _full(accounts)
        if len(self._pending) >= PENDING:
            return None
        return asyncio.ensure_future(self._ask(accounts, octets))

    def close(self) -> None:
        """Waits for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, accounts: Sequence[bytes], octets: int) -> Verdict | None:
        counts = [self._count(account) for account in accounts]
        done, late = await asyncio.wait(counts, timeout=DEADLINE)
        if late or any(_fits(_result(each), octets) for each in done):
            return None
        return _full(accounts)

    def _known(self, account: bytes) -> int | None:
        """What was left a moment ago."""
        found = self._left.get(account)
        return found[1] if found is not None and time.monotonic() - found[0] < FRESH else None

    def _count(self, account: bytes) -> asyncio.Future[int | None]:
        """The count of ``account``, begun or under way; many sessions share one."""
        pending = self._pending.get(account)
        if pending is None:
            pending = asyncio.get_running_loop().run_in_executor(self._threads, self._look, account)
            self._pending[account] = pending
            pending.add_done_callback(lambda done: self._counted(account, done))
        return pending

    def _counted(self, account: bytes, done: asyncio.Future[int | None]) -> None:
        del self._pending[account]
        if not done.cancelled():
            self._left[account] = (time.monotonic(), _result(done))
            self._left.move_to_end(account)
            while len(self._left) > KNOWN:
                self._left.popitem(last=False)

    def _look(self, account: bytes) -> int | None:
        """Octets of the longest message that is sure to be stored; None when that is not known, or has no bound. In a
        thread."""
        folder = folder_of(self._mail_dir, account)
        return None if _may_go_elsewhere(folder) else self._room.left(folder)


def _fits(left: int | None, octets: int) -> bool:
    return left is None or octets <= left


def _result(done: asyncio.Future[int | None]) -> int | None:
    """What cannot be counted has no bound here."""
    return None if done.cancelled() or done.exception() is not None else done.result()


def _may_go_elsewhere(folder: Path) -> bool:
    """OSError, at once, for an active script that is no regular file or cannot be read."""
    active = active_path(folder)
    try:
        return active is not None and _ELSEWHERE.search(read_file(active)) is not None
    except FileNotFoundError:
        return False


def _full(accounts: Sequence[bytes]) -> Verdict:
    if len(accounts) > 1:
        return reject(MAILBOX_FULL, REASON)
    named = f"{MAILBOX_FULL.text}: <{accounts[0].decode(errors='backslashreplace')}>"
    return reject(MAILBOX_FULL._replace(text=named), REASON)
