"""The reading side: tails that discover records, and the reader that loads one of them.

Theory: there is one way in. Notices, or the owner's snapshot, say how far the octets of a living log are synced, and
its tail believes nothing beyond; the tail of a dead log uses the same code and finds the end by itself.
It passes over large contents, which are checked by the one who loads them.
A living log's segment may be recycled under the tail's eyes, but only when all its records are finished: then the file
has lost its name, and what was read from it is dropped without a word.

Not here: how octets become records (scan.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from relay.spool import scan
from relay.spool._record import read_run
from relay.spool._record_cache import Remembered
from relay.spool.corrupt import Damage, keep
from relay.spool.files import OS, READ, Files
from relay.spool.folder import list_segments, log_folder, log_mark, segment_name
from relay.spool.record import FIRST, HEAD_SIZE, VERSION, Identity, LargeFile, SegmentHead, unpack_head
from relay.spool.scan import Gap, Record, RecordError, parse_record

__all__ = ["Damage", "LargeFile", "LogReader", "Message", "MissingRecord", "Record", "Tail"]

_CERTAIN: Final = -1
"""As the sequence of a gap: not the leftover of a torn batch, whatever the records around it say."""
_GUESS: Final = 4 << 10
_OPEN_FILES: Final = 16
_REPORTED: Final = 10_000
"""Damaged records that are remembered, so as not to be reported twice."""
_REMEMBERED_OCTETS: Final = 8 << 20
_AHEAD_OCTETS: Final = 1 << 20
_STRIDE: Final = 64 << 10
"""What is read at once of records that are asked for in their order."""


_Opened = tuple[int, Identity, Path]
"""Descriptor, what heads in it say, and the folder of large files."""


class Message(NamedTuple):
    """One record loaded for delivery, checked against its crc."""

    record: Record
    content: memoryview | bytes
    """The part of the content that is in the segment; the file named by ``record.large`` follows."""


class MissingRecord(Exception):  # noqa: N818 - says what is the case, not who erred
    """The record asked for is not there, or damaged; ``str()`` says which."""


class Tail:
    """Reads one log forward. A delivery worker has one for each log; blocking reads of mostly cached pages.

    ``on_damage`` is called for everything that is not as it was written, after its octets were moved to corrupt/
    (unless ``is_readonly``). OSError from the reading methods is the disk's; what was returned before stands.
    """

    def __init__(
        self,
        spool_dir: Path,
        log: int,
        on_damage: Callable[[Damage], None],
        *,
        is_readonly: bool = False,
        files: Files = OS,
    ) -> None:
        self.log = log
        self.position = (0, 0)
        """(segment, offset) up to which all has been read; a closed segment that was read whole counts as
        (segment + 1, 0). This is what LogWriter.finished and AdoptedLog.finished want as ``tail``."""
        self._spool_dir = spool_dir
        self._folder = log_folder(spool_dir, log)
        self._on_damage = on_damage
        self._is_readonly = is_readonly
        self._files = files
        self._mark = b""
        self._open: scan.Segment | None = None
        self._number = 0
        self._reported = 0

    def advance(self, segment: int, end: int, closed: bool) -> list[Record]:
        """Living log: the records between what has been read and ``end`` (from a notice or the snapshot).

        Segments must come in order; what was read before is not read again.
        """
        records: list[Record] = []
        start = self._start(segment)
        if start is None:
            return records
        if start < end and (file := self._segment(segment)) is not None:
            file.bare = 0
            for some in file.read(start, end, is_synced=True, passes_over=True):
                records += some
            if file.gaps or file.bare:
                if not file.is_current():
                    records.clear()
                    file.gaps.clear()
                records = [record for record in records if self._has_large(record)]
                self._report(file, end)
        self.position = (segment + 1, 0) if closed else (segment, max(start, end))
        return records

    def rest(self) -> Iterator[list[Record]]:
        """Dead log (its owner is gone): everything that is left, in lists of about a MiB of file each."""
        segments = [s for s in list_segments(self._spool_dir, self.log, self._files) if s >= self.position[0]]
        if segments and not self._find_mark():
            self._on_damage(Damage(self.log, 0, 0, 0, "the log's mark is lost: nothing can be read", "", False, ""))
        heads = [(s, head) for s in segments if (head := self._head(s)) is not None]
        for segment in segments:
            later = [head for number, head in heads if number > segment]
            yield from self._whole(segment, later[0] if later else None)
            self.position = (segment + 1, 0)
        self.position = (max(self.position[0], 1), 0)
        self.close()

    def segment(self, segment: int) -> Iterator[Record]:
        """Every record in one segment of a dead log, wherever the tail stands; says nothing about damage."""
        self.position = (segment, 0)
        for records in self._whole(segment, None):
            yield from records

    def close(self) -> None:
        """Closes files."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _start(self, segment: int) -> int | None:
        """Where reading of ``segment`` begins; None when all of it has been read."""
        number, offset = self.position
        if segment < number:
            return None
        return max(offset, FIRST) if segment == number else FIRST

    def _whole(self, segment: int, later: SegmentHead | None) -> Iterator[list[Record]]:
        start = self._start(segment)
        if start is None or (file := self._segment(segment)) is None:
            return
        end = file.size()
        is_synced = later is not None and later.previous_segment == segment
        if later is not None and is_synced:
            end = later.previous_end
        for records in file.read(start, end, is_synced=is_synced):
            yield [record for record in records if self._has_large(record)]
        self._report(file, end if later is not None else 0)

    def _segment(self, segment: int) -> scan.Segment | None:
        """The open file of ``segment``; None when it is gone: recycled, so everything in it is finished."""
        if self._open is not None and self._number == segment:
            return self._open
        self.close()
        if not self._find_mark():
            return None
        path = self._folder / segment_name(segment)
        try:
            self._open = scan.Segment(self._files, self._folder, path, Identity(self._mark, self.log, segment))
        except FileNotFoundError:
            return None
        self._number = segment
        self._open.head()
        return self._open

    def _find_mark(self) -> bytes:
        if not self._mark:
            self._mark = log_mark(self._spool_dir, self.log, self._files) or b""
        return self._mark

    def _head(self, segment: int) -> SegmentHead | None:
        file = self._segment(segment)
        return file.head() if file is not None else None

    def _has_large(self, record: Record) -> bool:
        if record.large is None:
            return True
        size = self._files.file_size(record.large.path)
        if size == record.large.size:
            return True
        reason = "its large file is missing" if size is None else "its large file has the wrong size"
        end = record.content_offset + record.content_size
        assert self._open is not None
        self._open.gaps.append(Gap(record.offset, end, reason, _CERTAIN, record.envelope.queue_id))
        return False

    def _report(self, file: scan.Segment, synced_end: int) -> None:
        """Tells about the gaps; those before ``synced_end`` are damage for certain."""
        for start, end, reason, sequence, queue_id in file.gaps:
            is_torn = start >= synced_end and sequence >= file.synced_sequence
            damage = Damage(self.log, self._number, start, end - start, reason, queue_id, is_torn, "")
            if not self._is_readonly:
                damage = keep(self._files, self._spool_dir, damage, file.octets(start, end))
            self._on_damage(damage)
        file.gaps.clear()


