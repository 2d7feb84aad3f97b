"""setup.py: which modules it builds and how, and what it shows meanwhile."""

import importlib.util
import io
import os
from concurrent.futures import Future
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def build(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ("RELAY_BUILD", "RELAY_EXT", "RELAY_WITH"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("relay_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Terminal(io.StringIO):
    def isatty(self):
        return True


def finished(error=None):
    job: Future[None] = Future()
    if error is None:
        job.set_result(None)
    else:
        job.set_exception(error)
    return job


def test_each_pyx_and_each_py_with_a_pxd_is_a_module_and_the_longest_is_first(build):
    found = build.modules()
    names = {module.name for module in found}
    assert {"relay._fastparse", "relay.policy.pipeline"} <= names
    assert len(names) == len(found)
    assert not [name for name in names if name.startswith("benchmarks.")]
    sizes = [Path(module.source).stat().st_size for module in found]
    assert sizes == sorted(sizes, reverse=True)


def test_each_name_in_hot_begins_the_name_of_a_module(build, monkeypatch):
    """A module that is renamed must not lose its optimisation unseen."""
    monkeypatch.setenv("RELAY_WITH", "benchmarks")
    names = [module.name for module in build.modules()]
    assert [hot for hot in build.HOT if not any(name.startswith(hot) for name in names)] == []


def test_only_the_modules_of_relay_ext_are_built(build, monkeypatch):
    monkeypatch.setenv("RELAY_EXT", "relay._mime,relay._fastparse")
    assert {module.name for module in build.modules()} == {"relay._mime", "relay._fastparse"}
    monkeypatch.setenv("RELAY_EXT", "none")
    assert build.modules() == []
    monkeypatch.setenv("RELAY_EXT", "relay._mime,relay.nothing")
    with pytest.raises(SystemExit, match=r"no such module: relay\.nothing"):
        build.modules()


def test_hot_modules_are_optimised_most(build):
    optimised = {module.name: module.extension().extra_compile_args[0] for module in build.modules()}
    assert optimised["relay._fastparse"] == "-O3"
    assert optimised["relay.net._stream"] == "-O1"


def test_a_build_of_another_kind_makes_all_modules_older_than_their_kind(build, monkeypatch, tmp_path):
    """A release build after a debug build used to leave the debug modules in place."""
    assert all(build.KIND_FILE in module.extension().depends for module in build.modules())
    monkeypatch.chdir(tmp_path)
    file = tmp_path / build.KIND_FILE
    build.note_kind()
    os.utime(file, (1, 1))
    build.note_kind()
    assert file.stat().st_mtime == 1
    monkeypatch.setattr(build, "kind", "debug")
    build.note_kind()
    assert file.stat().st_mtime > 1


def test_a_terminal_shows_progress_on_one_line(build, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    build.progress("Compiling", [finished() for _ in range(3)])
    assert screen.getvalue() == "Compiling: 1 of 3\rCompiling: 2 of 3\rCompiling: 3 of 3\n"


@pytest.mark.parametrize(
    ("total", "shown"), [(0, []), (1, [1]), (3, [1, 2, 3]), (4, [1, 2, 3, 4]), (73, [19, 37, 55, 73])]
)
def test_a_file_gets_four_lines_of_progress_at_most(build, capsys, total, shown):
    build.progress("Compiling", [finished() for _ in range(total)])
    assert capsys.readouterr().out.splitlines() == [f"Compiling: {number} of {total}" for number in shown]


def test_an_error_is_raised_and_what_has_not_begun_is_cancelled(build):
    """A C error in one module used to show only after all others were compiled."""
    running: Future[None] = Future()
    waiting: Future[None] = Future()
    running.set_running_or_notify_cancel()
    with pytest.raises(ValueError, match="no C"):
        build.progress("Compiling", [waiting, finished(error=ValueError("no C")), running])
    assert waiting.cancelled()
    assert not running.cancelled()
