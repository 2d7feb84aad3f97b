"""Builds Relay's compiled parts: every ``.pyx`` below ``relay/`` is one extension module, and so is every ``.py`` that
has a ``.pxd`` of its name beside it, which gives its classes C fields and calls (docs/adr/0007-delivery.md). In place,
those below ``benchmarks/`` are built too; a wheel does not hold them.

Environment:
    RELAY_BUILD   ``release`` (default), ``debug`` (bounds, wraparound and None checks on, -O1, assertions)
                  or ``asan`` (the debug build under AddressSanitizer).
    RELAY_EXT     comma-separated module names: build only these (a quicker edit-compile-test turn);
                  ``none`` builds nothing, for installing the package's metadata.

No generated C is kept in the repository; it goes to ``build/``.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

KINDS = {
    "release": (["-O3", "-fno-strict-aliasing", "-fvisibility=hidden"], []),
    "debug": (["-O1", "-g", "-UNDEBUG"], []),
    "asan": (["-O1", "-g", "-UNDEBUG", "-fsanitize=address", "-fno-omit-frame-pointer"], ["-fsanitize=address"]),
}
kind = os.environ.get("RELAY_BUILD", "release")
if kind not in KINDS:
    raise SystemExit(f"RELAY_BUILD={kind}: must be one of {', '.join(KINDS)}")
compile_args, link_args = KINDS[kind]
checked = kind != "release"

only = {name for name in os.environ.get("RELAY_EXT", "").split(",") if name}
extensions = []
folders = ("relay", "benchmarks") if "--inplace" in sys.argv else ("relay",)
plain = []
for source in sorted(path for folder in folders for path in Path(folder).rglob("*.py*")):
    name = ".".join(source.with_suffix("").parts)
    is_compiled = source.suffix == ".pyx" or (source.suffix == ".py" and source.with_suffix(".pxd").exists())
    if is_compiled and source.name != "__init__.py" and (not only or name in only):
        extension = Extension(name, [str(source)], extra_compile_args=compile_args, extra_link_args=link_args)
        (plain if source.suffix == ".py" else extensions).append(extension)
if unknown := only - {extension.name for extension in extensions + plain} - {"none"}:
    raise SystemExit(f"RELAY_EXT: no such module: {', '.join(sorted(unknown))}")

directives = {"embedsignature": False, "freethreading_compatible": False}
scanners = {
    # Offsets are computed by the scanners themselves; the debug build checks every one of them.
    "boundscheck": checked,
    "wraparound": checked,
    "initializedcheck": checked,
    "nonecheck": checked,
    "cdivision": not checked,
}
# Types come from the .pxd alone, and everything else means what it means to the interpreter.
as_python = {"annotation_typing": False, "nonecheck": True}


def c_of(modules: list[Extension], special: dict[str, bool]) -> list[Extension]:
    """``modules`` with their C made."""
    return cythonize(
        modules,
        build_dir=f"build/cython-{kind}",
        language_level=3,
        compiler_directives=directives | special,
    )


setup(ext_modules=c_of(extensions, scanners) + c_of(plain, as_python))
