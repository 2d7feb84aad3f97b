# cython: language_level=3
"""C declarations of relay/smtp/_login.pyx."""

from relay.smtp._spooling cimport SpoolingSession

cdef enum:
    EXCHANGE_LINE = 12288       # octets of a line of a SASL exchange with its CRLF (RFC 4954 4)

cdef class LoginSession(SpoolingSession):
    cdef object exchange            # the SASL exchange that goes on, or None
    cdef object bindings            # of the TLS connection, by name, or None

    cdef int auth(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int respond(self, bytes line) except -1
    cdef int follow(self, object step) except -1
    cdef int login_answered(self, object login) except -1
    cdef int refuse_login(self, object trouble) except -1
    cdef int forget_login(self) except -1
    cdef Py_ssize_t line_limit(self) noexcept
    cdef int refuse_long_line(self) except -1
    cdef int leave_login(self) except -1
