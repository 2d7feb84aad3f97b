# cython: language_level=3
"""C declarations of relay/workers/settle.py."""

from relay.delivery._delivery cimport Delivery
from relay.queue._entry cimport Entry as _Entry
from relay.workers._counting cimport DeliveryCells


cdef class Attempt:
    cdef readonly _Entry entry
    cdef readonly object envelope, message
    cdef readonly tuple recipients
    cdef public object connect_seconds


cdef class Settler:
    cdef object _journaling, _notices, _reader, _sink, _row
    cdef DeliveryCells _cells
    cdef dict _stages
    cdef object _connect, _greeting, _stored, _store_seconds, _suppressed

    cpdef object settled(self, object settled, Attempt attempt=*, Delivery delivery=*, Py_ssize_t use=*)
    cpdef object attempted(self, object settled, Attempt attempt, Delivery delivery, Py_ssize_t use)
    cdef object _follow(self, object settled, Attempt attempt, Delivery delivery, Py_ssize_t use, Py_ssize_t number)
    cdef object _count(self, object settled, object envelope)
    cdef object _log(self, object settled, object envelope, tuple recipients, Attempt attempt, Delivery delivery,
                     Py_ssize_t use, Py_ssize_t number)
    cdef tuple _recipients(self, object settled, Attempt attempt)
    cdef object _line(self, _Entry entry, object envelope, tuple recipients, object outcome, Attempt attempt,
                      Delivery delivery, Py_ssize_t use, Py_ssize_t number)


cdef str _transport(object group)
