"""What a mailbox asks of the disk: the system calls of one step together, without the interpreter's lock.

All but ``lock`` block. Paths are octets (``os.fsencode``) without NUL; times are nanoseconds since 1970, those of files
seconds. All raise OSError, of the call that failed.
"""

def lock(descriptor: int, path: bytes) -> bool:
    """Takes the exclusive ``flock`` when it is free; whether the file still has the name ``path``. BlockingIOError when
    somebody else has it."""

def unlock(descriptor: int) -> tuple[int, int]:
    """Gives the lock back; (inode, size) of the file as it was."""

def modified(new: bytes, cur: bytes) -> tuple[int, int]:
    """Modification times of two folders; 0 for one that is not there."""

def look(descriptor: int, new: bytes, cur: bytes) -> tuple[int, int, int]:
    """The size of the file, and ``modified``."""

def has_room(descriptor: int, end: int, octets: int, reserve: int) -> bool:
    """Whether the disk keeps room for ``octets`` at ``end`` and ``reserve`` behind them, which nobody else takes; True
    also where the file system cannot say."""

def append(descriptor: int, octets: bytes, offset: int, durable: bool, reserve: int, uses_reserve: bool) -> None:
    """Writes at ``offset``, where the file then ends: what was behind it goes. *Synced* when ``durable``. After a fault
    the file ends at ``offset``. Keeps room for ``reserve`` octets behind; without ``uses_reserve``, what would need
    that room is ENOSPC or EDQUOT, and nothing is written."""

def write_file(path: bytes, octets: bytes, modified: int) -> None:
    """A new file with this modification time, *synced*; its name is not. After a fault there is none."""

def move(old: bytes, new: bytes) -> None:
    """Renames."""

def sync_directory(path: bytes) -> None:
    """Makes durable what was renamed into the folder or out of it."""
