# cython: language_level=3
"""C declarations of relay/workers/journaling.py."""


cdef class Journaling:
    cdef object _journal, _sink, _meter
    cdef list _entries
    cdef bint _is_refusing

    cpdef object add(self, object entries)
    cpdef bint flush(self) except -1
