"""Limits of single mailboxes and accounts: whose they are, what they refuse, what they let go."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config.mailbox import MailboxLimit, MailboxSettings
from relay.mailbox.limits import Bound, LimitTable
from relay.mailbox.store import FolderStore
from relay.mailbox.upkeep import keep_up
from relay.mailbox.vocabulary import Quota, Refusal, Refused

ANN = Path("/mail/example.org/ann")
BOB = Path("/mail/example.org/bob")
EVE = Path("/mail/example.net/eve")
CONTENT = b"Subject: a\r\n\r\nb\r\n"
DAY = 86_400.0


def put(store: FolderStore, name: str, count: int = 1) -> None:
    for _ in range(count):
        appending = store.begin_append(name)
        try:
            appending.add()
            appending.write(CONTENT)
            appending.commit()
        except Refused:
            appending.abort()
            raise


def limited(tmp_path: Path, *limits: MailboxLimit, now: float = 1_800_000_000.0) -> FolderStore:
    folder = tmp_path / "example.org" / "ann"
    return FolderStore(folder, LimitTable(MailboxSettings(), limits).of(folder), lambda: now)


def test_an_account_has_its_own_limits_or_its_domains_or_the_common_ones() -> None:
    table = LimitTable(
        MailboxSettings(quota=1000, quota_messages=10),
        [
            MailboxLimit(accounts=("ann@example.org",), quota=5000),
            MailboxLimit(domains=("example.org",), quota=2000, quota_messages=20),
        ],
    )
    assert [table.of(folder)[:2] for folder in (ANN, BOB, EVE)] == [(5000, 0), (2000, 20), (1000, 10)]


def test_the_first_that_fits_counts_and_names_of_accounts_know_no_case() -> None:
    table = LimitTable(
        MailboxSettings(),
        [
            MailboxLimit(mailbox="Lists", accounts=("Ann@example.org",), quota_messages=1),
            MailboxLimit(mailbox="Lists", quota_messages=2),
        ],
    )
    assert [bound.messages for bound in table.of(ANN).bounds] == [1, 2]
    assert table.of(EVE).bounds == (Bound("Lists", messages=2),)


def test_without_limits_nothing_is_counted() -> None:
    assert not LimitTable(MailboxSettings(), [MailboxLimit(mailbox="Lists", expiry=DAY)]).has_quota
    assert LimitTable(MailboxSettings(), [MailboxLimit(mailbox="Lists", quota_messages=1)]).has_quota


@pytest.mark.parametrize("way", ["append", "copy", "move"])
def test_a_full_mailbox_takes_no_more_whichever_way_it_comes_and_others_do(tmp_path, way) -> None:
    store = limited(tmp_path, MailboxLimit(mailbox="Lists", quota_messages=2))
    store.create("Lists")
    put(store, "Lists", 2)
    put(store, "INBOX", 3)
    view = store.open("INBOX")
    ways = {
        "append": lambda: put(store, "Lists"),
        "copy": lambda: view.copy([1], "Lists"),
        "move": lambda: view.move([1], "Lists"),
    }
    with pytest.raises(Refused) as refused:
        ways[way]()
    assert refused.value.why is Refusal.OVER_QUOTA
    assert (store.status("Lists").messages, store.status("INBOX").messages) == (2, 3)


def test_octets_are_bounded_too_and_told_with_what_is_used(tmp_path) -> None:
    store = limited(tmp_path, MailboxLimit(mailbox="INBOX", quota=50))
    put(store, "INBOX", 3)
    with pytest.raises(Refused):
        put(store, "INBOX")
    assert store.mailbox_quota("INBOX") == Quota(3 * len(CONTENT.replace(b"\r\n", b"\n")), 50, 3, 0)


def test_a_special_use_names_the_mailbox_that_has_it(tmp_path) -> None:
    store = limited(tmp_path, MailboxLimit(mailbox="\\Trash", quota_messages=1))
    store.create("Bin", ["\\Trash"])
    store.create("Trash")
    put(store, "Trash", 2)
    put(store, "Bin")
    with pytest.raises(Refused):
        put(store, "Bin")


def test_old_messages_of_a_mailbox_with_an_expiry_go_and_can_be_restored(tmp_path) -> None:
    limit = MailboxLimit(mailbox="Lists", expiry=10 * DAY)
    store = limited(tmp_path, limit)
    store.create("Lists")
    put(store, "Lists", 2)
    put(store, "INBOX")
    assert keep_up(limited(tmp_path, limit, now=1_800_000_000.0 + 9 * DAY), MailboxSettings()).expired == 0
    later = limited(tmp_path, limit, now=1_800_000_000.0 + 11 * DAY)
    assert keep_up(later, MailboxSettings()).expired == 2
    assert (later.status("Lists").messages, later.status("INBOX").messages) == (0, 1)
