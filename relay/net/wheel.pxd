# cython: language_level=3
"""C declarations of relay/net/wheel.py."""

from libc.stdint cimport int64_t

cimport cython


cdef class Timer:
    cdef public double deadline
    cdef readonly object item
    cdef public Py_ssize_t bucket


cdef class TimingWheel:
    cdef readonly double tick
    cdef readonly list buckets
    cdef Py_ssize_t _slots, _count
    cdef int64_t _last

    cpdef Timer add(self, double deadline, object item)
    cpdef object cancel(self, Timer timer)
    cpdef object move(self, Timer timer, double deadline)
    @cython.locals(turn=int64_t)
    cdef object _place(self, Timer timer)
