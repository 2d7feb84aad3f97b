# cython: language_level=3
"""C declarations of relay/smtp/_replies.pyx."""

from libc.stdint cimport int64_t, uint64_t

from relay.policy.pipeline cimport Subject
from relay.smtp._context cimport ServerContext, Service
from relay.smtp._transaction cimport Promise, Transaction

cdef enum:
    LINGER = 3_000_000          # microseconds that a peer has to read our last reply

cdef enum Stage:                # what a question is about
    AT_CONNECT
    AT_HELO
    AT_MAIL
    AT_RCPT
    AT_DATA
    AT_AUTH

cdef class Question(Promise):
    cdef object session             # None once the answer counts, or no longer does
    cdef readonly int stage
    cdef readonly object awaitable  # None where there was nothing to wait for but earlier recipients
    cdef object task                # runs it
    cdef bint is_running            # it has begun
    cdef bint is_answered
    cdef object answer              # a verdict, an exception, or with ``reason`` a reply
    cdef str reason                 # a refusal of ours, and why
    cdef bytes candidate            # the recipient that it is about
    cdef Transaction transaction    # the one whose content it is about
    cdef int errors                 # those before the content
    cdef int64_t deadline

    cdef int close(self) except -1

cdef class ReplySession(Subject):
    cdef readonly Service service
    cdef ServerContext context
    # who
    cdef readonly int client_port
    cdef object client_key
    cdef bint has_odd_name              # what it is called is neither a domain name in ASCII nor an address literal
    cdef uint64_t number
    cdef bint is_esmtp
    # where
    cdef int state
    cdef Transaction transaction
    cdef Transaction opening            # the one that MAIL asks for, while checks are asked about it; or None
    cdef int transactions
    cdef int commands
    cdef int errors
    cdef bint is_shaking                # counted among the handshakes that go on
    cdef int64_t handshake_at           # when the last one began
    cdef bint closes_at_once            # no need to wait for the peer to read the last reply (QUIT)
    # what is to be written
    cdef list out
    cdef list behind                # the first Promise that is not kept yet, and all that is said after it; or None
    cdef Py_ssize_t out_size        # octets of both
    # what is asked: both by age, the oldest first, or None
    cdef list questions             # those that what comes next waits for: one, or any number about recipients
    cdef list contents              # those about contents, which nothing waits for but their replies
    # when
    cdef int64_t now
    cdef int64_t opened_at
    cdef readonly int64_t deadline
    cdef int64_t armed_at               # when the timer comes due
    cdef object timer

    cdef int64_t read_clock(self) noexcept
    cdef int move(self, int event) except -1
    cdef bint has_questions(self) noexcept
    cdef Question wait_for(self, int stage, object awaitable)
    cdef int start(self, Question question) except -1
    cdef int cancel_questions(self, str cause) except -1
    cdef int64_t due(self) noexcept
    cdef int say(self, bytes wire) except -1
    cdef int say_in(self, Promise place, bytes wire) except -1
    cdef int count_code(self, bytes wire) except -1
    cdef int promise(self, Promise reply) except -1
    cdef int keep_promise(self, Promise reply, bytes wire) except -1
    cdef int release(self) except -1
    cdef int say_reply(self, object reply, str reason) except -1
    cdef bytes explained(self, object reply, Transaction t)
    cdef int refuse_explained(self, object reply, str reason, Transaction t) except -1
    cdef int refuse(self, str name, str detail=*) except -1
    cdef int end(self, str name, str cause, str directions=*) except -1
    cdef int over(self, str cause) except -1
    cdef bint begin_handshake(self) except -1
    cdef int handshake_over(self, str reason) except -1
    cdef int arm(self) except -1
    cdef int count_reason(self, str reason) except -1
    cdef int end_transaction(self, Transaction t, str result, str stage, object reply, str reason) except -1
    cdef int abort_transaction(self, str cause) except -1
    cdef int log_refusal(self, str stage, object reply, str reason, bytes reverse_path) except -1
    cdef int write_line(self, Transaction t, str result, str stage, object reply, str reason, bytes reverse_path) except -1
