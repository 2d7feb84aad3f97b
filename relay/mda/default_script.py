"""The script of accounts that have no active one: the operator's (``sieve.default_script``), or the built-in one.

It is the operator's affair when it cannot be used: the log says so, with its path, and accounts are not notified.

Not here: reading and keeping compiled scripts, what becomes of the message (sieve_plan.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from relay.mailbox.files import is_lasting
from relay.sieve import Script, ScriptError, compile_script
from relay.sieve.default import TEXT


class DefaultBrokenError(Exception):
    """The operator's script cannot be used; the text says why, for the log."""


class DefaultScript:
    """May be used by several threads at once; blocking."""

    def __init__(self, path: Path | None, load: Callable[[str], Script | None]) -> None:
        """``load`` gives the script in a file, None when there is none; ScriptError and OSError as they come."""
        self.path = path
        self._load = load
        self._built_in = compile_script(TEXT)

    def script(self) -> Script:
        """The script as it is now. DefaultBrokenError; OSError that may be over at the next try."""
        if self.path is None:
            return self._built_in
        try:
            script = self._load(os.path.realpath(self.path))
        except ScriptError as fault:
            raise DefaultBrokenError(self.blame(fault.problems[0])) from fault
        except OSError as fault:
            if not is_lasting(fault):
                raise
            raise DefaultBrokenError(self.blame("cannot be read")) from fault
        if script is None:
            raise DefaultBrokenError(self.blame("there is no such file"))
        return script

    def blame(self, why: object) -> str:
        """What is said about a fault of the operator's script."""
        return f"sieve.default_script: {self.path}: {why}"
