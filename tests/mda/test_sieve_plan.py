"""What a script's actions mean here, and what is not done twice when a delivery is tried again."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from relay.config.sieve import SieveSettings
from relay.delivery._delivery import Delivery
from relay.mail.outcome import DEFERRED, DELIVERED, DISCARDED, FAILED, Outcome
from relay.mailbox import maildir
from relay.mailbox.sieve_memory import Memory
from relay.mailbox.store import FolderStore
from relay.mda import local
from relay.mda.local import LocalJob, Sending, deliver_local
from relay.mda.sieve_plan import REDIRECT, Filters

NOW = 1_700_000_000.0
CONTENT = b"From: bob@x.org\r\nTo: ann@local.test\r\nSubject: hi\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "local.test" / "ann"


def script(folder, text: str) -> None:
    (folder / "sieve").mkdir(parents=True, exist_ok=True)
    (folder / "sieve" / "active").write_text(text)


def filters(tmp_path, **settings) -> Filters:
    return Filters(
        SieveSettings(**settings), hostname="mx.test", delimiter="+", global_dir=tmp_path / "global", lifetime=432_000
    )


def job(content: bytes = CONTENT, reverse_path: bytes = b"bob@x.org", queue_id: str = "Q1", **where) -> LocalJob:
    delivery = Delivery(reverse_path, (b"ann@local.test",), 0, len(content), content, **where)
    return LocalJob(delivery, b"ann@local.test", b"ann@local.test", queue_id)


def deliver(tmp_path, each: LocalJob, rules: Filters, now: float = NOW) -> Any:
    (answer,) = deliver_local(tmp_path, [each], None, now, rules)
    return answer


def in_new(folder) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "new").iterdir()] if (folder / "new").exists() else []


def test_without_a_script_nothing_but_the_message_is_written(tmp_path, folder):
    answer = deliver(tmp_path, job(), filters(tmp_path))
    assert isinstance(answer, Outcome)
    assert answer.text.startswith("stored as ")
    assert {path.name for path in folder.iterdir()} == {"new", "cur", "tmp", "relay-account", "relay-uids"}


def test_an_empty_default_script_of_the_operator_leaves_spam_in_inbox(tmp_path, folder):
    (tmp_path / "default.sieve").write_text("")
    spam = job(b"X-Spam-Flag: YES\r\n" + CONTENT)
    deliver(tmp_path, spam, filters(tmp_path, default_script=tmp_path / "default.sieve"))
    assert len(in_new(folder)) == 1
    deliver(tmp_path, spam, filters(tmp_path))
    assert len(in_new(folder / ".Junk")) == 1


def test_the_operators_default_script_is_read_again_when_it_changes(tmp_path, folder):
    path = tmp_path / "default.sieve"
    path.write_text("discard;")
    rules = filters(tmp_path, default_script=path)
    assert deliver(tmp_path, job(), rules).kind == DISCARDED
    path.write_text("keep ;")
    assert deliver(tmp_path, job(), rules).kind == DELIVERED


def test_a_mailbox_that_is_not_there_means_inbox_and_the_log_says_so(tmp_path, folder):
    script(folder, 'require "fileinto"; fileinto "Nope"; fileinto "../evil"; fileinto "a//b";')
    answer = deliver(tmp_path, job(), filters(tmp_path))
    assert "in INBOX; no mailbox 'Nope'" in answer.text
    assert len(in_new(folder)) == 1
    assert not (tmp_path / "evil").exists()


def test_a_retry_sends_no_redirect_again_that_was_sent(tmp_path, folder):
    script(folder, 'redirect "c@x.org"; redirect "d@x.org";')
    rules = filters(tmp_path)
    first = deliver(tmp_path, job(), rules)
    assert isinstance(first, Sending)
    assert [(each.kind, each.recipient) for each in first.outgoing] == [(REDIRECT, b"c@x.org"), (REDIRECT, b"d@x.org")]
    assert not in_new(folder)
    Memory(folder).add(REDIRECT, first.outgoing[0].key, NOW + 100, NOW)
    second = deliver(tmp_path, job(), rules)
    assert isinstance(second, Sending)
    assert [each.recipient for each in second.outgoing] == [b"d@x.org"]
    outcome = deliver(tmp_path, job()._replace(plan=second.plan), rules)
    assert (outcome.kind, in_new(folder)) == (DELIVERED, [])


def test_a_copy_that_failed_is_made_by_the_retry_and_the_other_is_not_made_twice(tmp_path, folder, monkeypatch):
    script(folder, 'require ["fileinto", "mailbox"]; fileinto :create "A"; fileinto :create "B";')
    rules, real = filters(tmp_path), maildir.deliver

    def failing(messages):
        return [real([messages[0]])[0], *[OSError(errno.ENOSPC, "full") for _ in messages[1:]]]

    monkeypatch.setattr(local, "deliver", failing)
    assert deliver(tmp_path, job(), rules).kind == DEFERRED
    monkeypatch.setattr(local, "deliver", real)
    assert deliver(tmp_path, job(), rules).kind == DELIVERED
    assert [len(in_new(folder / name)) for name in (".A", ".B")] == [1, 1]


def test_redirects_are_limited_for_one_message_and_for_a_day(tmp_path, folder):
    script(folder, 'redirect "c@x.org";')
    rules = filters(tmp_path, redirects_per_day=2)
    memory = Memory(folder)
    for number in range(2):
        sending = deliver(tmp_path, job(queue_id=f"Q{number}"), rules)
        assert isinstance(sending, Sending)
        memory.add(REDIRECT, sending.outgoing[0].key, NOW + sending.outgoing[0].seconds, NOW)
    kept = deliver(tmp_path, job(queue_id="Q3"), rules)
    assert "too many redirects" in kept.text
    assert isinstance(deliver(tmp_path, job(queue_id="Q4"), rules, NOW + 2 * 86_400), Sending)
    script(folder, 'redirect "c@x.org"; redirect "d@x.org"; redirect "e@x.org";')
    assert "too many redirects" in deliver(tmp_path, job(queue_id="Q5"), filters(tmp_path, max_redirects=2)).text


def test_a_message_that_came_back_is_kept(tmp_path, folder):
    script(folder, 'redirect "c@x.org";')
    answer = deliver(tmp_path, job(b"Delivered-To: Ann@local.test\r\n" + CONTENT), filters(tmp_path))
    assert "it came back" in answer.text
    assert len(in_new(folder)) == 1


def test_vacation_is_not_sent_twice_and_the_log_says_why_not(tmp_path, folder):
    script(folder, 'require "vacation"; vacation :days 1 "gone";')
    rules, memory = filters(tmp_path), Memory(folder)
    sending = deliver(tmp_path, job(), rules)
    assert isinstance(sending, Sending)
    (answer,) = sending.outgoing
    assert (answer.reverse_path, answer.recipient) == (b"", b"bob@x.org")
    memory.add(answer.kind, answer.key, NOW + answer.seconds, NOW)
    assert "the sender was answered before" in deliver(tmp_path, job(queue_id="Q2"), rules).text
    assert isinstance(deliver(tmp_path, job(queue_id="Q3"), rules, NOW + 90_000), Sending)
    assert "the reverse-path is null" in deliver(tmp_path, job(reverse_path=b""), rules).text


def test_duplicates_are_known_only_after_the_first_was_stored(tmp_path, folder):
    """RFC 7352 3.2."""
    script(folder, 'require "duplicate"; if duplicate { discard; }')
    rules = filters(tmp_path)
    assert deliver(tmp_path, job(), rules).kind == DELIVERED
    assert deliver(tmp_path, job(queue_id="Q2"), rules).kind == DISCARDED
    assert deliver(tmp_path, job(queue_id="Q3"), rules, NOW + 8 * 86_400).kind == DELIVERED


def test_ereject_fails_the_recipient_and_reject_of_a_bounce_too_without_an_answer(tmp_path, folder):
    script(folder, 'require "ereject"; ereject text:\nNo\nway\n.\n;')
    outcome = deliver(tmp_path, job(), filters(tmp_path))
    assert (outcome.kind, outcome.code, outcome.status, outcome.text) == (FAILED, 550, "5.7.1", "No way")
    script(folder, 'require "reject"; reject "No";')
    assert deliver(tmp_path, job(reverse_path=b""), filters(tmp_path)).kind == FAILED


def test_an_edited_header_is_stored_also_for_a_large_message(tmp_path, folder):
    (tmp_path / "large").write_bytes(CONTENT)
    script(folder, 'require "editheader"; addheader "X-A" "b"; deleteheader "subject";')
    large = Delivery(
        b"bob@x.org", (b"ann@local.test",), 0, len(CONTENT) + 13, b"Received: x\r\n", str(tmp_path / "large")
    )
    deliver(tmp_path, job()._replace(delivery=large), filters(tmp_path))
    (stored,) = in_new(folder)
    assert b"\nX-A: b\nReceived: x\nFrom: bob@x.org\n" in stored
    assert b"Subject" not in stored
    assert stored.endswith(b"\n\nbody\n")


def test_a_broken_script_is_told_once_a_day(tmp_path, folder):
    script(folder, "foo;")
    rules = filters(tmp_path)
    for hours in (0, 1, 25):
        assert deliver(tmp_path, job(queue_id=f"Q{hours}"), rules, NOW + hours * 3600).kind == DELIVERED
    assert sum(b"Your mail filter" in message for message in in_new(folder)) == 2
    assert rules.faults == 3


def test_a_global_script_can_be_included(tmp_path, folder):
    (tmp_path / "global").mkdir()
    (tmp_path / "global" / "house.sieve").write_text("discard;")
    script(folder, 'require "include"; include :global "house";')
    assert deliver(tmp_path, job(), filters(tmp_path)).kind == DISCARDED


def test_keywords_are_stored_and_a_made_mailbox_has_its_special_use(tmp_path, folder):
    """RFC 5232 5, RFC 8579 4."""
    script(
        folder,
        'require ["fileinto", "mailbox", "imap4flags", "special-use"];'
        'fileinto :create :specialuse "\\\\Archive" :flags ["$Work", "\\\\Seen"] "Old";',
    )
    assert "UID 1 in Old" in deliver(tmp_path, job(), filters(tmp_path)).text
    store = FolderStore(folder)
    with_use = [each.name for each in store.list() if "\\Archive" in each.special_use]
    assert with_use == ["Old"]
    view = store.open("Old")
    assert {"$Work", "\\Seen"} <= set(view.flag_names(view.flags[0]))
    assert view.content(0).read(0, 1000).endswith(CONTENT)
    store.rename("Old", "Older")
    assert "in Older" in deliver(tmp_path, job(queue_id="Q2"), filters(tmp_path)).text


def test_what_cannot_be_remembered_does_not_store_the_message_again(tmp_path, folder, monkeypatch):
    script(folder, 'require "duplicate"; if duplicate { discard; }')

    def failing(*_args):
        raise PermissionError(errno.EACCES, "no", "/secret")

    monkeypatch.setattr(Memory, "add", failing)
    outcome = deliver(tmp_path, job(), filters(tmp_path))
    assert (outcome.kind, len(in_new(folder))) == (DELIVERED, 1)
    assert "not remembered: Permission denied" in outcome.text


def test_a_script_that_cannot_be_read_keeps_the_message(tmp_path, folder, monkeypatch):
    script(folder, "discard;")

    def failing(*_args):
        raise PermissionError(errno.EACCES, "no", "/secret")

    monkeypatch.setattr(Filters, "load", failing)
    monkeypatch.setattr(Memory, "knows", failing)
    outcome = deliver(tmp_path, job(), filters(tmp_path))
    assert (outcome.kind, len(in_new(folder))) == (DELIVERED, 1)
    assert "cannot be read" in outcome.text


@pytest.mark.parametrize(
    ("setting", "reverse_path", "redirected"),
    [
        ("sender", b"bob@x.org", b"bob@x.org"),
        ("recipient", b"bob@x.org", b"ann@local.test"),
        ("recipient", b"", b""),
    ],
)
def test_the_reverse_path_of_a_redirect_is_the_senders_or_the_accounts(
    tmp_path, folder, setting, reverse_path, redirected
):
    """A null one stays null (RFC 5321 4.5.5)."""
    script(folder, 'redirect "c@x.org";')
    rules = filters(tmp_path, redirect_envelope_from=setting)
    sending = deliver(tmp_path, job(reverse_path=reverse_path), rules)
    assert [each.reverse_path for each in sending.outgoing] == [redirected]


@pytest.mark.parametrize("text", [None, "nonsense", 'require "fileinto"; fileinto ;', "redirect :x;"])
def test_a_default_script_that_fails_is_not_blamed_on_the_account(tmp_path, folder, text):
    """The script is the operator's: the account got a notice about "your filter script" every day."""
    path = tmp_path / "default.sieve"
    if text is not None:
        path.write_text(text)
    rules = filters(tmp_path, default_script=path)
    answer = deliver(tmp_path, job(), rules)
    assert answer.kind == DELIVERED
    assert len(in_new(folder)) == 1, "the message alone, without a notice"
    assert "sieve.default_script" in answer.text
    assert str(path) in answer.text
    assert rules.faults == 1
    script(folder, "keep;")
    assert "sieve.default_script" not in deliver(tmp_path, job(queue_id="Q2"), rules).text