class LogReader:
    """Loads records by reference from any log; keeps a few files open. Blocking; one thread.

    ``on_damage``, where given, is called once for each record that was whole when a tail read it and is not any more;
    its octets are then in corrupt/ already.
    """

    def __init__(self, spool_dir: Path, files: Files = OS, on_damage: Callable[[Damage], None] | None = None) -> None:
        self._spool_dir = spool_dir
        self._files = files
        self._on_damage = on_damage
        self._reported: set[tuple[int, int, int]] = set()
        self._open: OrderedDict[tuple[int, int], _Opened] = OrderedDict()
        self._marks: dict[int, bytes] = {}
        self._tailed = Remembered(_REMEMBERED_OCTETS)
        self._ahead = Remembered(_AHEAD_OCTETS)
        self._next: dict[int, tuple[int, int]] = {}
        """By log, the (segment, offset) behind what was read last, not counting what was remembered."""

    def remember(self, records: list[Record]) -> None:
        """Keeps records that a tail has just read with their contents, in a bounded memory: most are loaded at once,
        and need not be read a second time."""
        self._tailed.put(records)

    def remembered(self, log: int, segment: int, offset: int) -> Record | None:
        """The record at the reference with its content, when it was read before and not been given out yet."""
        return self._tailed.take(log, segment, offset) or self._ahead.take(log, segment, offset)

    def load(self, log: int, segment: int, offset: int) -> Message:
        """The record at the reference; MissingRecord when it is not there, damaged, or its large file is missing.

        One pread for records up to 4 KiB, two for others; one for many when records are asked for in their order, as
        those of a long queue are. OSError is the disk's.
        """
        remembered = self.remembered(log, segment, offset)
        if remembered is not None and remembered.content is not None:
            return Message(remembered, remembered.content)
        ref = (log, segment, offset)
        key = (log, segment)
        known = self._open.get(key)
        fd, identity, large_folder = known if known is not None else self._file(log, segment)
        self._open.move_to_end(key)
        if self._next.get(log) == (segment, offset):
            octets = self._files.read(fd, _STRIDE, offset)
            if (record := self._read_ahead(octets, identity, offset)) is not None and record.content is not None:
                return Message(record, record.content)
        else:
            octets = self._files.read(fd, _GUESS, offset)
        head = unpack_head(octets, 0, identity, offset)
        if head is None:
            if known is None:
                raise self._damaged(ref, octets, "its head is damaged", "")
            self._forget(key)  # the segment was recycled while we had it open
            return self.load(log, segment, offset)
        self._next[log] = (segment, offset + head.size)
        if head.size > len(octets):
            body = self._files.read(fd, head.body_size, offset + HEAD_SIZE)  # by itself, so that it is never copied
        else:
            body = octets[HEAD_SIZE : HEAD_SIZE + head.body_size]
        try:
            record = parse_record(body, head, large_folder)
        except RecordError as fault:
            octets = self._files.read(fd, head.size, offset)
            raise self._damaged(ref, octets, str(fault), fault.queue_id) from None
        if record.large is not None and self._files.file_size(record.large.path) != record.large.size:
            octets = self._files.read(fd, head.size, offset)
            raise self._damaged(ref, octets, "the large file is missing or cut", record.envelope.queue_id)
        return Message(record, memoryview(body)[head.envelope_size + head.large_size :])

    def _read_ahead(self, octets: bytes, identity: Identity, offset: int) -> Record | None:
        """The ordinary record that ``octets`` begin with; those behind it are remembered."""
        mark, log, segment = identity
        end = offset + len(octets)
        records, size, _, _, _ = read_run(Record, octets, offset, end, mark, VERSION, log, segment, _STRIDE, _STRIDE)
        if not records:
            return None
        self._next[log] = (segment, offset + size)
        self._ahead.put(records[1:])
        return records[0]

    def _damaged(self, ref: tuple[int, int, int], octets: bytes, reason: str, queue_id: str) -> MissingRecord:
        """Keeps and reports what was whole when a tail read it and is not any more; what to raise."""
        if self._on_damage is not None and ref not in self._reported:
            if len(self._reported) < _REPORTED:
                self._reported.add(ref)
            damage = Damage(*ref, len(octets), reason, queue_id, False, "")
            self._on_damage(keep(self._files, self._spool_dir, damage, octets))
        log, segment, offset = ref
        return MissingRecord(f"log {log} segment {segment} offset {offset}: {reason}")

    def let_go(self) -> None:
        """Closes segments that are removed, whose octets only our descriptors keep on the disk; call it at times."""
        for key in [key for key, (fd, _, _) in self._open.items() if self._files.is_nameless(fd)]:
            self._forget(key)

    def close(self) -> None:
        """Closes files."""
        for key in list(self._open):
            self._forget(key)

    def _file(self, log: int, segment: int) -> _Opened:
        mark = self._marks.get(log) or log_mark(self._spool_dir, log, self._files)
        folder = log_folder(self._spool_dir, log)
        gone = MissingRecord(f"log {log} segment {segment}: it is gone")
        if mark is None:
            raise gone
        try:
            fd = self._files.open(folder / segment_name(segment), READ)
        except FileNotFoundError:
            raise gone from None
        self._marks[log] = mark
        self.let_go()
        while len(self._open) >= _OPEN_FILES:
            self._forget(next(iter(self._open)))
        self._open[(log, segment)] = found = (fd, Identity(mark, log, segment), folder / "large")
        return found

    def _forget(self, key: tuple[int, int]) -> None:
        self._files.close(self._open.pop(key)[0])
