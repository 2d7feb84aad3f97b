"""relay/mda/batch.py and local.py: what the loop takes back is not written; one bad message spoils no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from relay.config.sieve import SieveSettings
from relay.delivery._delivery import Delivery
from relay.mail.outcome import DEFERRED, DELIVERED, Outcome
from relay.mailbox import maildir
from relay.mda.batch import Batch
from relay.mda.local import LocalJob, Suspect, deliver_local
from relay.mda.sieve_plan import Filters, Placement, Plan
from relay.net import stopping
from relay.net.stopping import JobStopped, Mark


def job(name: str) -> LocalJob:
    mailbox = f"{name}@example.org".encode()
    return LocalJob(Delivery(b"bob@example.net", (mailbox,), 0, 20, content=b"Subject: x\r\n\r\nhi\r\n"), mailbox)


class Scripts:
    """Stands for ``Filters``: does something for each account, then stores the message in INBOX."""

    def __init__(self, **does: Any) -> None:
        self.does = does

    def plan(self, folder: Path, _incoming: object, _now: float) -> Plan | None:
        result = self.does.get(folder.name, lambda: None)()
        return result if isinstance(result, Plan) else None


def delivered(folder: Path, names: str, batch: Batch | None = None, **does: Any) -> list[Any]:
    scripts = cast("Filters", Scripts(**does))
    return deliver_local(folder, [job(name) for name in names], None, 1.0, scripts, batch)


def stored(folder: Path) -> str:
    return "".join(sorted(path.name for path in (folder / "example.org").glob("*") if list((path / "new").glob("*"))))


def raising(fault: BaseException) -> Any:
    def does() -> None:
        raise fault

    return does


@pytest.mark.parametrize(
    "fault",
    [MemoryError(), RecursionError(), ValueError("x"), UnicodeEncodeError("utf-8", "\udc80", 0, 1, "x"), KeyError("x")],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_of_whatever_kind_is_its_own_jobs(tmp_path, fault):
    found = delivered(tmp_path, "abc", b=raising(fault))
    assert [each.kind for each in found if isinstance(each, Outcome)] == [DELIVERED, DELIVERED]
    assert isinstance(found[1], Suspect)
    assert (found[1].cause, found[1].outcome.kind) == ("failed", DEFERRED)
    assert type(fault).__name__ in found[1].outcome.text
    assert stored(tmp_path) == "ac"


def test_a_job_that_was_stopped_hangs_and_the_next_one_is_not_stopped_for_it(tmp_path):
    found = delivered(tmp_path, "abc", b=raising(JobStopped("deadline")))
    assert [getattr(each, "cause", "") for each in found] == ["", "hung", ""]
    assert stored(tmp_path) == "ac"


def test_a_script_looks_whether_its_time_is_over(tmp_path):
    """With every unit of its budget; the message is then not kept, as with a script that is wrong, but tried again."""
    folder = tmp_path / "example.org" / "b" / "sieve"
    folder.mkdir(parents=True)
    (folder / "active").write_text('if header :contains "subject" "x" { discard; }')
    settings = SieveSettings()
    filters = Filters(settings, hostname="mx", delimiter="+", global_dir=tmp_path, lifetime=60.0)
    mark = Mark()
    real = stopping.renew

    def late(now: float) -> None:
        real(now)
        mark.cause = "deadline"

    stopping.enter(mark)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stopping, "renew", late)
            found = deliver_local(tmp_path, [job("b")], None, 1.0, filters)
    finally:
        stopping.enter(Mark())
    assert [getattr(each, "cause", "") for each in found] == ["hung"]
    assert stored(tmp_path) == ""


def test_a_script_that_is_no_regular_file_is_not_waited_for(tmp_path):
    folder = tmp_path / "example.org" / "b" / "sieve"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "active")
    filters = Filters(SieveSettings(), hostname="mx", delimiter="+", global_dir=tmp_path, lifetime=60.0)
    (found,) = deliver_local(tmp_path, [job("b")], None, 1.0, filters)
    assert isinstance(found, Outcome)
    assert found.kind == DELIVERED
    assert "cannot be read" in found.text


@pytest.mark.parametrize("step", ["write", "sync", "publish"])
def test_a_fault_that_is_none_of_the_disks_keeps_one_message_out(tmp_path, monkeypatch, step):
    real = getattr(maildir._File, step)

    def does(file: maildir._File) -> None:
        if file.folder.name == "b":
            raise ValueError("embedded null byte")
        real(file)

    monkeypatch.setattr(maildir._File, step, does)
    found = delivered(tmp_path, "abc")
    assert [each.kind for each in found] == [DELIVERED, DEFERRED, DELIVERED]


def test_a_fault_after_the_message_is_stored_does_not_store_it_twice(tmp_path):
    class Odd(list[Any]):
        def __iter__(self) -> Any:
            raise KeyError("x")

    def plan() -> Plan:
        made = Plan([Placement(tmp_path / "example.org" / "b", (), None, "INBOX")])
        made.remember = Odd()
        return made

    found = delivered(tmp_path, "abc", b=plan)
    assert [each.kind for each in found] == [DELIVERED] * 3
    assert "KeyError" in found[1].text


def test_a_split_leaves_the_thread_one_job_and_nothing_of_the_others_is_written(tmp_path):
    batch = Batch()
    found = delivered(tmp_path, "abcd", batch, c=batch.split)
    assert [each.kind for each in found] == [DELIVERED]
    assert (batch.at, batch.is_split) == (2, True)
    assert stored(tmp_path) == "c"


def test_a_job_that_was_given_up_is_not_written(tmp_path):
    batch = Batch()

    def gives_up() -> None:
        assert batch.split()
        assert batch.give_up()

    with pytest.raises(JobStopped):
        delivered(tmp_path, "abc", batch, b=gives_up)
    assert stored(tmp_path) == ""


def test_what_is_being_written_cannot_be_taken_back(tmp_path):
    batch = Batch(on_writing=lambda: None)
    assert not batch.split(), "none has begun"
    assert not batch.give_up()
    delivered(tmp_path, "ab", batch)
    assert not batch.split()
    assert not batch.give_up()
    split = Batch()
    delivered(tmp_path, "ab", split, a=split.split)
    assert not split.give_up()


def test_each_job_is_told_before_it_begins_and_that_all_are_prepared(tmp_path):
    told: list[object] = []
    batch = Batch(told.append, lambda: told.append("writing"))
    delivered(tmp_path, "ab", batch, a=lambda: told.append("script"))
    assert told == [0, "script", 1, "writing"]
