# cython: language_level=3
"""C declarations of _drive.pyx: what a generator's sessions ask and tell."""

from libc.stdint cimport int64_t, uint32_t

from benchmarks.load._histogram cimport Histogram
from benchmarks.load._ledger cimport Ledger
from benchmarks.load._loop cimport Endpoint, Loop
from benchmarks.load._stream cimport Stream


cdef class Client(Stream):
    """A session of a generator, with whatever protocol."""
    cdef Drive drive
    cdef bint is_idle           # in the drive's queue of those that want work

    # There may be a message to take; called only when idle.
    cdef int work(self) except -1
    # Nothing more will come: say goodbye and close.
    cdef int leave(self) except -1


cdef class Drive(Endpoint):
    # --- what is to be done (nanoseconds) ---
    cdef int64_t messages, duration, hold, timeout, time_limit, warm_up
    cdef int at_the_door        # the most connections that are being opened at a time
    cdef double interval        # between messages; 0: as fast as possible
    cdef bint opens_first       # sessions connect before the first message is due
    # --- where it stands ---
    cdef list clients
    cdef object idle            # deque of clients without work
    cdef object waiting         # deque of clients that want to open a connection
    cdef int opening, ready_count
    cdef object ticker
    cdef int64_t begun_at, first_at, last_at, measured_from, last_ready_at, hold_until, leave_until
    cdef int64_t offered, unsettled, unopened
    cdef int64_t accepted, refused, unsure, broken
    cdef int64_t recipients_accepted, recipients_refused, octets
    cdef int64_t measured, measured_recipients, measured_octets
    cdef readonly int64_t opened, open, most_open, failed, lost_count, handshakes, resumed
    cdef readonly dict errors
    cdef readonly object ended
    cdef bint is_over, is_leaving
    cdef Ledger ledger
    cdef Histogram accept, transaction, raw_accept, raw_transaction, connecting

    # A message to send: its number, or -1; *due is its intended time (0: at once).
    cdef int64_t take(self, int64_t* due) except? -2
    cdef int rest(self, Client client) except -1
    cdef bint has_more(self) noexcept
    cdef int64_t due_of(self, int64_t number) noexcept

    cdef int message_accepted(self, uint32_t number, uint32_t recipients, uint32_t total, uint32_t refused,
                              int64_t octets, int64_t due, int64_t begun_at, int64_t sent_at) except -1
    cdef int message_failed(self, uint32_t number, int state, uint32_t recipients, uint32_t total,
                            uint32_t refused) except -1
    cdef int record(self, uint32_t number, int state, uint32_t recipients, uint32_t total) except -1
    cdef int settled(self) except -1
    cdef int error(self, str what) except -1

    cdef int connection_opened(self) noexcept
    cdef int connection_ready(self, int64_t since) except -1
    cdef int connection_failed(self) except -1
    cdef int connection_over(self, bint was_up, bint was_opening) except -1
    cdef bint may_open(self, Client client) except -1
    cdef int opening_over(self) except -1
    cdef bint wants_connections(self) noexcept
    cdef int first_outcome(self) except -1

    cdef int begin(self) except -1
    cdef int hand_out(self) except -1
    cdef int tick(self) except -1
    cdef int finish(self, str why) except -1
    cdef int check_end(self) except -1
    cdef int send_home(self) except -1
