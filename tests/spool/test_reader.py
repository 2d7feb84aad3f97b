"""Records asked for one by one: what a tail has read is at hand, and what comes in order is read many at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.spool._record_cache import Remembered
from relay.spool.files import Files
from relay.spool.folder import log_folder, segment_name
from relay.spool.reader import LogReader, MissingRecord, Record, Tail
from tests.spool.spools import make_log, make_spool

CONTENTS = {f"m{number:03}": b"%d" % number * 300 for number in range(200)}


class Counted(Files):
    """The real disk, counting reads."""

    reads = 0

    def read(self, fd: int, size: int, offset: int) -> bytes:
        self.reads += 1
        return super().read(fd, size, offset)


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return make_spool(tmp_path)


def records_of(spool_dir: Path, contents: dict[str, bytes] = CONTENTS) -> list[Record]:
    log, commits = make_log(spool_dir, [contents], segment_size=1 << 20)
    log.close()
    return Tail(spool_dir, log.number, print).advance(1, commits[-1].end, closed=True)


def test_a_record_that_a_tail_has_read_is_given_out_once_without_reading(spool_dir):
    records = records_of(spool_dir)
    files = Counted()
    reader = LogReader(spool_dir, files)
    reader.remember(records)
    for record in records:
        assert reader.remembered(*record[:3]) is record
        assert reader.remembered(*record[:3]) is None
    assert files.reads == 0
    message = reader.load(*records[7][:3])
    assert bytes(message.content) == CONTENTS["m007"]
    reader.close()


def test_what_is_remembered_is_bounded_and_the_older_half_goes_first(spool_dir):
    records = records_of(spool_dir)
    remembered = Remembered(10 * records[0].content_size)
    for record in records:
        remembered.put([record])
    kept = [record for record in records if remembered.take(*record[:3]) is not None]
    assert kept == records[-len(kept) :]
    assert 0 < sum(record.content_size for record in kept) <= 10 * records[0].content_size


def test_records_asked_for_in_order_are_read_many_at_a_time(spool_dir):
    records = records_of(spool_dir)
    files = Counted()
    reader = LogReader(spool_dir, files)
    for record in records:
        message = reader.load(*record[:3])
        assert bytes(message.content) == CONTENTS[record.envelope.queue_id]
        assert message.record[:8] == record[:8]
    assert files.reads < len(records) / 20
    reader.close()


def test_records_asked_for_out_of_order_are_read_one_by_one(spool_dir):
    records = records_of(spool_dir)
    reader = LogReader(spool_dir)
    for record in [*records[::3], *reversed(records)]:
        assert bytes(reader.load(*record[:3]).content) == CONTENTS[record.envelope.queue_id]
    reader.close()


def test_a_long_content_between_short_ones_that_are_read_in_order(spool_dir):
    contents = {"a": b"x" * 100, "b": b"y" * 100, "long": b"z" * 100_000, "c": b"x" * 100, "d": b"y" * 100}
    reader = LogReader(spool_dir)
    for record in records_of(spool_dir, contents):
        assert bytes(reader.load(*record[:3]).content) == contents[record.envelope.queue_id]
    reader.close()


def test_damage_among_records_that_are_read_in_order_concerns_that_one_alone(spool_dir):
    records = records_of(spool_dir)
    path = log_folder(spool_dir, records[0].log) / segment_name(1)
    octets = bytearray(path.read_bytes())
    octets[records[20].content_offset] ^= 1
    path.write_bytes(octets)
    reader = LogReader(spool_dir)
    for record in records:
        if record is records[20]:
            with pytest.raises(MissingRecord, match="crc"):
                reader.load(*record[:3])
        else:
            assert bytes(reader.load(*record[:3]).content) == CONTENTS[record.envelope.queue_id]
    reader.close()
