"""Return-Path and Delivered-To at final delivery: one of each, ours (RFC 5321 4.4)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from relay.delivery._delivery import Delivery
from relay.mail.outcome import DELIVERED, Outcome
from relay.mda import trace
from relay.mda.local import LocalJob, deliver_local

FOREIGN = b"Return-Path: <evil@x.org>\r\nDelivered-To: bob@local.test\r\n"
LINES = (
    b"Return-Path: <a@b>", b"return-path : <c@d>", b"RETURN-PATH:", b"Delivered-To: a@b", b"DELIVERED-TO\t: x",
    b"X-Delivered-To: kept", b"Delivered-To-Too: kept", b"Return-Pathology: kept", b"Subject: Return-Path: x",
    b" Delivered-To: folded", b"\tfolded", b" ", b"Received: from x", b"no field Return-Path: x", b"Delivered-To", b":",
)  # fmt: skip


def twin(header: bytes) -> bytes:
    """What is left of a header section, line by line."""
    left, is_dropped = b"", False
    for line in header.splitlines(keepends=True):
        if not line.startswith((b" ", b"\t")):
            name, colon, _ = line.partition(b":")
            is_dropped = bool(colon) and name.rstrip(b" \t").lower() in {b"return-path", b"delivered-to"}
        left += b"" if is_dropped else line
    return left


def content_of(content: bytes | memoryview, path: Path | None = None) -> bytes:
    parts, skip = trace.parts_of(content, str(path) if path else None)
    return b"".join(parts) + (path.read_bytes()[skip:] if path else b"")


def some_header(chance: random.Random) -> bytes:
    lines = [chance.choice(LINES) for _ in range(chance.randrange(8))]
    while lines and lines[0].startswith((b" ", b"\t")):
        lines.pop(0)
    return b"".join(line + b"\r\n" for line in lines)


def test_it_agrees_with_a_slow_twin() -> None:
    chance = random.Random(5321)
    for _ in range(3000):
        header = some_header(chance)
        body = chance.choice(
            (b"", b"\r\n", b"\r\nbody\r\n", b"\r\nDelivered-To: in the body\r\n\r\nReturn-Path: x\r\n")
        )
        assert trace.without(header) == twin(header)
        for content in (header + body, memoryview(header + body)):
            assert content_of(content) == twin(header) + body


def test_it_is_the_same_wherever_the_file_begins(tmp_path: Path) -> None:
    chance = random.Random(4)
    path = tmp_path / "content"
    for _ in range(300):
        header = b"Received: ours\r\n" + some_header(chance)
        whole = header + b"\r\n" + b"body\r\n" * chance.randrange(3)
        cut = chance.randrange(1, len(whole))
        path.write_bytes(whole[cut:])
        assert content_of(whole[:cut], path) == twin(header) + whole[len(header) :]


@pytest.mark.parametrize("size", [trace.PIECE - 4, trace.PIECE - 3, trace.PIECE - 1, trace.PIECE, 3 * trace.PIECE])
def test_a_header_section_may_be_longer_than_a_piece(tmp_path: Path, size: int) -> None:
    path = tmp_path / "content"
    filler = b"X: " + b"x" * (size - 5 - len(FOREIGN)) + b"\r\n"
    path.write_bytes(filler + FOREIGN + b"\r\n" + FOREIGN)
    assert content_of(b"Received: ours\r\n", path) == b"Received: ours\r\n" + filler + b"\r\n" + FOREIGN


def test_a_body_is_not_copied() -> None:
    content = FOREIGN + b"\r\n" + b"x" * 1000
    (_, body), _ = trace.parts_of(content, None)
    assert isinstance(body, memoryview)
    assert body.obj is content
    untouched = b"Subject: x\r\n\r\nDelivered-To: x\r\n"
    assert trace.parts_of(untouched, None) == ((untouched,), 0)


@pytest.mark.parametrize(
    ("recipient", "delivered_to"),
    [
        (b"alice@local.test", b"alice@local.test"),
        (b"Alice@LOCAL.test", b"alice@local.test"),
        (b"alice+News.2@local.test", b"alice+News.2@local.test"),
        (b"ALICE+x@local.test", b"alice+x@local.test"),
        (b"postmaster@local.test", b"alice@local.test"),
        (b"postmaster", b"alice@local.test"),
        (b"alice@other.test", b"alice@local.test"),
    ],
)
def test_delivered_to_keeps_the_tag(recipient: bytes, delivered_to: bytes) -> None:
    assert trace.fields(b"b@x", recipient, b"alice@local.test") == (
        b"Return-Path: <b@x>\r\nDelivered-To: " + delivered_to + b"\r\n"
    )


def stored(tmp_path: Path, jobs: list[LocalJob]) -> list[bytes]:
    outcomes = deliver_local(tmp_path / "mail", jobs)
    assert all(isinstance(each, Outcome) and each.kind == DELIVERED for each in outcomes)
    return [path.read_bytes() for path in (tmp_path / "mail/local.test/alice/new").iterdir()]


@pytest.mark.parametrize("is_large", [False, True])
def test_what_a_content_brings_is_left_out_also_of_a_large_one(tmp_path: Path, is_large: bool) -> None:
    content = b"Received: ours\r\n" + FOREIGN + b"Subject: x\r\n" + FOREIGN + b"\r\n" + FOREIGN * 10_000
    path = tmp_path / "rest"
    path.write_bytes(content[16:])
    held = {"content": content[:16], "path": str(path)} if is_large else {"content": content}
    delivery = Delivery(b"bob@x.org", (b"alice+x@local.test",), 0, len(content), **held)
    (message,) = stored(tmp_path, [LocalJob(delivery, b"alice@local.test", b"alice+x@local.test")])
    head, _, body = message.partition(b"\n\n")
    assert head == b"Return-Path: <bob@x.org>\nDelivered-To: alice+x@local.test\nReceived: ours\nSubject: x"
    assert body == FOREIGN.replace(b"\r\n", b"\n") * 10_000
    (file,) = (tmp_path / "mail/local.test/alice/new").iterdir()
    assert f",S={len(message)}," in file.name
    crlf_size = len(message) + message.count(b"\n")
    assert file.name.endswith(f",W={crlf_size}")


def test_one_message_for_several_names_of_an_account_is_stored_once(tmp_path: Path) -> None:
    content = b"Subject: x\r\n\r\nx\r\n"
    names = (b"alice@local.test", b"alice+x@local.test", b"Alice+Y@local.test", b"postmaster@local.test")
    one = Delivery(b"bob@x.org", names, 0, len(content), content)
    other = Delivery(b"bob@x.org", names[:1], 0, len(content), content)
    jobs = [LocalJob(one, b"alice@local.test", each, "Q1") for each in names]
    assert len(stored(tmp_path, [*jobs, LocalJob(other, b"alice@local.test", names[0], "Q2")])) == 2
