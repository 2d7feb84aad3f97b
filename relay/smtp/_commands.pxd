# cython: language_level=3
"""C declarations of relay/smtp/_commands.pyx."""

from libc.stdint cimport int64_t

from relay.mail._paths cimport PathArgument
from relay.smtp._login cimport Login
from relay.smtp._parameters cimport Param

cdef class Commands(Login):
    cdef bytes candidate            # the name, reverse-path or recipient that policy is asked about
    cdef int candidate_flags
    cdef bint is_settled            # the greeting has been decided upon

    cdef int obey(self, bytes octets, Py_ssize_t at, Py_ssize_t end, int fault) except -1
    cdef bint is_refused_by_order(self, int verb) except -1
    cdef int dispatch(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int count_command(self, int verb) except -1
    cdef int end_as_mixup(self, str protocol) except -1
    cdef int greet(self) except -1
    cdef int starttls(self, bint has_argument, bint is_last) except -1
    cdef int welcome(self) except -1
    cdef int hello(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int mail(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int mail_parameter(self, const char* p, Param* param, int64_t* size) except -2
    cdef int rcpt(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef bytes address_of(self, bytes octets, PathArgument* path)
    cdef int data(self) except -1
    cdef int refuse_mail(self, str name, str detail, bytes reverse_path) except -1
    cdef int refuse_rcpt(self, object reply, str reason) except -1
    cdef int refuse_connection(self, object reply) except -1
    cdef int ask(self, int stage, object answer) except -1
    cdef int judge(self, int stage, object verdict) except -1
    cdef int accept(self, int stage) except -1
    cdef int end_of_data(self) except -1
