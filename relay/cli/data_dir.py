"""Makes the data directory when a command needs it before the appliance has been started."""

from __future__ import annotations

import os

from relay.config import Config
from relay.supervisor.privileges import identity


def make_data_dir(config: Config) -> None:
    """Makes ``data_dir`` when it is not there, closed to others; as root it is given to the configured user.

    Raises OSError, and PrivilegeError when there is no such user.
    """
    if config.data_dir.is_dir():
        return
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0 and config.user:
        account = identity(config.user, config.group)
        os.chown(config.data_dir, account.uid, account.gid)
