# cython: language_level=3, autotestdict=False
"""The one clock of the queue; see the stub. Compiled because it is asked several times for each message."""

from libc.stdint cimport int64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec


cpdef int64_t now_us() except -1:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1000000 + now.tv_nsec // 1000
