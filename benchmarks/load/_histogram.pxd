# cython: language_level=3
from libc.stdint cimport int64_t

cdef enum:
    CELLS = 57 * 128 + 128


cdef class Histogram:
    cdef int64_t[CELLS] cells
    cdef readonly int64_t count
    cdef int64_t least, most
    cdef double total

    cdef int add(self, int64_t nanoseconds) noexcept
