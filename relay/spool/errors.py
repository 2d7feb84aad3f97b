"""The spool's one exception."""

from __future__ import annotations

import errno

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpoolError(Exception):
    """Something could not be made durable, or what is on disk is not what it should be.

    ``str()`` is the cause for our log (paths and errno text): never for a peer. A message whose waiter is given
    one of these is not in the spool: the peer is answered 451 4.3.0, or 452 4.3.1 when ``is_full`` (RFC 3463 X.3.1).
    """

    def __init__(self, cause: str, *, is_full: bool = False) -> None:
        super().__init__(cause)
        self.is_full = is_full

    @classmethod
    def of(cls, doing: str, fault: OSError) -> SpoolError:
        """The error for ``fault``, which happened while ``doing``."""
        return cls(f"{doing}: {fault.strerror or fault} (errno {fault.errno})", is_full=fault.errno in FULL)
