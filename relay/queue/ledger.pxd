# cython: language_level=3
"""C declarations of relay/queue/ledger.py."""

from libc.stdint cimport int64_t

from relay.queue._entry cimport Entry as _Entry


cdef class Segment:
    cdef public Py_ssize_t entries
    cdef public int64_t octets, touched_at
    cdef readonly object finished
    cdef readonly list partial


cdef class Ledger:
    cdef object _limits
    cdef dict _segments
    cdef int64_t _last_key
    cdef Segment _last
    cdef set _changed, _owed

    cpdef Segment segment(self, int64_t log, int64_t number)
    cpdef object opened(self, _Entry entry, int64_t now)
    cpdef object closed(self, _Entry entry, int64_t now)
    cdef object _close(self, int64_t log, int64_t number, int64_t size, int64_t now)
    cpdef object finished(self, object journal)
    cpdef object delivered(self, _Entry entry, int64_t now)
