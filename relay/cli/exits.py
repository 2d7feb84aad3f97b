"""What the exit codes of ``relay`` mean. They are part of its interface, and stand in its ``--help``."""

from __future__ import annotations

from typing import Final, NoReturn

import click

OK: Final = 0
PROBLEM: Final = 1
"""Nothing matched, or a problem was found."""
USAGE: Final = 2
"""The command line was wrong; click's own."""
CONFIGURATION: Final = 3
NOT_RUNNING: Final = 4
CANNOT_START: Final = 5
"""The supervisor's own too, like 6 (relay/supervisor/vocabulary.py)."""

HELP: Final = """\b
Exit codes:
  0  done
  1  nothing matched, or a problem was found
  2  wrong usage
  3  the configuration has errors
  4  the appliance is not running
  5  serve: cannot start
  6  serve: stopped, but the deadline or a second signal cut sessions off
Otherwise 128 and the number of a signal: 141 when nobody reads the output.
"""


def stop(code: int, message: str) -> NoReturn:
    """Ends the command with ``message`` on standard error."""
    click.echo(message, err=True)
    raise SystemExit(code)
