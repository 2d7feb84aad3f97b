"""C declarations of relay/delivery/_transactions.pyx."""

from relay.delivery._replies cimport ReplyScan
from relay.delivery._delivery cimport Delivery


cdef enum Phase:
    CONNECT     # only of a session that has a socket: the peer has not accepted yet
    BANNER
    EHLO
    HELO
    READY
    QUIT
    DEAD        # over for the machine: the transport must be closed
    OVER        # the owner has been called


cdef class Sent:
    """A whole transaction that is with the peer (_flight.pyx)."""
    cdef:
        Delivery delivery
        list outcomes
        Py_ssize_t answered     # replies to RSET, MAIL, each RCPT
        Py_ssize_t accepted
        bint mail_refused
        bint is_farewell        # RSET or MAIL was answered with 421
        Py_ssize_t size
        double at


cdef class Transactions:
    cdef:
        readonly str next_hop
        readonly Py_ssize_t messages
        readonly double deadline
        double now
        Phase phase
        object owner, limits, on_greeted
        bint lmtp
        bint is_calling         # the owner is being called: it may ask for things, which are done when it returns

        Delivery finishing
        list finishing_outcomes
        Py_ssize_t ends_left
        list flight             # of Sent
        bint rset_pending
        Delivery current
        list outcomes
        Py_ssize_t answered     # replies to the commands of ``current``
        bint content_due        # DATA of ``current`` was accepted
        bint streaming          # its content is being written piece by piece

        bytes tail              # the beginning of a reply
        list out                # what is to be written
        list unsent
        object why

    cdef bint idle(self) noexcept
    cdef str stage(self)
    cdef int arm(self) except -1
    cdef object new_outcome(self, str kind, int code, str status, str text, str stage)
    cdef int greeted(self) except -1
    cdef int finish_current(self, bint needs_rset) except -1
    cdef int finish(self, Delivery delivery, list outcomes) except -1
    cdef object outcome(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply, str stage,
                        bint is_temporary=*)
    cdef object own_fault(self, str status, str text)
    cdef int out_of_step(self, ReplyScan* reply) except -1
    cdef bint is_unanswered(self) noexcept
    cdef int fail_flight(self, list flight, object why, bint hands_back, bint rode_behind) except -1
    cdef int fail(self, object why, bint hands_back) except -1
    cdef int forget(self) except -1
    cdef int give_back(self) except -1
    cdef bint take_back(self) except -1
    cdef int lost(self) except -1


cdef bint is_too_many(ReplyScan* reply, Py_ssize_t accepted) noexcept
