"""C declarations of relay/delivery/_flight.pyx."""

from relay.delivery._delivery cimport Delivery
from relay.delivery._replies cimport Extensions, ReplyScan
from relay.delivery._transactions cimport Sent, Transactions


cdef enum Chunks:
    UNKNOWN         # not offered, or switched off
    OFFERED
    PROVEN          # the peer has answered a chunk


cdef class Flight(Transactions):
    cdef:
        object chunking
        Chunks chunks
        Extensions offered
        bint quitting               # nothing more is taken
        Py_ssize_t window           # transactions that may be in flight
        Py_ssize_t quick            # answered in time since the window last changed
        Py_ssize_t flight_octets

    cdef bint may_send_more(self) noexcept
    cdef bint goes_in_chunks(self, Delivery delivery) except -1
    cdef int send_whole(self, Delivery delivery) except -1
    cdef int on_flight_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int on_chunk_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply, Sent sent) except -1
    cdef int adapt(self, double seconds) except -1


# Whether the reply says that the command itself is not understood (RFC 5321 4.2.1: x0z).
cdef bint is_not_understood(ReplyScan* reply) noexcept
cdef bytes envelope_commands(Delivery delivery, bint resets, bint has_size, bytes end)
# Whether ``content`` is empty or its last line is complete.
cdef bint ends_lines(object content) except -1
cdef bytes last_two(object content)
