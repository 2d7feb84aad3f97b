# cython: language_level=3
"""C declarations of relay/workers/_counting.pyx, for settle.pxd."""

from libc.stdint cimport int64_t, uint64_t

from relay.telemetry.cells cimport Histogram


cdef class DeliveryCells:
    cdef object kept            # the row: keeps the memory below ``row`` where it is
    cdef uint64_t* row
    cdef dict outcomes, stages, tries, sent
    cdef object replies
    cdef Py_ssize_t reused, other_stage
    cdef Histogram delay, transfer

    cpdef int tried(self, str transport, bint is_delivered, int64_t size, bint is_reused, int64_t transfer) except -1
    cpdef int outcome(self, str kind, Py_ssize_t code, str stage, int64_t delay) except -1
