# cython: language_level=3
"""C declarations of relay/queue/intake.py."""

from libc.stdint cimport int64_t

from relay.queue._entry cimport new_entry
from relay.queue.routing cimport Route, Router
from relay.queue.scheduler cimport Scheduler


cdef class Intake:
    cdef Scheduler _scheduler
    cdef Router _router
    cdef Py_ssize_t _shard, _shards
    cdef readonly Py_ssize_t added, copied
    cdef int64_t _not_before, _longest_wait

    cpdef object records(self, object records, int64_t now, object recovery=*)
    cpdef object record(self, int64_t log, int64_t segment, int64_t offset, int64_t size, object envelope, int64_t now,
                        object recovery=*)
    cdef object _only(self, int64_t log, int64_t segment, int64_t offset, int64_t size, object envelope,
                      bytes recipient, int64_t now)
    cdef list _lots(self, tuple recipients, object state)
    cdef bint _is_ours(self, str key) except -1
    cdef object _add(self, tuple ref, int64_t size, object envelope, Route route, list indexes, object known,
                     int64_t now)
    cdef object _owed(self, tuple ref, object envelope, object state)
