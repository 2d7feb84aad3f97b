"""Looking at a spool from outside: `relay spool verify` and `relay spool dump`. Reads, never writes.

Not here: repair. The appliance does by itself what can be done when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c

from relay.spool.errors import SpoolError
from relay.spool.files import OS, READ, Files
from relay.spool.folder import check_format_line, is_owned, list_logs, list_segments, log_folder, read_format
from relay.spool.journal import read_journals
from relay.spool.reader import Damage, Record, Tail
from relay.spool.record import LargeFile

OK: Final = "ok"
NOTE: Final = "note"
DAMAGE: Final = "damage"
_PIECE: Final = 1 << 20


class Finding(NamedTuple):
    """One line of the report."""

    level: str
    """``ok``, ``note`` (nothing is wrong) or ``damage`` (something was lost, or would be)."""
    where: str
    text: str


def verify(spool_dir: Path, files: Files = OS) -> Iterator[Finding]:
    """Checks every octet: segments, records, large files, journals.

    Meant for a stopped appliance; on a running one, what is being written just now can look torn.
    """
    found = read_format(spool_dir, files)
    if found is None:
        yield Finding(DAMAGE, str(spool_dir), "not a spool: there is no FORMAT file")
        return
    try:
        check_format_line(spool_dir, found)
    except SpoolError as fault:
        yield Finding(DAMAGE, str(spool_dir), str(fault))
        return
    for log in list_logs(spool_dir, files):
        yield from _verify_log(spool_dir, log, files)
    yield from _verify_journals(spool_dir, files)
    if names := files.names(spool_dir / "corrupt"):
        yield Finding(NOTE, "corrupt", f"{len(names)} pieces were set aside earlier")


def dump(spool_dir: Path, log: int | None = None, files: Files = OS) -> Iterator[Record]:
    """Every record on disk, finished or not, oldest log first."""
    for number in list_logs(spool_dir, files) if log is None else [log]:
        tail = Tail(spool_dir, number, lambda _: None, is_readonly=True, files=files)
        for records in tail.rest():
            yield from records


def _verify_log(spool_dir: Path, log: int, files: Files) -> Iterator[Finding]:
    where = f"log {log}"
    damages: list[Damage] = []
    named: set[str] = set()
    records = octets = 0
    tail = Tail(spool_dir, log, damages.append, is_readonly=True, files=files)
    for some in tail.rest():
        for record in some:
            records += 1
            octets += record.content_size
            if record.large is not None:
                named.add(record.large.path.name)
                if (text := _wrong_with(record.large, files)) is not None:
                    yield Finding(DAMAGE, f"{where} {record.envelope.queue_id}", text)
    for damage in damages:
        yield _finding(damage)
    # The file of a damaged record is not named by any good one, so it is listed here too.
    for name in files.names(log_folder(spool_dir, log) / "large"):
        if name not in named:
            yield Finding(NOTE, f"{where} large/{name}", "no record names this file")
    owner = ", in use" if is_owned(spool_dir, log, files) else ""
    count = len(list_segments(spool_dir, log, files))
    yield Finding(OK, where, f"{records} records, {octets} octets of content, {count} segments{owner}")


def _finding(damage: Damage) -> Finding:
    where = f"log {damage.log} segment {damage.segment} offset {damage.offset} {damage.queue_id}".rstrip()
    if damage.is_torn:
        return Finding(NOTE, where, f"{damage.size} octets: {damage.reason} (never acknowledged)")
    return Finding(DAMAGE, where, f"{damage.size} octets: {damage.reason}")


def _wrong_with(large: LargeFile, files: Files) -> str | None:
    fd = files.open(large.path, READ)
    try:
        crc = offset = 0
        while piece := files.read(fd, _PIECE, offset):
            crc = google_crc32c.extend(crc, piece)
            offset += len(piece)
    finally:
        files.close(fd)
    return None if crc == large.crc else f"large file {large.path.name} does not match its crc"


def _verify_journals(spool_dir: Path, files: Files) -> Iterator[Finding]:
    for number, journal in read_journals(spool_dir, files):
        where = f"journal {number}"
        count = sum(1 for _ in journal.entries())
        if journal.mark is None:
            yield Finding(DAMAGE, where, "its head is damaged: nothing of it can be read")
        elif journal.skipped:
            yield Finding(DAMAGE, where, f"{journal.skipped} octets were skipped")
        if journal.torn:
            yield Finding(NOTE, where, f"{journal.torn} octets at its end are torn")
        yield Finding(OK, where, f"{count} entries")
