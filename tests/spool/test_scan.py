"""Reading a segment whose octets are not as they were written."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.spool.folder import log_folder, segment_name
from relay.spool.reader import Damage, LogReader, MissingRecord, Record, Tail
from relay.spool.record import FIRST, HEAD_SIZE, Identity, pack_head, padded, unpack_head
from tests.spool.spools import envelope, item, make_log, make_spool

CONTENTS = {f"m{number:03d}": bytes([number]) * size for number, size in enumerate([10, 2000, 1, 0, 700, 5000, 64, 9])}


class Spool:
    """A dead log with one segment that holds CONTENTS in three batches."""

    def __init__(self, data_dir: Path) -> None:
        self.dir = make_spool(data_dir)
        names = list(CONTENTS)
        groups = [names[:3], names[3:4], names[4:]]
        log, commits = make_log(self.dir, [{name: CONTENTS[name] for name in group} for group in groups])
        self.log = log.number
        self.end = commits[-1].end
        self.last_batch = commits[-1].start
        log.close()
        self.path = log_folder(self.dir, self.log) / segment_name(1)
        self.octets = self.path.read_bytes()
        self.places = {record.envelope.queue_id: record for record in self.read()[0]}

    def read(self, *, live: bool = False) -> tuple[list[Record], list[Damage]]:
        damages: list[Damage] = []
        tail = Tail(self.dir, self.log, damages.append)
        try:
            if live:
                return tail.advance(1, self.end, closed=True), damages
            return [record for some in tail.rest() for record in some], damages
        finally:
            tail.close()

    def damage(self, at: int, octets: bytes) -> None:
        self.path.write_bytes(self.octets[:at] + octets + self.octets[at + len(octets) :])


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("data"))


def untouched(spool: Spool, start: int, end: int) -> set[str]:
    """The messages whose records share no octet with [start, end): the slow twin's answer."""
    names = set()
    for name, record in spool.places.items():
        if record.offset >= end or record.content_offset + record.content_size <= start:
            names.add(name)
    return names


def names_of(records: list[Record]) -> set[str]:
    return {record.envelope.queue_id for record in records}


def test_all_records_are_found_in_order(spool: Spool) -> None:
    spool.damage(0, b"")
    records, damages = spool.read()
    assert [record.envelope.queue_id for record in records] == list(CONTENTS)
    assert [record.sequence for record in records] == list(range(1, len(CONTENTS) + 1))
    assert damages == []


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_costs_one_record_at_most(spool: Spool, data: st.DataObject) -> None:
    at = data.draw(st.integers(FIRST, spool.end - 1))
    bit = data.draw(st.integers(0, 7))
    live = data.draw(st.booleans())
    spool.damage(at, bytes([spool.octets[at] ^ (1 << bit)]))
    records, damages = spool.read(live=live)
    expected = untouched(spool, at, at + 1)
    assert names_of(records) == expected
    # an octet of padding belongs to no record: then nothing is missing and nothing has to be said
    assert bool(damages) == (len(expected) < len(CONTENTS))
    for damage in damages:
        assert damage.offset <= at < damage.offset + damage.size
        assert damage.is_torn == (not live and at >= spool.last_batch)
        kept = (spool.dir / "corrupt" / damage.saved).read_bytes()
        assert len(kept) == damage.size
        (spool.dir / "corrupt" / damage.saved).unlink()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_hole_costs_only_the_records_it_touches(spool: Spool, data: st.DataObject) -> None:
    """Zeroes and garbage of any length, over any number of records, in a log whose end is known."""
    start = data.draw(st.integers(FIRST, spool.end - 1))
    end = data.draw(st.integers(start + 1, spool.end))
    seed = data.draw(st.one_of(st.none(), st.integers()))
    filling = bytes(end - start) if seed is None else random.Random(seed).randbytes(end - start)
    spool.damage(start, filling)
    records, damages = spool.read(live=True)
    found = names_of(records)
    assert untouched(spool, start, end) <= found
    changed = spool.path.read_bytes()
    for name in found:
        place = spool.places[name]
        stop = place.content_offset + place.content_size
        assert changed[place.offset : stop] == spool.octets[place.offset : stop]
    assert bool(damages) == (found != CONTENTS.keys())


@pytest.mark.parametrize("keep", range(0, 9000, 333))
def test_a_torn_end_is_no_damage(spool: Spool, keep: int) -> None:
    """Everything before the last batch is there; of the last batch what is whole; nobody is alarmed."""
    end = min(spool.last_batch + keep, spool.end)
    spool.damage(end, bytes(spool.end - end))
    records, damages = spool.read()
    assert names_of(records) == untouched(spool, end, spool.end)
    assert all(damage.is_torn for damage in damages)


def test_a_file_that_ends_early_loses_only_what_is_cut_off(spool: Spool) -> None:
    spool.path.write_bytes(spool.octets[: spool.places["m005"].content_offset + 7])
    records, damages = spool.read(live=True)
    assert names_of(records) == set(list(CONTENTS)[:5])
    assert damages
    assert not any(damage.is_torn for damage in damages)


def test_a_lost_segment_head_costs_nothing(spool: Spool) -> None:
    spool.damage(0, bytes(FIRST))
    records, damages = spool.read()
    assert names_of(records) == CONTENTS.keys()
    assert damages == []


def test_records_are_found_when_the_log_has_lost_its_lock_file(spool: Spool) -> None:
    spool.damage(0, b"")
    lock = log_folder(spool.dir, spool.log) / "lock"
    saved = lock.read_bytes()
    lock.write_bytes(b"\0" * len(saved))
    try:
        assert names_of(spool.read()[0]) == CONTENTS.keys()
    finally:
        lock.write_bytes(saved)


