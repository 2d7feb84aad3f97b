# cython: language_level=3
"""C declarations of relay/queue/connection_pool.py."""

from libc.stdint cimport int64_t

from relay.queue.group cimport Connection, Group


cdef class Pool:
    cdef object _settings
    cdef Py_ssize_t _probes_allowed, _probing, _quitting, _starving, _connected
    cdef public Py_ssize_t total, suspensions
    cdef readonly set suspended
    cdef readonly list out
    cdef object _turns, _probe_turns
    cdef dict _idle
    cdef list _changed, _timers
    cdef Py_ssize_t _sequence

    cpdef object consider(self, Group group)
    cdef object _serve(self, Group group, int64_t now)
    cpdef bint may_take(self, Connection connection, int64_t now) except -1
    cdef bint _has_had_its_turn(self, Connection connection) except -1
    cpdef object idle(self, Connection connection)
    cpdef object give_up_claim(self, Connection connection)
    cdef object _unidle(self, Connection connection)
    cdef object _quit(self, Connection connection)
    cdef object _left(self, Group group)
    cpdef object succeeded(self, Group group)
    cdef object _resume(self, Group group)
    cdef object _arm(self, Group group, int64_t at)
    cpdef list hand_out(self)
    cdef bint _has_room(self) except -1
    cdef bint _may_probe(self) except -1
    cpdef object give_turns(self, int64_t now)
    cdef object _turn(self, object turns)
    cdef object _make_room(self)
