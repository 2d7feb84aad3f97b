"""Makes the data directory, for the account that will serve."""

from __future__ import annotations

import os
import shutil

from relay.config import Config


def make_data_dir(config: Config) -> None:
    """Makes ``data_dir`` when it is not there, closed to others; as root it is given to the configured user. Raises
    OSError, also when that user does not exist."""
    if config.data_dir.is_dir():
        return
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() == 0 and config.user:
        try:
            shutil.chown(config.data_dir, config.user, config.group or None)
        except LookupError as fault:
            raise OSError(str(fault)) from fault
