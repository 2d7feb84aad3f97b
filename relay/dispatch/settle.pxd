# cython: language_level=3
"""C declarations of relay/dispatch/settle.py."""

from relay.queue.action cimport Settled
from relay.dispatch._attempt cimport Attempt
from relay.dispatch._report cimport DeliveryReport
from relay.dispatch.journaling cimport Journaling


cdef class Settler:
    cdef Journaling _journaling
    cdef object _notices, _foreign, _reader, _sink, _row
    cdef public bint is_awaited
    cdef DeliveryReport _report
    cdef object _stored, _store_seconds, _suspects, _set_aside, _suppressed

    cpdef object settled(self, Settled settled, Attempt attempt=*, Py_ssize_t use=*)
    cpdef object attempted(self, Attempt attempt, tuple outcomes, Py_ssize_t use)
    cpdef object flush(self)
    cdef object _follow(self, Settled settled, Attempt attempt, Py_ssize_t use, Py_ssize_t number)
    cdef tuple _recipients(self, Settled settled)
