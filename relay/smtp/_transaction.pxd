# cython: language_level=3
"""C declarations of relay/smtp/_transaction.pyx."""

from libc.stdint cimport int64_t

from relay._fastparse cimport ContentScan, HeaderScan
from relay.policy.pipeline cimport Subject
from relay.smtp._context cimport Limits, ServerContext, Service

cdef class Promise:
    cdef bytes wire                         # the reply; None while it is not known

cdef class Transaction(Subject):
    cdef Service service                    # of the session that it is made in
    cdef ServerContext context
    cdef readonly bytes reverse_path
    cdef dict accepted                      # the recipients that it goes to, an ordered set
    cdef readonly int named                 # RCPT commands that were accepted
    cdef readonly int number                # in its session, from 1
    cdef readonly int refused               # RCPT commands that were refused
    cdef list refusals                      # the first of them for the log, or None
    cdef list redirected                    # recipients that policy has put another address in place of, or None
    cdef tuple refusal                      # (Reply, reason) of the last of them, or None
    cdef int flags                          # of relay.mail.envelope
    cdef str queue_id                       # from DATA on
    cdef int64_t declared                   # octets that MAIL has announced, or 0
    cdef int64_t started_at                 # monotonic microseconds: MAIL accepted
    cdef int64_t data_at                    # DATA accepted
    cdef int64_t ended_at                   # end of data read
    cdef Promise place                      # of the reply to its content, where others may be before it already; or None
    cdef bytes sender                       # the reverse-path that it is sent with, when that is another
    cdef bytes added                        # Date and Message-ID that we add to a submission, each with its CRLF
    cdef list changes                       # what checks have changed, for the log, or None
    cdef bint is_discarded                  # a check throws it away
    cdef str held                           # why it is to be held in the queue, or empty
    # the content
    cdef ContentScan scan
    cdef list pieces                        # what is held in memory
    cdef readonly bint is_submission        # it comes over a submission listener (RFC 6409)
    cdef bint is_chunked                    # it comes with BDAT: no dots are stuffed, and it has no end of its own
    cdef Py_ssize_t read                    # octets read after DATA, the end of data included
    cdef Py_ssize_t held_octets             # octets of them in memory, as counted by the context
    cdef readonly Py_ssize_t size           # of the whole record's content, once it is known
    cdef object large                       # LargeContent, or None
    cdef int large_state                    # of the unstuffing
    cdef HeaderScan head                    # of the whole header section, once it is known
    cdef Py_ssize_t next_look               # octets held at which to look whether the header section is whole
    cdef str trouble                        # name of the refusal that the content has earned, or None
    cdef Py_ssize_t broken_line             # of the header section, from 1, where that is the trouble

    cdef str stage(self)
    cdef int take(self, bytes octets, Py_ssize_t start, Py_ssize_t stop, object on_drained) except -1
    cdef int finish(self) except -1
    cdef list parts(self, bytes received)
    cdef int add_fields(self, int64_t wall) except -1
    cdef object content(self)
    cdef int accept(self, bytes recipient) except -1
    cdef int replace(self, bytes recipient, tuple instead) except -1
    cdef int change(self, bytes what) except -1
    cdef int replace_pieces(self, list pieces) except -1
    cdef str check(self)
    cdef object refusal_for(self, str trouble)
    cdef int drop(self) except -1
    cdef Py_ssize_t _most(self) noexcept
    cdef int _keep(self, bytes octets, Py_ssize_t start, Py_ssize_t stop) except -1
    cdef bytes _slice(self, bytes octets, Py_ssize_t start, Py_ssize_t stop)
    cdef int _save_memory(self, object on_drained) except -1
    cdef int _open_file(self, object on_drained) except -1
    cdef bytes _unstuffed_so_far(self, bytes held)
    cdef bytes _submitted(self, bytes octets)
    cdef bint _look_at_header(self, bytes held) except -1
    cdef int _to_file(self, bytes octets, Py_ssize_t start, Py_ssize_t stop) except -1
    cdef str _fault_name(self)
    cdef int _refuse(self, str trouble) except -1
    cdef int _drop_pieces(self) except -1
    cdef Py_ssize_t _surplus(self) noexcept
    cdef int _end_chunks(self) except -1
    cdef int _submit_pieces(self) except -1
    cdef bint _leave_in_pieces(self) except -1
    cdef Py_ssize_t content_size(self) except -1

cdef Transaction opened(Service service, Subject session, bytes reverse_path, int flags)
