"""Scripts of an account on disk, and what its filter remembers."""

from __future__ import annotations

import pytest

from relay.mailbox import sieve_memory as memories
from relay.mailbox.scripts import Listed, Quota, ScriptRefused, Scripts
from relay.mailbox.sieve_memory import Memory


@pytest.fixture
def scripts(tmp_path) -> Scripts:
    return Scripts(tmp_path / "ann", Quota(3, 100))


def refusal(call, *arguments) -> str:
    with pytest.raises(ScriptRefused) as caught:
        call(*arguments)
    return caught.value.code


def test_before_the_first_script_there_is_nothing_and_nothing_is_made(scripts, tmp_path):
    assert scripts.list() == []
    assert scripts.active() == ""
    scripts.activate("")
    assert not (tmp_path / "ann").exists()


def test_a_script_is_stored_replaced_and_activated(scripts, tmp_path):
    scripts.put("a", b"keep;")
    scripts.put("a", b"stop;")
    scripts.activate("a")
    assert scripts.list() == [Listed("a", True, 5)]
    assert (tmp_path / "ann" / "sieve" / "active").read_bytes() == b"stop;"
    scripts.rename("a", "b")
    assert (scripts.active(), scripts.get("b")) == ("b", b"stop;")
    scripts.activate("")
    scripts.delete("b")
    assert scripts.list() == []


@pytest.mark.parametrize("name", ["a b", ".hidden", "100%", "%2F", "äöü", "active", "memory", "x" * 128, "\u2603" * 60])
def test_any_name_is_kept_as_it_is_and_stays_in_its_folder(scripts, tmp_path, name):
    scripts.put(name, b"keep;")
    assert [each.name for each in scripts.list()] == [name]
    assert scripts.get(name) == b"keep;"
    (file,) = [path for path in (tmp_path / "ann" / "sieve").iterdir() if path.is_file()]
    assert file.name.endswith(".sieve")
    assert not file.name.startswith(".")


def test_refusals(scripts):
    scripts.put("a", b"keep;")
    scripts.put("b", b"keep;")
    scripts.activate("a")
    assert refusal(scripts.get, "c") == "NONEXISTENT"
    assert refusal(scripts.activate, "c") == "NONEXISTENT"
    assert refusal(scripts.delete, "c") == "NONEXISTENT"
    assert refusal(scripts.rename, "c", "d") == "NONEXISTENT"
    assert refusal(scripts.delete, "a") == "ACTIVE"
    assert refusal(scripts.rename, "a", "b") == "ALREADYEXISTS"
    assert refusal(scripts.put, "c", b"x" * 101) == "QUOTA/MAXSIZE"
    scripts.put("c", b"keep;")
    assert refusal(scripts.put, "d", b"keep;") == "QUOTA/MAXSCRIPTS"
    assert refusal(scripts.put, "", b"keep;") == ""
    assert refusal(scripts.put, "\u2603" * 100, b"keep;") == ""


def test_what_is_remembered_expires_and_can_be_forgotten(tmp_path):
    memory = Memory(tmp_path / "ann")
    assert not memory.knows("vacation", "bob@x.org", 0)
    assert memory.add("vacation", "bob@x.org", 100, 0)
    assert not memory.add("vacation", "bob@x.org", 100, 50)
    assert memory.knows("vacation", "bob@x.org", 100)
    assert not memory.knows("vacation", "bob@x.org", 101)
    assert not memory.knows("redirect", "bob@x.org", 0)
    memory.forget("vacation", "bob@x.org", 0)
    assert not Memory(tmp_path / "ann").knows("vacation", "bob@x.org", 0)
    assert b"bob" not in (tmp_path / "ann" / "sieve" / "memory").read_bytes()


def test_a_torn_or_damaged_line_is_passed_over(tmp_path):
    memory = Memory(tmp_path)
    memory.add("redirect", "a", 100, 0)
    with (tmp_path / "sieve" / "memory").open("ab") as file:
        file.write(b"\xff\xff nonsense\n12345 redi")
    memory.add("redirect", "b", 100, 0)
    assert memory.knows("redirect", "a", 0)
    assert memory.knows("redirect", "b", 0)
    assert memory.count("redirect", 50) == 2
    assert memory.count("redirect", 101) == 0


def test_the_memory_is_bounded_and_what_expires_first_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(memories, "LIMIT", 20)
    monkeypatch.setattr(memories, "_SLACK", 10)
    memory = Memory(tmp_path)
    for number in range(100):
        memory.add("duplicate", str(number), 1000 + number, 0)
    lines = (tmp_path / "sieve" / "memory").read_bytes().count(b"\n")
    assert lines <= 31
    assert memory.knows("duplicate", "99", 0)
    assert not memory.knows("duplicate", "0", 0)


def test_what_was_remembered_while_the_clock_was_ahead_counts_as_expired(tmp_path):
    """Else nobody would be answered for as long as the clock was wrong by."""
    memory, day = Memory(tmp_path), 86_400
    memory.add("vacation", "bob@x.org", 1000 * day + 7 * day, 1000 * day)
    assert memory.knows("vacation", "bob@x.org", 1001 * day, 7 * day)
    assert not memory.knows("vacation", "bob@x.org", 10 * day, 7 * day)
    assert memory.add("vacation", "bob@x.org", 17 * day, 10 * day)
    assert memory.knows("vacation", "bob@x.org", 10 * day, 7 * day)
    assert not memory.add("vacation", "bob@x.org", 17 * day, 10 * day)
