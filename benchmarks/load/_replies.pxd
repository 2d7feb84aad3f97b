# cython: language_level=3
from libc.stdint cimport int64_t

cdef enum Stage:
    S_GREETING
    S_HELO
    S_TLS
    S_AUTH
    S_MAIL
    S_RCPT
    S_DATA
    S_CONTENT
    S_RSET
    S_QUIT
    STAGES

cdef enum:
    CODES = 400                 # reply codes 200 to 599


cdef class Replies:
    cdef int64_t[STAGES][CODES] counts

    cdef int count(self, int stage, int code) noexcept


cdef str stage_name(int stage)

# The reply code of a line that begins with one, followed by "-" or " " or the end of the line; -1 when it does not.
cdef int reply_code(const char* p, Py_ssize_t n, bint* goes_on) noexcept nogil
