# cython: language_level=3
"""C declarations of relay/dispatch/_report.pyx, for settle.pxd."""

from libc.stdint cimport int64_t, uint64_t

from relay.queue._entry cimport Entry
from relay.telemetry._lines cimport Line
from relay.telemetry.cells cimport Histogram
from relay.dispatch._attempt cimport Attempt


cdef class DeliveryReport:
    cdef object kept            # the row: keeps the memory below ``row`` where it is
    cdef uint64_t* row
    cdef dict outcomes, stages, tries, sent
    cdef object replies
    cdef Py_ssize_t reused, other_stage
    cdef Histogram delay, transfer
    cdef Line line
    cdef list lines

    cpdef int tried(self, Attempt attempt, tuple outcomes, Py_ssize_t use) except -1
    cpdef bint settled(self, Entry entry, object envelope, tuple recipients, tuple outcomes, Attempt attempt,
                    Py_ssize_t use, Py_ssize_t number) except -1
    cdef str count(self, tuple outcome, int64_t delay)
    cdef int add_line(self, Entry entry, tuple envelope, tuple recipients, tuple outcome, Attempt attempt,
                  Py_ssize_t use, Py_ssize_t number, int64_t now) except -1
    cpdef bytes take(self)
