"""Builds Relay's compiled parts: every ``.pyx`` below ``relay/`` is one extension module, and so is every ``.py`` that
has a ``.pxd`` of its name beside it, which gives its classes C fields and calls (docs/adr/0007-delivery.md).

Theory: whoever starts Relay for the first time waits for this, so all processors work, longest modules first, and only
what runs for each message or octet is optimised; the rest is translated as fast as the compiler can.

Environment:
    RELAY_BUILD   ``release`` (default), ``debug`` (bounds, wraparound and None checks on, -O1, assertions)
                  or ``asan`` (the debug build under AddressSanitizer).
    RELAY_EXT     comma-separated module names: build only these (a quicker edit-compile-test turn);
                  ``none`` builds nothing, for installing the package's metadata.
    RELAY_WITH    ``benchmarks``: those below ``benchmarks/`` as well, which nobody needs who runs Relay.

No generated C is kept in the repository; it goes to ``build/``.
"""

import os
import sys
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from Cython.Build import cythonize
from Cython.Compiler.Errors import CompileError
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

HOT = (
    "relay._fastparse",
    "relay._mime",
    "relay.delivery._",
    "relay.imap._rows",
    "relay.mail._",
    "relay.policy.pipeline",
    "relay.smtp._commands",
    "relay.smtp._context",
    "relay.smtp._policy",
    "relay.smtp._replies",
    "relay.smtp._session",
    "relay.smtp._spooling",
    "relay.smtp._transaction",
    "relay.telemetry._lines",
    "benchmarks.",
)
"""Modules, by how their names begin, with the inner loops of each message and octet: -O3. The rest, glue between calls
of Python objects, is -O1: -O2 takes half as long again, and no case of benchmarks/micro.py shows it."""

RELEASE = ["-fno-strict-aliasing", "-fvisibility=hidden", "-g0", "-w"]
CHECKED = ["-O1", "-g", "-UNDEBUG", "-w"]
SANITIZED = [*CHECKED, "-fsanitize=address", "-fno-omit-frame-pointer"]
KINDS = {"release": (RELEASE, []), "debug": (CHECKED, []), "asan": (SANITIZED, ["-fsanitize=address"])}

kind = os.environ.get("RELAY_BUILD", "release")
if kind not in KINDS:
    raise SystemExit(f"RELAY_BUILD={kind}: must be one of {', '.join(KINDS)}")
compile_args, link_args = KINDS[kind]
checked = kind != "release"

DIRECTIVES = {"embedsignature": False, "freethreading_compatible": False, "show_performance_hints": False}
SCANNING = {
    # Offsets are computed by the modules themselves; the debug build checks every one of them.
    "boundscheck": checked,
    "wraparound": checked,
    "initializedcheck": checked,
    "nonecheck": checked,
    "cdivision": not checked,
}
# Types come from the .pxd alone, and everything else means what it means to the interpreter.
AS_PYTHON = {"annotation_typing": False, "nonecheck": True}


KIND_FILE = "build/kind"
"""Written when a build is of another kind than the one before. Modules of all kinds go to the same places, so what is
older than this file is built again."""


def note_kind() -> None:
    """Writes the kind of this build to KIND_FILE, unless the build before was of the same kind."""
    file = Path(KIND_FILE)
    if not file.exists() or file.read_text() != kind:
        file.parent.mkdir(exist_ok=True)
        file.write_text(kind)


class Module(NamedTuple):
    """One extension module."""

    name: str
    source: str

    @property
    def c_file(self) -> str:
        return str(Path(f"build/cython-{kind}", self.source).with_suffix(".c"))

    @property
    def optimisation(self) -> str:
        return "-O3" if self.name.startswith(HOT) else "-O1"

    def extension(self) -> Extension:
        flags = compile_args if checked else [self.optimisation, *compile_args]
        return Extension(
            self.name,
            [self.c_file],
            depends=["setup.py", KIND_FILE],
            extra_compile_args=flags,
            extra_link_args=link_args,
        )


def modules() -> list[Module]:
    """Those to build, the longest first: what takes longest should not come last."""
    only = {name for name in os.environ.get("RELAY_EXT", "").split(",") if name}
    folders = ("relay", "benchmarks") if os.environ.get("RELAY_WITH") == "benchmarks" or only else ("relay",)
    found = [
        Module(".".join(source.with_suffix("").parts), str(source))
        for folder in folders
        for source in Path(folder).rglob("*.py*")
        if source.suffix == ".pyx" or (source.suffix == ".py" and source.with_suffix(".pxd").exists())
    ]
    if unknown := only - {module.name for module in found} - {"none"}:
        raise SystemExit(f"RELAY_EXT: no such module: {', '.join(sorted(unknown))}")
    wanted = [module for module in found if not only or module.name in only]
    return sorted(wanted, key=lambda module: -Path(module.source).stat().st_size)


def translation(module: Module) -> dict[str, Any]:
    """What cythonize() takes to make the C of ``module``, which it does unless that is newer than all it is made of."""
    return {
        "module_list": [Extension(module.name, [module.source])],
        "build_dir": f"build/cython-{kind}",
        "language_level": 3,
        "compiler_directives": DIRECTIVES | (AS_PYTHON if module.source.endswith(".py") else SCANNING),
        "quiet": True,
    }


def progress(what: str, jobs: "list[Future[Any]]") -> None:
    """Shows how far ``jobs`` are: on a terminal in one line, elsewhere in four. Raises the first error of a job, and
    cancels the jobs that have not begun, so that the error shows at once."""
    is_terminal = sys.stdout.isatty()
    total = len(jobs)
    try:
        for number, job in enumerate(as_completed(jobs), 1):
            job.result()
            if is_terminal or number * 4 // total > (number - 1) * 4 // total:
                print(f"{what}: {number} of {total}", end="\r" if is_terminal and number < total else "\n", flush=True)
    except BaseException:
        if is_terminal:
            print()
        for job in jobs:
            job.cancel()
        raise


def translate(wanted: list[Module]) -> None:
    """Makes the C of all. What is called in other processes is Cython's own: pip runs this file under another name."""
    if len(wanted) < 2:
        for module in wanted:
            cythonize(**translation(module))
        return
    with ProcessPoolExecutor(PROCESSORS) as pool:
        jobs = [pool.submit(cythonize, **translation(module)) for module in wanted]
        progress("Translating to C", jobs)


class BuildInParallel(build_ext):
    """Compiles on all processors."""

    def build_extensions(self) -> None:
        self.check_extensions_list(self.extensions)
        with ThreadPoolExecutor(PROCESSORS) as pool:
            jobs = [pool.submit(self.build_extension, extension) for extension in self.extensions]
            progress("Compiling", jobs)


if __name__ == "__main__":
    wanted = modules()
    note_kind()
    try:
        translate(wanted)
    except CompileError as error:  # Cython has printed what is wrong, and where
        raise SystemExit(f"Not translated to C: {error}") from None
    setup(ext_modules=[module.extension() for module in wanted], cmdclass={"build_ext": BuildInParallel})
