# cython: language_level=3
"""C declarations of relay/smtp/_login.pyx."""

from relay.smtp._spooling cimport Handover

cdef enum Stage:
    AT_CONNECT
    AT_HELO
    AT_MAIL
    AT_RCPT
    AT_DATA
    AT_AUTH

cdef enum:
    EXCHANGE_LINE = 12288       # octets of a line of a SASL exchange with its CRLF (RFC 4954 4)

cdef class Login(Handover):
    cdef readonly object question   # an awaitable answer of policy, or of the Authenticator, that is waited for; or None
    cdef int question_stage
    cdef object exchange            # the SASL exchange that goes on, or None
    cdef bint awaits_response       # the next line is a response, not a command
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
