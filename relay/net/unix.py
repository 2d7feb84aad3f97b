"""Unix socket addresses below the data directory, however long its path is.

``sockaddr_un`` holds 107 octets of path (unix(7)). A longer one is reached through a descriptor of its folder:
``/proc/self/fd/N/name`` is short, and the kernel resolves it when the call is made.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LONGEST: Final = 107


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """An address for ``bind`` or ``connect``, valid inside the ``with`` block. OSError when the folder is not there."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listening(path: Path, backlog: int = 128) -> socket.socket:
    """A listening non-blocking socket at ``path``, in place of whatever was there; only our own account may connect."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        before = os.umask(0o177)
        try:
            with address_of(path) as address:
                listener.bind(address)
        finally:
            os.umask(before)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def connected(path: Path, timeout: float | None = None) -> socket.socket:
    """A socket connected to ``path``: non-blocking when ``timeout`` is None. OSError when nobody listens there.

    Connecting to a Unix socket does not wait for the peer to accept, only for a place in its backlog; a non-blocking
    one that finds none raises BlockingIOError.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if timeout is None:
            connection.setblocking(False)
        else:
            connection.settimeout(timeout)
        with address_of(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection
