# cython: language_level=3
"""C declarations of relay/queue/scheduler.py."""

from libc.stdint cimport int64_t

from relay.queue._entry cimport Entry as _Entry
from relay.queue.action cimport Settled
from relay.queue.group cimport Connection
from relay.queue.ledger cimport Ledger
from relay.queue.entry_states cimport Places
from relay.queue.connection_pool cimport Pool


cdef class Scheduler:
    cdef readonly Ledger ledger
    cdef readonly object reasons, domains, policy
    cdef readonly Pool pool
    cdef readonly Places places
    cdef object _settings
    cdef readonly dict _groups
    cdef Py_ssize_t _sweep_above, _notices
    cdef bint _is_behind

    cpdef object group(self, str key, object hop=*, str domain=*)
    cpdef object add(self, _Entry entry, int64_t now)
    cpdef _Entry take(self, Connection connection, int64_t now)
    cpdef object put_back(self, Connection connection, _Entry entry, int64_t now)
    cdef object _given_back(self, Connection connection, int64_t now)
    cpdef Settled done(self, Connection connection, _Entry entry, object outcomes, int64_t now, double draw)
    cdef object _follow(self, Settled settled, int64_t now)