def test_a_log_that_cannot_be_identified_is_reported(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (log_folder(spool.dir, spool.log) / "lock").write_bytes(b"")
    spool.damage(0, bytes(FIRST))
    records, damages = spool.read()
    assert records == []
    assert "mark is lost" in damages[0].reason


def test_content_cannot_pass_for_a_record(tmp_path: Path) -> None:
    """A message holds a whole record with all that a peer can know of the format. When the head before it is damaged,
    reading goes on at the next true record and not inside the message."""
    spool_dir = make_spool(tmp_path)
    evil = envelope("EVIL")
    log, commits = make_log(spool_dir, [{"m1": b"first"}])
    offset = commits[0].end + padded(HEAD_SIZE + len(envelope("m2")) + 8 * 9)
    pieces = []
    for guess in range(40):  # at each place where it could lie
        identity = Identity(b"\x01\x02\x03\x04\x05\x06\x07\x08", log.number, 1)
        head = pack_head(identity, offset + guess * 8, 3, 0, (len(evil), 0, 0), 0)
        pieces.append((head + evil).ljust(200, b"x"))
    log.commit([item("m2", b"".join(pieces))])
    log.commit([item("m3", b"third")])
    log.close()
    path = log_folder(spool_dir, log.number) / segment_name(1)
    octets = bytearray(path.read_bytes())
    octets[commits[0].end + 20] ^= 255
    path.write_bytes(octets)
    damages: list[Damage] = []
    records = [r for some in Tail(spool_dir, log.number, damages.append).rest() for r in some]
    assert names_of(records) == {"m1", "m3"}
    assert len(damages) == 1


def test_a_head_is_only_good_in_its_own_place() -> None:
    identity = Identity(b"abcdefgh", 1, 2)
    head = pack_head(identity, 64, 5, 0, (10, 0, 20), 77)
    assert unpack_head(head, 0, identity, 64) is not None
    assert unpack_head(head, 0, identity, 72) is None
    assert unpack_head(head, 0, identity._replace(segment=3), 64) is None
    assert unpack_head(head, 0, identity._replace(log=2), 64) is None
    assert unpack_head(head[:-1], 0, identity, 64) is None


def test_a_large_content_is_passed_over_by_the_tail_and_checked_by_its_reader(tmp_path: Path) -> None:
    spool_dir = make_spool(tmp_path)
    large = bytes(range(256)) * 180
    parts = {"before": b"x" * 100, "large": large, "huge": large + large[:1000], "after": b"y" * 100}
    contents = {name: content * (3 if name == "huge" else 1) for name, content in parts.items()}
    log, commits = make_log(spool_dir, [contents], segment_size=1 << 20)
    log.close()
    path = log_folder(spool_dir, log.number) / segment_name(1)
    octets = bytearray(path.read_bytes())
    damages: list[Damage] = []
    tail = Tail(spool_dir, log.number, damages.append)
    records = tail.advance(1, commits[-1].end, closed=True)
    assert [record.envelope.queue_id for record in records] == list(contents)
    reader = LogReader(spool_dir, on_damage=damages.append)
    for record in records:
        assert bytes(reader.load(*record[:3]).content) == contents[record.envelope.queue_id]
    octets[records[2].content_offset + 70_000] ^= 1
    path.write_bytes(octets)
    tail = Tail(spool_dir, log.number, damages.append)
    assert tail.advance(1, commits[-1].end, closed=True) == records
    assert damages == []
    with pytest.raises(MissingRecord, match="crc"):
        LogReader(spool_dir, on_damage=damages.append).load(*records[2][:3])
    assert [(damage.queue_id, damage.size) for damage in damages] == [("huge", records[3].offset - records[2].offset)]
    dead = Tail(spool_dir, log.number, damages.append, is_readonly=True)
    assert names_of([record for some in dead.rest() for record in some]) == {"before", "large", "after"}


def test_segments_that_are_removed_take_no_room_any_more(spool: Spool) -> None:
    """A disk that was full stayed so: nothing came in, so the reader opened no further one and kept the old ones."""
    spool.damage(0, b"")
    reader = LogReader(spool.dir)
    reader.load(spool.log, 1, spool.places["m001"].offset)
    path = log_folder(spool.dir, spool.log) / segment_name(1)

    def is_open() -> bool:
        return any(os.readlink(f"/proc/self/fd/{fd}").startswith(str(path)) for fd in open_files())

    reader.let_go()
    assert is_open()
    path.unlink()
    reader.let_go()
    assert not is_open()


def open_files() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]


def test_load_refuses_what_is_damaged(spool: Spool) -> None:
    spool.damage(0, b"")
    reader = LogReader(spool.dir)
    record = spool.places["m001"]
    message = reader.load(spool.log, 1, record.offset)
    assert bytes(message.content) == CONTENTS["m001"]
    assert message.record.envelope.queue_id == "m001"
    at = record.content_offset + 1999
    spool.damage(at, b"\xff")
    with pytest.raises(MissingRecord, match="crc"):
        LogReader(spool.dir).load(spool.log, 1, record.offset)
    with pytest.raises(MissingRecord, match="its head is damaged"):
        LogReader(spool.dir).load(spool.log, 1, record.offset + 8)
    with pytest.raises(MissingRecord, match="gone"):
        LogReader(spool.dir).load(spool.log, 9, 64)
    reader.close()
