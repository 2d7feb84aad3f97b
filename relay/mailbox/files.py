"""Files in a Maildir, opened so that nothing that stands in their place can do harm.

Theory: whoever can write into a Maildir (its owner with a shell, a backup that was brought back) can put a symbolic
link to somebody else's file, a pipe or a device where a file is expected. So no link is followed below the account's
folder, opening never waits, what is no regular file is a fault of the disk, and a file that is written beside another
is always a new one. The account's folder itself may be a link: that is the administrator's choice, made outside of it.

Not here: reading messages (content.py), folders (maildir.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

_SAFELY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING: Final = NO_ROOM | {errno.EAGAIN, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT}


def is_lasting(fault: BaseException) -> bool:
    """Whether a fault of the disk will be there at the next try, too: somebody has to put it right (RFC 3206 4)."""
    return isinstance(fault, OSError) and fault.errno is not None and fault.errno not in _PASSING


def open_file(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """Opens a regular file, whose folder is ours; one that ``flags`` make has mode 0600. OSError, also for what is
    something else: EISDIR, ELOOP (a symbolic link), ENXIO."""
    try:
        descriptor = os.open(path, flags | _SAFELY, 0o600)
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            fault.strerror = "A symbolic link, which is not followed"
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.ENXIO, "Not a regular file", str(path))


def read_file(path: Path | str) -> bytes:
    """All octets of such a file."""
    with os.fdopen(open_file(path), "rb") as file:
        return file.read()


def require_folder(path: Path | str) -> None:
    """OSError for what is there, but is no folder, or a link to one; FileNotFoundError when there is nothing."""
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        raise OSError(errno.ELOOP if stat.S_ISLNK(mode) else errno.ENOTDIR, "not a folder", str(path))


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """A new file beside, that takes the place of ``path`` when the block ends well; else nothing is left of it.
    ``durable``: its octets are *synced* before, its name is not. The caller holds a lock against others who do."""
    beside = path.with_name(path.name + ".tmp")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    descriptor = open_file(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fdatasync(descriptor)
        os.rename(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def account_of(folder: Path | str) -> tuple[bytes, bytes]:
    """(The account's folder, the way from there to the mailbox's folder: empty, or with a slash at its end). Only
    Maildir++ folders begin with a dot (maildir.py: folder_of)."""
    whole = os.fsencode(folder)
    above, _, name = whole.rpartition(b"/")
    return (above, name + b"/") if name.startswith(b".") else (whole, b"")


def below(path: Path | str) -> tuple[bytes, bytes]:
    """(The account's folder, the way from there) of the file of a message, ``<mailbox>/cur/<name>``."""
    mailbox, place, name = os.fspath(path).rsplit("/", 2)
    root, way = account_of(mailbox)
    return root, way + os.fsencode(f"{place}/{name}")
