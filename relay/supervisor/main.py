"""``relay serve``: the parent of all processes.  (Signature.)"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.config.model import Config
from relay.workers.process import Role


def serve(
    load: Callable[[], Config],
    roles: Sequence[Role],
    *,
    on_ready: Callable[[Config], None] | None = None,
) -> int:
    """Serves until told to stop; returns the exit code of the program (``relay.supervisor.exit_codes``).

    ``load`` reads and checks the configuration: once at the start, where what it raises goes to the caller, and with
    every reload, where it is logged and the old configuration serves on. ``on_ready`` is called once, when all workers
    of the first generation are ready, for what the command line has to print.
    """
    raise NotImplementedError
