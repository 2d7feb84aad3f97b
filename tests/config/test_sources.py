"""Several files: which are read, how they are put together, and where what is wrong stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.config import Config, ConfigErrors, load
from relay.config.load import load_located
from relay.config.sources import MOST_FILES, are_there

LISTENER = '[[listener]]\nname = "{0}"\nkind = "mx"\naddress = "127.0.0.1"\nport = {1}\n'


@pytest.fixture
def write(tmp_path: Path):
    (tmp_path / "relay.d").mkdir()

    def write_files(main: str | None, **more: str) -> Path:
        """``relay.toml`` and, by names without ``.toml``, the files of ``relay.d``."""
        if main is not None:
            (tmp_path / "relay.toml").write_text(main)
        for name, text in more.items():
            (tmp_path / "relay.d" / f"{name}.toml").write_text(text)
        return tmp_path / "relay.toml"

    return write_files


def errors_of(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """All errors, without the folder that the files are in."""
    with pytest.raises(ConfigErrors) as caught:
        load(path, environ or {})
    return [str(error).replace(f"{path.parent}/", "") for error in caught.value.errors]


def test_tables_of_all_files_are_one_and_arrays_of_tables_follow_each_other(write):
    path = write(
        "hostname = 'mx.example.org'\n[smtp]\nmax_line = 1000\n" + LISTENER.format("a", 1025),
        b=LISTENER.format("c", 1027) + "[smtp]\nmax_errors = 7\n",
        a="smtp.max_hops = 9\n" + LISTENER.format("b", 1026),
    )
    config = load(path, {})
    assert (config.smtp.max_line, config.smtp.max_errors, config.smtp.max_hops) == (1000, 7, 9)
    assert [each.name for each in config.listeners] == ["a", "b", "c"], "in the order of the files' names"


def test_an_inline_array_and_tables_follow_each_other_too(write):
    path = write(
        "listener = [{ name = 'a', kind = 'mx', address = '127.0.0.1', port = 1025 }]\n", b=LISTENER.format("b", 1026)
    )
    assert [each.name for each in load(path, {}).listeners] == ["a", "b"]


def test_a_key_that_two_files_set_is_an_error_that_names_both_places(write):
    path = write(
        "hostname = 'mx.example.org'\n[smtp]\nmax_line = 1000\n\n[domains]\nlocal = []\n",
        a="\n[smtp]\nmax_line = 1000\n",
        b="hostname = 'mx.example.org'\ndomains.local = ['a.test']\nadmin = 1\n",
        c="[hostname]\na = 1\n[admin]\nport = 1\n",
    )
    again = "already; a setting stands in one file only"
    assert errors_of(path) == [
        f"relay.d/a.toml:3: smtp.max_line: is set in relay.toml:3 {again}",
        f"relay.d/b.toml:1: hostname: is set in relay.toml:1 {again}",
        f"relay.d/b.toml:2: domains.local: is set in relay.toml:6 {again}",
        "relay.d/b.toml:3: admin: must be a table: [admin]",
        f"relay.d/c.toml:1: hostname: is set in relay.toml:1 {again}",
        f"relay.d/c.toml:3: admin: is set in relay.d/b.toml:3 {again}",
    ]


def test_errors_of_all_files_come_at_once_in_the_order_of_the_files(write):
    """A file that is not TOML hides no error of the others."""
    path = write(
        "[smtp]\nmax_line = 1\n",
        a="x = = 1\n",
        b="\n[[listener]]\nname = 'b'\nkind = 'mx'\n" + LISTENER.format("c", 70000),
        c="[smpt]\n",
    )
    assert [each.partition(": must")[0] for each in errors_of(path, {"RELAY_QUEUE__JITTER": "x"})] == [
        "relay.toml:2: smtp.max_line",
        "relay.d/a.toml:1: is not TOML: Invalid value",
        "relay.d/b.toml:2: listener[1].address: is missing",
        "relay.d/b.toml:2: listener[1].port: is missing",
        "relay.d/b.toml:9: listener[2].port",
        "relay.d/c.toml:1: smpt: there is no such setting; did you mean smtp?",
        "environment variable RELAY_QUEUE__JITTER: queue.jitter",
    ]


def test_what_does_not_fit_together_is_placed_in_its_own_file(write):
    path = write(LISTENER.format("a", 1025), z="\n" + LISTENER.format("b", 1025))
    assert errors_of(path) == ['relay.d/z.toml:6: listener[2].port: "a" listens on 127.0.0.1 port 1025 already']


@pytest.mark.parametrize(
    "name", [".a.toml", ".a.toml.swp", "#a.toml#", "#a.toml", "a.toml~", "a.toml.bak", "a.toml.dpkg-old", "README"]
)
def test_hidden_files_and_copies_are_not_read(write, tmp_path, name):
    path = write("hostname = 'mx.example.org'\n")
    (tmp_path / "relay.d" / name).write_text("nonsense")
    assert load_located(path, {}).files == (path,)


def test_the_file_may_be_missing_when_there_are_some_in_the_folder(write, tmp_path):
    """A container gets its configuration as a folder."""
    assert not are_there(tmp_path / "relay.toml")
    assert errors_of(tmp_path / "relay.toml") == ["relay.toml: cannot be read: No such file or directory"]
    path = write(None, a="hostname = 'mx.example.org'\n")
    assert are_there(path)
    assert load(path, {}).hostname == "mx.example.org"
    assert load(path.parent, {}).hostname == "mx.example.org", "the folder that they are in"


def test_a_mounted_config_map_is_read_through_its_links(write, tmp_path):
    """Kubernetes: ``10.toml -> ..data/10.toml``, ``..data -> ..2026_12_01``."""
    path = write(None)
    (tmp_path / "relay.d" / "..2026_12_01").mkdir()
    (tmp_path / "relay.d" / "..2026_12_01" / "10.toml").write_text("hostname = 'mx.example.org'\n")
    (tmp_path / "relay.d" / "..data").symlink_to("..2026_12_01")
    (tmp_path / "relay.d" / "10.toml").symlink_to("..data/10.toml")
    assert load(path, {}).hostname == "mx.example.org"


def test_relative_paths_begin_at_the_folder_of_the_main_file_whatever_file_they_stand_in(write, tmp_path):
    path = write("data_dir = 'data'\n", a="accounts_file = 'accounts'\n")
    config = load(path, {})
    assert (config.data_dir, config.accounts_file) == (tmp_path / "data", tmp_path / "accounts")


def test_what_cannot_be_read_is_an_error_and_is_not_waited_for(write, tmp_path):
    path = write("", b="\xff")
    (tmp_path / "relay.d" / "b.toml").write_bytes(b"\n# \xff\n")
    os.mkfifo(tmp_path / "relay.d" / "c.toml")
    (tmp_path / "relay.d" / "d.toml").mkdir()
    (tmp_path / "relay.d" / "e.toml").symlink_to("nowhere")
    assert errors_of(path) == [
        "relay.d/b.toml:2: is not UTF-8 text",
        "relay.d/c.toml: is no regular file",
        "relay.d/d.toml: is no regular file",
        "relay.d/e.toml: cannot be read: No such file or directory",
    ]


def test_a_pipe_is_no_configuration(tmp_path):
    """I6. Empty when it is read for the second time, it would be one of defaults alone."""
    os.mkfifo(tmp_path / "relay.toml")
    assert errors_of(tmp_path / "relay.toml") == ["relay.toml: is no regular file"]


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "relay.d").write_text("")
    (tmp_path / "relay.toml").write_text("")
    assert errors_of(tmp_path / "relay.toml") == ["relay.d: cannot be read: Not a directory"]


def test_a_folder_with_more_files_than_anybody_writes_is_an_error(write, tmp_path):
    path = write("")
    for number in range(MOST_FILES + 1):
        (tmp_path / "relay.d" / f"{number}.toml").touch()
    assert errors_of(path) == ["relay.d: holds more than 1000 files"]


def test_tables_nested_deep_in_two_files_are_errors_and_no_crash(write):
    deep = "[" + ".".join("a" * 3000) + "]\nx = 1\n"
    assert errors_of(write(deep, a=deep))[0].startswith("relay.toml:1: a: there is no such setting")


def test_the_environment_overrides_all_files(write):
    path = write(LISTENER.format("a", 1025), b="[smtp]\nmax_line = 1000\n" + LISTENER.format("b", 1026))
    environ = {
        "RELAY_SMTP__MAX_LINE": "2000",
        "RELAY_LISTENER": '[{ name = "c", kind = "mx", address = "127.0.0.1", port = 1 }]',
    }
    config = load(path, environ)
    assert config.smtp.max_line == 2000
    assert [each.name for each in config.listeners] == ["c"]


def test_where_a_setting_is_set_can_be_told(write):
    path = write("hostname = 'mx.example.org'\n", b=LISTENER.format("b", 1026))
    loaded = load_located(path, {"RELAY_USER": "nobody"})
    assert str(loaded.origin(("hostname",))) == f"{path}:1"
    assert str(loaded.origin(("listener", 0, "port"))) == f"{path.parent}/relay.d/b.toml:5"
    assert str(loaded.origin(("user",))) == "environment variable RELAY_USER"
    assert loaded.origin(("smtp", "max_line")) is None


def test_files_that_set_nothing_give_the_defaults(write):
    assert load(write("", a="", b="# nothing\n[smtp]\n"), {}) == Config()
