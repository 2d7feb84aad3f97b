# cython: language_level=3, autotestdict=False
"""The one clock of the queue; see the stub. Compiled because it is asked several times for each message."""

from libc.stdint cimport int64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, clockid_t, timespec

cdef extern from "<time.h>" nogil:
    clockid_t CLOCK_BOOTTIME    # monotonic, and goes on while the machine is suspended

cdef int64_t SECOND = 1000000


cdef inline int64_t _read(clockid_t which) noexcept:
    cdef timespec now
    clock_gettime(which, &now)
    return <int64_t>now.tv_sec * SECOND + now.tv_nsec // 1000


cdef int64_t _offset = _read(CLOCK_REALTIME) - _read(CLOCK_BOOTTIME)
cdef int64_t _ahead = 0         # what pretend() has added to the wall clock


cpdef int64_t now_us() except -1:
    return _read(CLOCK_BOOTTIME) + _offset


def rebase():
    global _offset
    cdef int64_t moved = jump(_read(CLOCK_REALTIME) + _ahead, now_us())
    _offset += moved
    return moved


def pretend(int64_t passed=0, int64_t wall_set_by=0):
    global _offset, _ahead
    _offset += passed
    _ahead += passed + wall_set_by


cpdef int64_t jump(int64_t wall, int64_t ours) noexcept:
    cdef int64_t ahead = wall - ours
    if -SECOND < ahead < SECOND:
        return 0
    cdef int64_t distance = (max(ahead, -ahead) + SECOND // 2) // SECOND * SECOND
    return distance if ahead > 0 else -distance
