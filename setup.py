"""Builds Relay's compiled parts: every ``.pyx`` below ``relay/`` is one extension module. In place, those below
``benchmarks/`` are built too; a wheel does not hold them.

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
for source in sorted(path for folder in folders for path in Path(folder).rglob("*.pyx")):
    name = ".".join(source.with_suffix("").parts)
    if not only or name in only:
        extensions.append(Extension(name, [str(source)], extra_compile_args=compile_args, extra_link_args=link_args))
if unknown := only - {extension.name for extension in extensions} - {"none"}:
    raise SystemExit(f"RELAY_EXT: no such module: {', '.join(sorted(unknown))}")

setup(
    ext_modules=cythonize(
        extensions,
        build_dir=f"build/cython-{kind}",
        language_level=3,
        compiler_directives={
            # Offsets are computed by the scanners themselves; the debug build checks every one of them.
            "boundscheck": checked,
            "wraparound": checked,
            "initializedcheck": checked,
            "nonecheck": checked,
            "cdivision": not checked,
            "embedsignature": False,
            "freethreading_compatible": False,
        },
    ),
)