# ---- one message for several names of an account ---------------------------------------------------------------------


def several(*recipients: bytes, content: bytes = CONTENT) -> list[LocalJob]:
    delivery = Delivery(b"bob@x.org", recipients, 0, len(content), content)
    return [LocalJob(delivery, b"ann@local.test", each, "Q1") for each in recipients]


def deliver_all(tmp_path, jobs: list[LocalJob], rules: Filters) -> list[Any]:
    return [*deliver_local(tmp_path, jobs, None, NOW, rules)]


NAMES = (b"ann@local.test", b"ann+lists@local.test", b"ann+x@local.test")


def test_a_script_has_its_turn_for_each_and_the_same_copy_is_made_once(tmp_path, folder):
    script(
        folder,
        'require ["fileinto", "mailbox", "envelope", "subaddress"];'
        'if envelope :detail "to" "lists" { fileinto :create "Lists"; keep; }',
    )
    outcomes = deliver_all(tmp_path, several(*NAMES), filters(tmp_path))
    assert [each.kind for each in outcomes] == [DELIVERED] * 3
    assert (len(in_new(folder)), len(in_new(folder / ".Lists"))) == (1, 1)


def test_copies_that_differ_are_all_made(tmp_path, folder):
    script(
        folder,
        'require ["editheader", "envelope", "subaddress", "imap4flags"];'
        'if envelope :detail "to" "lists" { addheader "X-List" "yes"; keep; }'
        'elsif envelope :detail "to" "x" { keep :flags "\\\\Flagged"; } else { keep; }',
    )
    deliver_all(tmp_path, several(*NAMES, *NAMES), filters(tmp_path))
    assert len(in_new(folder)) == 2
    assert len(list((folder / "cur").iterdir())) == 1


