# cython: language_level=3
"""C declarations of _intake.pyx, for the sink's sessions."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from benchmarks.load._ledger cimport Ledger
from benchmarks.load._loop cimport Loop
from benchmarks.load._mark cimport Content
from benchmarks.load._replies cimport STAGES, Replies


cdef struct Misbehaviour:
    uint64_t refuse_below, drop_below       # of 2^32
    int code
    int64_t delay                           # nanoseconds


cdef class Intake:
    cdef readonly Loop loop
    cdef readonly Replies replies
    cdef Misbehaviour[STAGES] misbehaviour
    cdef list refusals                      # per stage: the reply's octets, or None
    cdef bint is_lmtp, by_address, verifies, implicit_tls, starttls
    cdef int64_t tarpit, max_connections, last_message
    cdef uint64_t chance
    cdef bytes hello, hello_secured
    cdef object tls_context, accounts
    cdef dict runs
    cdef Ledger run                         # the one that was found last
    cdef dict doubled                       # recipients, by run
    cdef int64_t messages, recipients, octets, foreign, altered
    cdef int64_t opened, open, most_open, lost_count, dropped, turned_away, handshakes, resumed
    cdef double first_at
    cdef int64_t begun_at, first_clock, last_clock
    cdef readonly object ended

    cdef uint64_t draw(self) noexcept
    cdef bint draws_refusal(self, int stage) noexcept
    cdef bint draws_drop(self, int stage) noexcept
    # A message was accepted for so many recipients, whose hashes add up to ``total``.
    cdef int take(self, Content* content, uint32_t recipients, uint32_t total) except -1
    cdef int enter(self, Content* content, uint32_t recipients, uint32_t total) except -1
