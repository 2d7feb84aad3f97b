cdef class Tokens:
    cdef readonly bytes octets
    cdef readonly Py_ssize_t at
    cdef readonly bint utf8
    cdef const unsigned char* text
    cdef Py_ssize_t size

    cdef bint is_literal8(self) noexcept
    cdef bytes run(self, int kind, str what)
    cdef bytes unescape(self, bytes escaped)
    cdef object sequence_number(self)
