# cython: language_level=3
"""C declarations of relay/smtp/_commands.pyx."""

from libc.stdint cimport int64_t

from relay.mail._paths cimport PathArgument
from relay.smtp._parameters cimport Param
from relay.smtp._transaction cimport Transaction
from relay.smtp._policy cimport PolicySession

cdef class CommandSession(PolicySession):
    # the chunk that is being read (RFC 3030)
    cdef int64_t chunk_left         # octets of it that are still to come
    cdef bint is_chunk_last
    cdef bint is_chunk_wanted       # else it is skipped

    cdef int obey(self, bytes octets, Py_ssize_t at, Py_ssize_t end, int fault) except -1
    cdef bint is_refused_by_order(self, int verb) except -1
    cdef int dispatch(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int count_command(self, int verb) except -1
    cdef int end_as_mixup(self, str protocol) except -1
    cdef int starttls(self, bint has_argument, bint is_last) except -1
    cdef bint takes_any_name(self) noexcept
    cdef int hello(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int mail(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int mail_parameter(self, const char* p, Param* param, int64_t* size) except -2
    cdef int rcpt(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef bytes address_of(self, bytes octets, PathArgument* path)
    cdef int data(self) except -1
    cdef int begin_content(self, Transaction t) except -1
    cdef int bdat(self, const char* p, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int chunk_over(self) except -1
    cdef Py_ssize_t most_octets(self) noexcept
