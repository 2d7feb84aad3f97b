"""Messages and folders of a Maildir read in one step each, without the interpreter's lock.

All block. Paths are octets (``os.fsencode``) without NUL. All raise OSError, of the call that failed.
"""

def read_message(root: bytes, below: bytes, limit: int) -> bytes | None:
    """The octets of the file ``below`` the account's folder with CRLF for each LF that has no CR before it, or as they
    are where its name says so (filename.py: is_exact); None when they are more than ``limit``. What is no regular file
    is EISDIR, ELOOP or ENXIO."""

def read_messages(root: bytes, paths: list[bytes | None], limit: int) -> list[bytes | None]:
    """The same for each; None also for one without a path, one that cannot be read, and one without any octets."""

def open_below(root: bytes, below: bytes, flags: int) -> int:
    """Opens a regular file ``below`` the account's folder; no symbolic link is followed. To be closed."""

def entries(root: bytes, below: bytes) -> tuple[list[str], list[str]]:
    """The names in a folder below the account's that are not hidden: those of regular files, and all others."""

def are_folders(paths: list[bytes]) -> bool:
    """Whether each is a folder, and no link to one."""
