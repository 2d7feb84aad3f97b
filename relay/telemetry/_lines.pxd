# cython: language_level=3
# Log lines from compiled code: cimport Line and call build(); no dict, no keyword, nothing kept of the values.

from libc.stdint cimport int64_t


cimport cython


@cython.final
cdef class Line:
    cdef readonly str kind
    cdef readonly tuple names
    cdef bytes _head
    cdef list _keys
    cdef bytes _forms

    cpdef bytes build(self, int64_t now_us, tuple values)
