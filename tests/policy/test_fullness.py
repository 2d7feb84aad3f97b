"""What is known of a full mailbox while a message comes in."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from relay.config.mailbox import MailboxLimit, MailboxSettings
from relay.config.model import Config
from relay.mailbox.maildir import Message, deliver
from relay.policy import fullness as module
from relay.policy.fullness import Fullness
from relay.policy.verdict import Verdict

ANN, BOB = b"ann@local.test", b"bob@local.test"


def config(tmp_path: Path, **settings: Any) -> Config:
    limits = settings.pop("limits", ())
    return Config(
        hostname="mx.test",
        data_dir=tmp_path,
        mailbox=MailboxSettings(**{"over_quota": "reject", **settings}),
        mailbox_limits=limits,
    )


def fill(tmp_path: Path, account: bytes, octets: int) -> Path:
    local, _, domain = account.decode().partition("@")
    folder = tmp_path / "mail" / domain / local
    deliver([Message(folder, (b"x" * octets,))])
    return folder


def judge(where: Fullness | None, accounts: tuple[bytes, ...], octets: int = 0) -> tuple[int, str] | None:
    """The refusal, waited for."""
    assert where is not None

    async def run() -> Verdict | None:
        answer = where.judge(accounts, octets)
        return answer if answer is None or isinstance(answer, Verdict) else await answer

    answer = asyncio.run(run())
    return None if answer is None or answer.reply is None else (answer.reply.code, answer.reply.status)


FULL = (552, "5.2.2")


def test_nothing_is_asked_where_nothing_is_limited_or_mail_is_deferred(tmp_path: Path) -> None:
    assert Fullness.of(config(tmp_path)) is None
    assert Fullness.of(config(tmp_path, quota=65_536, over_quota="defer")) is None


def test_who_has_no_room_is_refused_and_who_has_is_not(tmp_path: Path) -> None:
    fill(tmp_path, ANN, 65_000)
    rules = Fullness.of(config(tmp_path, quota=65_536))
    for octets, answer in ((0, None), (536, None), (537, FULL), (1 << 30, FULL)):
        assert judge(rules, (ANN,), octets) == answer
    assert judge(rules, (BOB,), 1 << 30) is None, "a mailbox that is not there yet is made first"
    assert judge(rules, (ANN, BOB), 1000) is None, "only when nobody has room"
    fill(tmp_path, BOB, 65_536)
    assert judge(Fullness.of(config(tmp_path, quota=65_536)), (BOB,)) == FULL
    assert judge(Fullness.of(config(tmp_path, quota=65_536)), (ANN, BOB), 1000) == FULL


def test_a_number_of_messages_and_a_bound_of_inbox_count(tmp_path: Path) -> None:
    fill(tmp_path, ANN, 10)
    assert judge(Fullness.of(config(tmp_path, quota_messages=1)), (ANN,)) == FULL
    assert judge(Fullness.of(config(tmp_path, quota_messages=2)), (ANN,)) is None
    limits = (MailboxLimit(mailbox="INBOX", quota_messages=1),)
    assert judge(Fullness.of(config(tmp_path, limits=limits)), (ANN,)) == FULL


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ('redirect "x@elsewhere.test";', None),
        ("if true { DISCARD; }", None),
        ('require "ereject"; ereject "no";', None),
        ('require "include"; include "other";', None),
        ('require "fileinto"; fileinto "Lists";', FULL),
        ('require "vacation"; vacation "away";', FULL),
    ],
)
def test_a_script_that_may_not_store_it_leaves_that_to_delivery(tmp_path: Path, script: str, answer: object) -> None:
    folder = fill(tmp_path, ANN, 10)
    (folder / "sieve").mkdir()
    (folder / "sieve" / "active").write_text(script)
    assert judge(Fullness.of(config(tmp_path, quota_messages=1)), (ANN,)) == answer


@pytest.mark.timeout(20)
def test_a_pipe_where_the_script_should_be_keeps_no_thread(tmp_path: Path) -> None:
    """To open it would wait for whoever writes into it, for ever; what cannot be read is left to delivery."""
    folder = fill(tmp_path, ANN, 10)
    (folder / "sieve").mkdir()
    os.mkfifo(folder / "sieve" / "active")
    with pytest.raises(OSError, match="regular"):
        module._may_go_elsewhere(folder)
    assert judge(Fullness.of(config(tmp_path, quota_messages=1)), (ANN,)) is None


def test_a_count_is_kept_for_a_moment_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, ANN, 10)
    rules = Fullness.of(config(tmp_path, quota_messages=1))
    assert rules is not None
    looked: list[bytes] = []
    look = rules._look

    def counted(account: bytes) -> int | None:
        looked.append(account)
        return look(account)

    monkeypatch.setattr(rules, "_look", counted)

    async def run() -> None:
        answers = [rules.judge((ANN,), 0) for _ in range(20)]
        for answer in answers:
            assert not isinstance(answer, Verdict)
            assert answer is not None
            assert await answer is not None
        assert isinstance(rules.judge((ANN,), 0), Verdict), "at hand now"

    asyncio.run(run())
    assert looked == [ANN]
    monkeypatch.setattr(module, "FRESH", 0.0)
    assert judge(rules, (ANN,)) == FULL
    assert looked == [ANN, ANN]


def test_who_had_room_is_counted_anew(tmp_path: Path) -> None:
    rules = Fullness.of(config(tmp_path, quota_messages=1))
    assert judge(rules, (ANN,)) is None
    fill(tmp_path, ANN, 10)
    assert judge(rules, (ANN,)) == FULL


def test_a_disk_that_does_not_answer_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, ANN, 10)
    rules = Fullness.of(config(tmp_path, quota_messages=1))
    assert rules is not None
    release = threading.Event()
    monkeypatch.setattr(module, "DEADLINE", 0.05)
    monkeypatch.setattr(rules, "_look", lambda _account: release.wait(20) and None)
    assert judge(rules, (ANN,)) is None

    async def many() -> None:
        for number in range(module.PENDING):
            rules.judge((b"user%d@local.test" % number,), 0)
        await asyncio.sleep(0)  # the counts begin
        assert rules.judge((b"more@local.test",), 0) is None
        release.set()

    asyncio.run(many())
    rules.close()


def test_a_disk_that_fails_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Fullness.of(config(tmp_path, quota_messages=1))
    assert rules is not None

    def fails(_folder: Path) -> int:
        raise PermissionError("no")

    monkeypatch.setattr(rules._room, "left", fails)
    assert judge(rules, (ANN,)) is None
