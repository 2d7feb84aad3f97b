# cython: language_level=3
"""C declarations of relay/smtp/_context.pyx."""

from libc.stdint cimport int64_t, uint64_t

from relay.policy.pipeline cimport Pipeline
from relay.telemetry.cells cimport Histogram

cdef enum:
    VERBS = 17      # of relay._fastparse.Verb that have a counter of their own, V_NONE first

cdef enum EarlyTalk:            # who may talk without waiting for replies (smtp.early_talk)
    NOBODY
    TRUSTED
    EVERYBODY

cdef struct Limits:
    # Of the sessions of one listener.
    # Sizes in octets, durations in microseconds; 0 stands for "no limit" where the settings allow it.
    Py_ssize_t message_size
    Py_ssize_t recipients
    Py_ssize_t line
    Py_ssize_t content_line
    Py_ssize_t commands
    Py_ssize_t errors
    Py_ssize_t connections_per_client
    Py_ssize_t hops
    Py_ssize_t data_rate        # octets a second
    int64_t data_rate_grace
    int64_t command_timeout
    int64_t data_timeout
    int64_t session_timeout
    int64_t banner_delay
    bint strict_helo
    bint lenient_addresses
    int early_talk              # NOBODY, TRUSTED or EVERYBODY

cdef struct Cells:
    # Indexes into the row of counters. Where there are two, the first is for mx, the second for submission.
    Py_ssize_t connections[2]
    Py_ssize_t sessions_open[2]
    Py_ssize_t messages_accepted[2]
    Py_ssize_t accepted_bytes[2]
    Py_ssize_t messages_refused
    Py_ssize_t refused_bytes
    Py_ssize_t read_bytes
    Py_ssize_t written_bytes
    Py_ssize_t buffered_bytes
    Py_ssize_t large_contents
    Py_ssize_t recipients_accepted
    Py_ssize_t recipients_refused
    Py_ssize_t recipients_deferred
    Py_ssize_t transactions_accepted
    Py_ssize_t transactions_refused
    Py_ssize_t transactions_deferred
    Py_ssize_t transactions_aborted
    Py_ssize_t transactions_discarded
    Py_ssize_t verbs[VERBS]
    unsigned int codes[1000]
    Histogram message_size
    Histogram message_recipients
    Histogram accept_time
    Histogram session_time

cdef class ServerContext:
    cdef object __weakref__
    cdef readonly object spool
    cdef readonly object log
    cdef readonly object wheel
    cdef readonly object row
    cdef readonly bytes hostname
    cdef readonly bint is_draining
    cdef readonly int64_t wall_offset
    cdef readonly Py_ssize_t buffered
    cdef int64_t latest                 # the latest monotonic time that anyone has passed in, microseconds
    cdef uint64_t* counters
    cdef Py_ssize_t max_connections
    cdef Py_ssize_t large_content       # octets
    cdef Py_ssize_t memory_budget       # octets
    cdef int64_t handshake_timeout      # microseconds
    cdef Cells cells
    cdef dict refused_connections       # reason -> cell
    cdef dict refusals                  # reason -> cell
    cdef dict closed                    # cause -> cell
    cdef dict mixups                    # protocol -> cell
    cdef set sessions
    cdef dict clients                   # client key -> open connections
    cdef object on_empty
    cdef uint64_t id_log
    cdef int64_t id_milliseconds
    cdef uint64_t id_count
    cdef int64_t date_second
    cdef bytes date

    cdef inline void count(self, Py_ssize_t cell) noexcept:
        self.counters[cell] += 1

    cdef uint64_t next_id(self, int64_t wall) noexcept
    cdef bytes date_at(self, int64_t wall)
    cdef void hold(self, Py_ssize_t octets) noexcept
    cdef void let_go(self, Py_ssize_t octets) noexcept
    cdef bint is_over_half_budget(self) noexcept
    cdef bint is_over_budget(self) noexcept
    cdef bint is_far_over_budget(self) noexcept
    cdef str enter(self, object session, object client, Py_ssize_t most_of_client)
    cdef int observe_session(self, int64_t duration) except -1
    cdef int log_fault(self, str what, object fault, str session_id) except -1
    cdef int leave(self, object session, object client) except -1

cdef class Service:
    cdef readonly ServerContext context
    cdef readonly Pipeline pipeline
    cdef readonly str name
    cdef Limits limits
    cdef readonly bint is_submission
    cdef str directions             # which ports are for what, for a peer that speaks another protocol
    cdef int kind
    cdef bytes greeting
    cdef bytes helo_reply
    cdef bytes ehlo_reply           # under TLS, or where there is none
    cdef bytes ehlo_starttls        # in the clear
    cdef readonly object tls        # relay.net.tls.ServerTls, or None where TLS is not to be had
    cdef readonly bint is_implicit  # TLS from the first octet
    cdef readonly object authenticator          # relay.auth.Authenticator, or None where nobody can log in
    cdef readonly tuple mechanisms              # offered under TLS
    cdef readonly tuple plain_mechanisms        # offered in the clear

cdef void encode_id(uint64_t number, char* out) noexcept nogil
cdef str id_text(uint64_t number)
