# cython: language_level=3
"""C declarations of relay/smtp/_session.pyx."""

from libc.stdint cimport int64_t

from relay._fastparse cimport Param, PathArgument
from relay.smtp._speaker cimport Speaker

cdef enum Stage:
    AT_CONNECT
    AT_HELO
    AT_MAIL
    AT_RCPT
    AT_DATA

cdef class Session(Speaker):
    cdef bytes held                 # input that is not used yet: half a line, or what came while we wait
    cdef readonly object question   # an awaitable answer of policy that is waited for, or None
    cdef int question_stage
    cdef bytes candidate            # the name, reverse-path or recipient that policy is asked about
    cdef int candidate_flags
    cdef Py_ssize_t line_octets     # of an overlong line that is being skipped, 0 otherwise
    cdef bint is_running            # inside advance(): what ends a wait need not start it again
    cdef bint has_more              # stopped because there was enough output; held can be worked on
    cdef bint has_progressed        # a whole command or some content has come in since the deadline was set
    cdef bint is_choked             # the peer does not read its replies
    cdef bint is_file_behind        # the file of a large content cannot keep up
    cdef bint is_settled            # the greeting has been decided upon

    cdef bint is_waiting(self) noexcept
    cdef bint may_read(self) noexcept
    cdef int take_in(self, bytes octets, int64_t now) except -1
    cdef int go_on(self) except -1
    cdef int keep(self, bytes octets) except -1
    cdef int advance(self, bytes octets) except -1
    cdef Py_ssize_t read_line(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2
    cdef Py_ssize_t skip_line(self, const char* p, Py_ssize_t at, Py_ssize_t n) except -2
    cdef Py_ssize_t read_content(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2
    cdef int obey(self, bytes octets, Py_ssize_t at, Py_ssize_t end, int fault) except -1
    cdef bint is_refused_by_order(self, int verb) except -1
    cdef int dispatch(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int count_command(self, int verb) except -1
    cdef int end_as_mixup(self, str protocol) except -1
    cdef int refuse_connection(self, object reply) except -1
    cdef bint is_too_slow(self) noexcept
    cdef int greet(self) except -1
    cdef int hello(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int mail(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int mail_parameter(self, const char* p, Param* param, int64_t* size) except -2
    cdef int rcpt(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1
    cdef bytes address_of(self, bytes octets, PathArgument* path)
    cdef int data(self) except -1
    cdef int refuse_mail(self, str name, str detail, bytes reverse_path) except -1
    cdef int refuse_rcpt(self, object reply, str reason) except -1
    cdef int refuse_content(self, str stage, object reply, str reason) except -1
    cdef int ask(self, int stage, object answer) except -1
    cdef int judge(self, int stage, object verdict) except -1
    cdef int accept(self, int stage) except -1
    cdef int end_of_data(self) except -1
    cdef int submit(self) except -1
    cdef int append(self, list parts, object large) except -1
    cdef int settle(self, object error) except -1
    cdef int turn(self) except -1