def test_a_copy_with_keywords_is_made_once(tmp_path, folder):
    script(folder, 'require "imap4flags"; keep :flags "$work";')
    outcomes = deliver_all(tmp_path, several(*NAMES), filters(tmp_path))
    assert [each.kind for each in outcomes] == [DELIVERED] * 3
    assert len([*(folder / "new").iterdir(), *(folder / "cur").iterdir()]) == 1


def test_a_new_message_is_sent_once_and_the_copy_beside_it_made_once(tmp_path, folder):
    script(folder, 'require "copy"; redirect :copy "c@x.org";')
    rules = filters(tmp_path)
    jobs = several(*NAMES)
    answers = deliver_all(tmp_path, jobs, rules)
    assert [len(each.outgoing) for each in answers] == [1, 0, 0]
    for one, answer in zip(jobs, answers, strict=True):
        (outcome,) = deliver_all(tmp_path, [one._replace(plan=answer.plan)], rules)
        assert outcome.kind == DELIVERED
    assert len(in_new(folder)) == 1


def test_a_redirect_knows_its_circle_by_an_address_with_a_tag(tmp_path, folder):
    script(folder, 'redirect "c@x.org";')
    answer = deliver(tmp_path, job(b"Delivered-To: Ann+Tag@local.test\r\n" + CONTENT), filters(tmp_path))
    assert "not redirected: it came back" in answer.text
    (message,) = in_new(folder)
    assert message.lower().count(b"delivered-to:") == 1


def test_fields_of_final_delivery_that_a_script_adds_are_not_left_beside_ours(tmp_path, folder):
    script(folder, 'require "editheader"; addheader "X-A" "b"; addheader "Delivered-To" "x@y"; keep;')
    deliver(tmp_path, job(b"Return-Path: <x@y>\r\n" + CONTENT), filters(tmp_path))
    (message,) = in_new(folder)
    assert (message.count(b"Return-Path:"), message.count(b"Delivered-To:"), message.count(b"X-A: b")) == (1, 1, 1)
