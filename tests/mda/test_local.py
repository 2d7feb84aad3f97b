"""Local delivery: header fields, outcomes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from relay.delivery._delivery import Delivery
from relay.mail.outcome import DEFERRED, DELIVERED, FAILED, Outcome
from relay.mda.local import LocalJob
from relay.mda.local import deliver_local as deliver_jobs


def deliver_local(mail_dir: Path, jobs: list[LocalJob]) -> list[Outcome]:
    return [outcome for outcome in deliver_jobs(mail_dir, jobs) if isinstance(outcome, Outcome)]


def job(mailbox: bytes = b"ann@example.org", reverse_path: bytes = b"bob@example.net", **where) -> LocalJob:
    where = where or {"content": b"Subject: x\r\n\r\n.dot\r\n"}
    return LocalJob(Delivery(reverse_path, (mailbox,), 0, 20, **where), mailbox)


@pytest.mark.parametrize("reverse_path", [b"bob@example.net", b""])
def test_return_path_and_delivered_to_come_first(tmp_path, reverse_path):
    """RFC 5321 4.4; the content is stored as it is, not stuffed."""
    (outcome,) = deliver_local(tmp_path, [job(reverse_path=reverse_path)])
    assert (outcome.kind, outcome.stage, outcome.next_hop) == (DELIVERED, "store", "ann@example.org")
    (file,) = (tmp_path / "example.org" / "ann" / "new").iterdir()
    assert outcome.text == f"stored as {file.name}"
    assert file.read_bytes() == (
        b"Return-Path: <" + reverse_path + b">\nDelivered-To: ann@example.org\nSubject: x\n\n.dot\n"
    )


def test_a_large_content_and_a_bad_address_and_a_good_one_in_one_batch(tmp_path):
    path = tmp_path / "content"
    path.write_bytes(b"A: b\r\n\r\n" + b"x" * 12)
    outcomes = deliver_local(tmp_path / "mail", [job(path=str(path)), job(b"x" * 300 + b"@example.org"), job()])
    assert [outcome.kind for outcome in outcomes] == [DELIVERED, FAILED, DELIVERED]
    assert outcomes[1].status == "5.1.3"
    assert len(list((tmp_path / "mail" / "example.org" / "ann" / "new").iterdir())) == 2


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.ENOSPC, "4.3.1"), (errno.EDQUOT, "4.2.2"), (errno.EIO, "4.3.0"), (errno.EACCES, "4.3.0")],
)
def test_a_fault_of_the_disk_is_temporary_and_names_no_path(tmp_path, monkeypatch, number, status):
    def failing(*_args):
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(os, "write", failing)
    (outcome,) = deliver_local(tmp_path, [job()])
    assert (outcome.kind, outcome.status) == (DEFERRED, status)
    assert str(tmp_path) not in outcome.text
