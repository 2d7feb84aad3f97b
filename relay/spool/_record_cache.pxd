# cython: language_level=3
"""C declarations of relay/spool/_record_cache.pyx."""


cdef class Remembered:
    cdef dict young, old
    cdef Py_ssize_t octets, limit

    cpdef int put(self, list records) except -1
    cpdef object take(self, unsigned int log, unsigned int segment, unsigned int offset)
