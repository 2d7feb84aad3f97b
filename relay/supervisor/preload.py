"""Imports all that a worker may ever need, before root's rights go and before the first fork.

Theory: libraries import some modules when they are first used: a record type at the first DNS answer that has it, a
codec at the first text in it. Once the account has changed, or the files have been replaced by a newer version, that
fails or mixes versions, in the middle of a session. What is imported here is shared by all workers, because they are
forked, and costs its memory once.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from typing import Final

_WHOLE: Final = ("relay", "encodings", "dns")
"""Packages of which every module is imported."""
_NOT: Final = ("relay.cli", "encodings.mbcs", "encodings.oem", "encodings.cp65001")
"""The command line, and codecs of another system."""
_SINGLE: Final = (
    "aiohttp.web", "concurrent.futures.thread", "idna.uts46data", "idna.idnadata", "linecache", "traceback",
    "stringprep", "zoneinfo", "argon2.low_level", "cryptography.x509",
    "unicodedata", "multiprocessing.resource_tracker",
)  # fmt: skip
"""Modules that are imported late by libraries that we use."""


def import_everything() -> None:
    """To be called once, at the start. What an installation does not have, optional parts of libraries say, is left
    out; a module of our own that cannot be imported raises what it raises."""
    for name in _WHOLE:
        _import_package(name)
    for name in _SINGLE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _import_package(name: str) -> None:
    package = importlib.import_module(name)
    for found in pkgutil.iter_modules(package.__path__, f"{name}."):
        if found.name in _NOT or found.name.endswith(".__main__"):
            continue
        try:
            if found.ispkg:
                _import_package(found.name)
            else:
                importlib.import_module(found.name)
        except ImportError:
            if name.partition(".")[0] == "relay":
                raise
