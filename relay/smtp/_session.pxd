# cython: language_level=3
"""C declarations of relay/smtp/_session.pyx."""

from libc.stdint cimport int64_t

from relay.smtp._commands cimport CommandSession

cdef class Session(CommandSession):
    cdef bytes held                 # input that is not used yet: half a line, or what came while we wait
    cdef Py_ssize_t line_octets     # of an overlong line that is being skipped, 0 otherwise
    cdef bint is_running            # inside advance(): what ends a wait need not start it again
    cdef bint has_more              # stopped because there was enough output; held can be worked on
    cdef bint has_progressed        # a whole command or some content has come in since the deadline was set
    cdef bint is_held_up            # what comes next has to wait for the spool
    cdef bint is_choked             # the peer does not read its replies
    cdef bint has_spoken            # something has come since TLS was to begin
    cdef bint is_file_behind        # the file of a large content cannot keep up

    cdef bint has_spoken_early(self) except -1
    cdef bint is_uninvited(self) noexcept
    cdef bint is_waiting(self) noexcept
    cdef int speaks_plainly(self, bytes octets) except -1
    cdef bint may_read(self) noexcept
    cdef int take_in(self, bytes octets, int64_t now) except -1
    cdef int go_on(self) except -1
    cdef int keep(self, bytes octets) except -1
    cdef int advance(self, bytes octets) except -1
    cdef int turn(self) except -1
    cdef Py_ssize_t read_line(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2
    cdef Py_ssize_t skip_line(self, const char* p, Py_ssize_t at, Py_ssize_t n) except -2
    cdef Py_ssize_t read_content(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2
    cdef Py_ssize_t read_chunk(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2
    cdef int take_content(self, bytes octets, Py_ssize_t at, Py_ssize_t stop) except -1
    cdef int refuse_endless(self) except -1
    cdef bint may_go_ahead(self, char first) noexcept
    cdef bint may_ask_ahead(self, bytes octets, Py_ssize_t at, Py_ssize_t n) noexcept
    cdef bint is_too_slow(self) noexcept
