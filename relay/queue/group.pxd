# cython: language_level=3
"""C declarations of relay/queue/group.py."""

cimport cython
from libc.stdint cimport int64_t

from relay.queue._entry cimport EntryList as _EntryList


cdef class Target:
    cdef public Py_ssize_t entries


@cython.final
cdef class Group(Target):
    cdef readonly str key
    cdef public object hop
    cdef readonly bint is_lane
    cdef readonly _EntryList ready
    cdef readonly set domains
    cdef public Py_ssize_t connecting, open, claimed, failures, fruitless
    cdef readonly dict idle
    cdef public Py_ssize_t ceiling
    cdef public double window
    cdef public int64_t suspended_until, interval, next_at, timer_at
    cdef public object reason
    cdef public bint is_waiting, is_changed

    cpdef object widen(self)
    cpdef object narrow(self)
    cpdef bint wants_connection(self) except -1


@cython.final
cdef class Domain(Target):
    cdef readonly str key, domain
    cdef public Py_ssize_t failures
    cdef public _EntryList waiting
    cdef public Group target
    cdef public object rejection, reason
    cdef public int64_t valid_until, suspended_until
    cdef public bint is_asked


@cython.final
cdef class Connection:
    cdef readonly Group group
    cdef public object tag
    cdef public Py_ssize_t messages, in_flight, appetite, claimed
    cdef public bint is_open, is_idle, is_quitting
