"""Makes the data directory when a command needs it before the appliance has been started."""

from __future__ import annotations

import os

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
