# cython: language_level=3
"""C declarations of _smtp_opening.pyx, for the transactions."""

from libc.stdint cimport int64_t

from benchmarks.load._drive cimport Client, Drive
from benchmarks.load._messages cimport Messages
from benchmarks.load._replies cimport Replies
from benchmarks.load._stream cimport Target

cdef enum Dialogue:
    LOCK_STEP
    GROUPED
    PIPELINED
    STREAMED

cdef enum State:
    CLOSED
    OPENING                         # up to the end of EHLO, TLS and AUTH; ``stage`` says where
    READY


cdef class SmtpLoad:
    cdef readonly Drive drive
    cdef Messages messages
    cdef readonly Replies replies
    cdef Target target
    cdef Dialogue dialogue
    cdef bint is_lmtp, uses_bdat, implicit_tls, starttls, resumes
    cdef int ring_size
    cdef int64_t per_connection
    cdef bytes hello, mail, mechanism
    cdef object login               # makes a login.Login for a connection, or None
    cdef object tls_context, tls_session
    cdef str server_name
    cdef readonly object fatal      # why the run makes no sense (str), or None


    cdef int give_up(self, str why) except -1


cdef class Opening(Client):
    cdef SmtpLoad load
    cdef State state
    cdef int stage                  # while OPENING: whose reply is waited for
    cdef bint is_up                 # connected, and counted as such
    cdef bint is_secure             # STARTTLS is done
    cdef bint has_said_goodbye, has_reserved, had_outcome
    cdef bint offers_size, offers_starttls, offers_pipelining, offers_chunking
    cdef int64_t reserved_number, reserved_due      # a message that waits for its connection
    cdef int64_t opened_at, progress_at
    cdef object login               # login.Login, while AUTH is under way
    cdef int64_t begun              # transactions on this connection
    cdef int count                  # transactions under way
    cdef bint needs_reset           # a failed transaction left the server in its middle
    cdef int resets                 # RSET commands whose replies have not come
    cdef bint has_unsent            # a content was put out, and its end is not known to be written

    # --- for the transactions to define ---
    # A reply after the opening.
    cdef int reply(self, int code) except -1
    # Puts out what may go now.
    cdef int advance(self) except -1
    # The connection is gone, and with it the oldest transaction.
    cdef int break_off(self, str how) except -1

    cdef int say_goodbye(self) except -1
    # The connection is over, or is closed now: settles its transactions and sees to the next one.
    cdef int end(self, str cause) except -1

    cdef int open(self) except -1
    cdef int begin_tls(self) except -1
    cdef int drop_reserved(self) except -1
    cdef int note_outcome(self) except -1
    cdef int note_extension(self, const char* p, Py_ssize_t n) except -1
    cdef int opening_reply(self, int code, bytes text) except -1
    cdef int log_in(self) except -1
    cdef int challenged(self, bytes text) except -1
    cdef int say_hello(self) except -1
