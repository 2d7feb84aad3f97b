# cython: language_level=3
# Lines from compiled code: cimport WaitingLines and call put().


cdef class WaitingLines:
    cdef char* p
    cdef Py_ssize_t size                # octets at p
    cdef Py_ssize_t start, end          # of what waits there
    cdef Py_ssize_t taken
    cdef readonly Py_ssize_t limit
    cdef readonly bint is_closed

    cpdef int put(self, bytes line) noexcept
    cdef bint make_room(self, Py_ssize_t more) noexcept
    cdef void empty(self) noexcept
