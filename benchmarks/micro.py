"""Micro-benchmarks against a base revision: ``make bench-micro BASE=main``, ``python -m benchmarks.micro --base main``.

The base revision's relay/ and tests/ are unpacked and compiled below build/micro/, then the cases of this tree
(micro_cases.py) are run on both. With valgrind each case's instructions are counted: the same from run to run to about
one in a thousand, whatever else the machine does. Without it (or with --by time) both are run in turns and the least
CPU time counts.

What it cannot see: cache misses, system calls, waiting. A change here is a reason to look, not a verdict; the
scenarios are.
"""

from __future__ import annotations

import gc
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from benchmarks.group import found
from benchmarks.machine import ROOT

BUILT: Final = ROOT / "build" / "micro"
COUNTER: Final = """\
#include <valgrind/callgrind.h>
void zero(void) { CALLGRIND_ZERO_STATS; }
void dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
"""
_NOTICEABLE: Final = 0.02
_ROUNDS: Final = 7


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--base", default="HEAD", show_default=True, help="The revision to compare with.")
@click.option("--by", type=click.Choice(["instructions", "time"]), help="Default: instructions where valgrind is.")
@click.option("--case", "wanted", multiple=True, help="Only the cases whose names contain this.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures here as well.")
def main(base: str, by: str | None, wanted: tuple[str, ...], path: Path | None) -> None:
    """Compare the parts of the hot path with those of a base revision."""
    way = by or ("instructions" if counter() else "time")
    console = Console(width=None if sys.stdout.isatty() else 120)
    tree, revision = base_tree(base)
    console.print(f"this tree against {revision}, by {way}")
    measure = instructions if way == "instructions" else nanoseconds
    ours, theirs = measure([ROOT, tree], wanted)
    console.print(table(ours, theirs, way))
    if path:
        path.write_text(json.dumps({"base": revision, "by": way, "ours": ours, "base_values": theirs}, indent=1) + "\n")


Figures = dict[str, float | str]
"""Case -> instructions or nanoseconds per operation, or why there is no figure."""


def table(ours: Figures, theirs: Figures, way: str) -> Table:
    """One row a case; a change of more than 2 % is marked."""
    shown = Table("case", *(f"{whose}, {way}" for whose in ("base", "this tree")), "change")
    for column in shown.columns[1:]:
        column.justify = "right"
    for case, now in ours.items():
        before = theirs.get(case, "not there")
        change = ""
        if isinstance(now, float) and isinstance(before, float):
            ratio = now / before - 1
            mark = "" if abs(ratio) < _NOTICEABLE else " slower" if ratio > 0 else " faster"
            change = f"{ratio * 100:+.1f} %{mark}"
        shown.add_row(case, *(f"{one:,.0f}" if isinstance(one, float) else one for one in (before, now)), change)
    return shown


def base_tree(base: str) -> tuple[Path, str]:
    """The base revision, unpacked and compiled (once per revision), with the cases of this tree; and its short name."""
    git = ["git", "-C", str(ROOT)]
    revision = subprocess.run([*git, "rev-parse", base], capture_output=True, text=True, check=True).stdout.strip()
    tree = BUILT / revision[:12]
    if not (tree / "compiled").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        archive = subprocess.run(
            [*git, "archive", revision, "relay", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE"],
            capture_output=True,
            check=True,
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(tree, filter="data")
        words = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        built = subprocess.run(words, cwd=tree, capture_output=True, text=True, check=False)
        if built.returncode:
            raise click.ClickException(f"{revision[:12]} does not compile:\n{built.stderr[-2000:]}")
        (tree / "compiled").touch()
    if not (tree / "benchmarks").exists():
        (tree / "benchmarks").symlink_to(ROOT / "benchmarks")
    return tree, revision[:12]


def counter() -> Path | None:
    """The library that tells valgrind where a case begins and ends; None without valgrind or its header."""
    if not found("valgrind") or not found("cc"):
        return None
    BUILT.mkdir(parents=True, exist_ok=True)
    library = BUILT / "counter.so"
    if not library.exists():
        words = ["cc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(library)]
        if subprocess.run(words, input=COUNTER.encode(), capture_output=True, check=False).returncode:
            return None
    return library


def _environ(tree: Path) -> dict[str, str]:
    return dict(os.environ, PYTHONPATH=str(tree), PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")


def instructions(trees: list[Path], wanted: tuple[str, ...]) -> list[Figures]:
    """Instructions per operation of every wanted case, for each tree; one valgrind run a tree."""
    library = counter()
    if library is None:
        raise click.ClickException("valgrind or its headers are missing (Debian: apt install valgrind); use --by time")
    return [_counted(tree, library, wanted) for tree in trees]


def _counted(tree: Path, library: Path, wanted: tuple[str, ...]) -> Figures:
    folder = BUILT / "counts"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = [found("valgrind") or "valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "-q"]
    words += [sys.executable, "-m", "benchmarks.micro_run", "count", str(library), *wanted]
    done = subprocess.run(words, cwd=tree, env=_environ(tree), capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"valgrind: {done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    counts: dict[str, int] = {}
    for part in folder.glob("out*"):
        text = part.read_text("utf-8", "replace")
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
        totals = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if name and totals:
            counts[name[1]] = int(totals[1])
    return {
        case: figure if isinstance(figure, str) else round(counts[case] / figure, 1) for case, figure in figures.items()
    }


def nanoseconds(trees: list[Path], wanted: tuple[str, ...]) -> list[Figures]:
    """The least CPU time per operation over rounds that alternate between the trees."""
    best: list[Figures] = [{} for _ in trees]
    for _ in range(_ROUNDS):
        for tree, figures in zip(trees, best, strict=True):
            words = [sys.executable, "-m", "benchmarks.micro_run", "time", *wanted]
            done = subprocess.run(words, cwd=tree, env=_environ(tree), capture_output=True, text=True, check=True)
            for case, figure in json.loads(done.stdout.splitlines()[-1]).items():
                before = figures.get(case)
                better = min(figure, before) if isinstance(figure, float) and isinstance(before, float) else figure
                figures[case] = better
    return best


def prepared(wanted: tuple[str, ...]) -> dict[str, Any]:
    """Case -> (run, count), or the reason why it does not run on this tree."""
    from benchmarks.micro_cases import CASES

    cases: dict[str, Any] = {}
    for name, (prepare, count) in CASES.items():
        if wanted and not any(part in name for part in wanted):
            continue
        try:
            run = prepare()
            run(20)
        except Exception as fault:  # noqa: BLE001 - whatever an older revision does not have
            cases[name] = f"{type(fault).__name__}: {fault}"
        else:
            cases[name] = (run, count)
    return cases


def timed(run: Any, count: int) -> float:
    """CPU nanoseconds per operation, best of five."""
    count *= 10
    best = float("inf")
    for _ in range(5):
        gc.collect()
        begin = time.process_time_ns()
        run(count)
        best = min(best, (time.process_time_ns() - begin) / count)
    return best


if __name__ == "__main__":
    main()
