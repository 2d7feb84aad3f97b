"""The data directory as commands find it: made when one needs it before the appliance has been started.

One that is somebody else's, or not there, is reported, because a queue that cannot be seen is not an empty one."""

from __future__ import annotations

import os
from pathlib import Path

from relay.cli import exits
from relay.config import Config
from relay.supervisor import privileges


def make_data_dir(config: Config) -> None:
    """Makes ``data_dir`` when it is not there, closed to others; as root it is given to the configured user.

    Raises OSError, and PrivilegeError when there is no such user.
    """
    if config.data_dir.is_dir():
        return
    becomes = os.geteuid() == 0 and bool(config.user)
    privileges.make_data_dir(config.data_dir, privileges.identity(config.user, config.group) if becomes else None)


def enter_or_stop(config: Config) -> None:
    """Ends the command when this account may not look into ``data_dir``."""
    folder = config.data_dir
    blocked = next((each for each in (*reversed(folder.parents), folder) if _is_closed(each)), None)
    if blocked is not None:
        owner = privileges.name_of(os.stat(blocked).st_uid)
        exits.stop(
            exits.PROBLEM, f"{blocked}: permission denied; ask as {' or as '.join(dict.fromkeys(('root', owner)))}"
        )


def spool_or_stop(config: Config) -> None:
    """Ends the command when there is no spool that this account may look into."""
    enter_or_stop(config)
    if not config.spool_dir.is_dir():
        exits.stop(
            exits.PROBLEM,
            f"there is no spool at {config.spool_dir}: has Relay been started, and with this configuration (--config, "
            "$RELAY_CONFIG)?",
        )


def _is_closed(folder: Path) -> bool:
    return os.path.isdir(folder) and not os.access(folder, os.X_OK)
