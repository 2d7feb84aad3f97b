# cython: language_level=3
"""C declarations of relay/spool/log.py."""

from libc.stdint cimport int64_t, uint64_t

cimport cython


cdef class Log:
    cdef object _files, _mark, _lock_fd, _segment, _identity, _is_full
    cdef readonly object number, pool
    cdef readonly int64_t largest_record
    cdef int64_t _end, _large_octets
    cdef uint64_t _sequence
    cdef tuple _previous
    cdef Py_ssize_t _failures
    cdef list _closed

    @cython.locals(total=int64_t, room=int64_t, count=Py_ssize_t, size=int64_t)
    cdef tuple _fitting(self, object items)
