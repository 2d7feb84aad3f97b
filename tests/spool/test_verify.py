"""Looking at a spool from outside."""

from __future__ import annotations

from pathlib import Path

from relay.spool.folder import journal_name, log_folder, segment_name
from relay.spool.frames import JournalHead, pack_entries, pack_frame, pack_journal_head
from relay.spool.verify import DAMAGE, NOTE, OK, dump, verify
from tests.spool.spools import make_log, make_spool


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_sound_spool_is_ok_and_stays_as_it_is(tmp_path: Path) -> None:
    spool_dir = make_spool(tmp_path)
    log, _ = make_log(spool_dir, [{"m1": b"one", "m2": b"two" * 5000}, {"m3": b"x" * 60000}])
    log.close()
    before = tree(spool_dir)
    findings = list(verify(spool_dir))
    assert {finding.level for finding in findings} == {OK}
    assert "3 records" in findings[0].text
    assert [record.envelope.queue_id for record in dump(spool_dir)] == ["m1", "m2", "m3"]
    assert [record.envelope.queue_id for record in dump(spool_dir, log.number)] == ["m1", "m2", "m3"]
    assert tree(spool_dir) == before


def test_damage_is_found_and_nothing_is_changed(tmp_path: Path) -> None:
    spool_dir = make_spool(tmp_path)
    log, _ = make_log(spool_dir, [{"m1": b"one"}, {"m2": b"two"}])
    log.close()
    folder = log_folder(spool_dir, log.number)
    path = folder / segment_name(1)
    octets = path.read_bytes()
    path.write_bytes(octets.replace(b"one", b"0ne"))
    (folder / "large" / "LOST").write_bytes(b"x")
    journal = pack_journal_head(b"markmark", JournalHead(1, 1, 0, 1, ()))
    frames = [pack_frame(b"markmark", pack_entries([("finished", number)])) for number in range(3)]
    (spool_dir / "journal" / journal_name(1)).write_bytes(journal + frames[0] + b"garbage" + frames[1] + frames[2][:-1])
    (spool_dir / "journal" / journal_name(2)).write_bytes(b"garbage")
    before = tree(spool_dir)
    findings = list(verify(spool_dir))
    assert [finding.where for finding in findings if finding.level == DAMAGE] == [
        "log 1 segment 1 offset 64 m1",
        "journal 1",
        "journal 2",
    ]
    notes = [finding.where for finding in findings if finding.level == NOTE]
    assert notes == ["log 1 large/LOST", "journal 1"]
    assert tree(spool_dir) == before


def test_what_is_no_spool_is_said_to_be_none(tmp_path: Path) -> None:
    assert [finding.level for finding in verify(tmp_path)] == [DAMAGE]
    (tmp_path / "FORMAT").write_bytes(b"relay-spool 9\n")
    (finding,) = verify(tmp_path)
    assert "version 9" in finding.text
