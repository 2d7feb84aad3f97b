# cython: language_level=3
"""C declarations of relay/dispatch/_attempt.pyx."""

from relay.delivery._delivery cimport Delivery
from relay.queue._entry cimport Entry


cdef class Attempt(Delivery):
    cdef readonly Entry entry
    cdef readonly object record, envelope
    cdef public double connect_seconds


cpdef Attempt new_attempt(Entry entry, object record, object content)
