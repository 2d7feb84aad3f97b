"""Quotas at delivery: no room is said as configured, and the owner is warned before."""

from __future__ import annotations

import pytest

from relay.config.mailbox import MailboxLimit, MailboxSettings
from relay.mail.outcome import DEFERRED, DELIVERED, FAILED, Outcome
from relay.mda.local import deliver_local as deliver_jobs
from relay.mda.room import Room
from tests.mda.test_local import job

NOW = 1_800_000_000.0


def deliver_local(*arguments) -> list[Outcome]:
    return [outcome for outcome in deliver_jobs(*arguments) if isinstance(outcome, Outcome)]


def files(tmp_path) -> list[str]:
    return sorted(path.read_text() for path in tmp_path.glob("*/*/new/*"))


@pytest.mark.parametrize(
    ("choice", "kind", "code", "status"), [("defer", DEFERRED, 452, "4.2.2"), ("reject", FAILED, 552, "5.2.2")]
)
def test_a_full_mailbox_takes_nothing(tmp_path, choice, kind, code, status):
    room = Room(MailboxSettings(quota_messages=2, over_quota=choice, quota_warning=0))
    outcomes = [deliver_local(tmp_path, [job()], room, NOW)[0] for _ in range(3)]
    assert [outcome.kind for outcome in outcomes] == [DELIVERED, DELIVERED, kind]
    assert (outcomes[2].code, outcomes[2].status) == (code, status)
    assert len(files(tmp_path)) == 2


def test_the_owner_is_warned_once_a_day(tmp_path):
    room = Room(MailboxSettings(quota_messages=10, quota_warning=50))
    for _ in range(5):
        deliver_local(tmp_path, [job()], room, NOW)
    assert len(files(tmp_path)) == 5
    deliver_local(tmp_path, [job()], room, NOW)
    deliver_local(tmp_path, [job()], room, NOW)
    warnings = [text for text in files(tmp_path) if "Subject: Your mailbox is 60% full" in text]
    assert len(warnings) == 1
    assert len(files(tmp_path)) == 8


def test_without_a_quota_nothing_is_counted(tmp_path):
    room = Room(MailboxSettings())
    assert not room.is_limited
    assert deliver_local(tmp_path, [job()] * 3, room, NOW)[0].kind == DELIVERED


def test_a_mailbox_or_an_account_with_a_limit_of_its_own_is_full_by_that(tmp_path):
    inbox = Room(MailboxSettings(), [MailboxLimit(mailbox="INBOX", quota_messages=1)])
    assert [deliver_local(tmp_path, [job()], inbox, NOW)[0].kind for _ in range(2)] == [DELIVERED, DEFERRED]
    account = Room(MailboxSettings(quota_messages=1), [MailboxLimit(domains=("example.org",), quota_messages=2)])
    assert [deliver_local(tmp_path, [job()], account, NOW)[0].kind for _ in range(2)] == [DELIVERED, DEFERRED]
