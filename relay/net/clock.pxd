# cython: language_level=3
"""C declarations of relay/net/clock.pyx."""

from libc.stdint cimport int64_t


cpdef int64_t now_us() except -1
