# cython: language_level=3
"""C declarations of relay/dispatch/journaling.py."""


cdef class Journaling:
    cdef readonly object journal
    cdef object _sink, _meter, _syncing
    cdef list _entries
    cdef bint _is_refusing, _is_unsynced

    cpdef object add(self, object entries)
    cpdef bint flush(self) except -1
