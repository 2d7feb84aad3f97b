"""The few calls that Python does not wrap: prctl(2), capset(2), mallopt(3).

Not here: when they are made (relay/supervisor/privileges.py, relay/workers/process.py).
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3

CAP_NET_BIND_SERVICE: Final = 10
"""May bind ports below 1024 (capabilities(7))."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def set_name(name: str) -> None:
    """Names this process for ``ps -o comm`` and ``top``; the kernel keeps 15 octets."""
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:15]))


def die_with_parent(signal_number: int, parent: int) -> bool:
    """The kernel sends us ``signal_number`` when our parent dies; False when it is dead already (``parent`` is its
    pid).

    A change of user or capabilities may undo it: call it after those.
    """
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number))
    return os.getppid() == parent


def keep_freed_memory(octets: int) -> None:
    """Lets the C library keep up to ``octets`` of freed memory, and take blocks of up to as much from it, instead of
    giving each large block back to the kernel and having it cleared again for the next. Not every C library can."""
    if (mallopt := getattr(_libc, "mallopt", None)) is not None:
        mallopt(_M_MMAP_THRESHOLD, ctypes.c_int(octets))
        mallopt(_M_TRIM_THRESHOLD, ctypes.c_int(octets))


def keep_capabilities() -> None:
    """A change from root to another user keeps the permitted capabilities, until ``limit_capabilities``."""
    _prctl(_PR_SET_KEEPCAPS, ctypes.c_ulong(1))


def forbid_new_privileges() -> None:
    """Nothing that is executed from here on gains privileges (set-user-id programs, file capabilities)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def allow_core_dumps() -> None:
    """Lets this process be dumped and inspected by its own user again after a change of user."""
    _prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(1))


def limit_capabilities(*kept: int) -> None:
    """Gives up every capability but ``kept``, which become effective; OSError when one of them is not permitted."""
    mask = sum(1 << capability for capability in kept)
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Two sets of effective, permitted, inheritable: capabilities 0 to 31, then 32 to 63.
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if _libc.capset(head, data) != 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"capset: {os.strerror(fault)}")


def _prctl(option: int, *arguments: object) -> None:
    if _libc.prctl(option, *arguments) != 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"prctl({option}): {os.strerror(fault)}")
