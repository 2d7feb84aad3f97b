# cython: language_level=3, auto_pickle=False, autotestdict=False
# (a session is not for pickling; the stub describes the module, and neither directive leaves names in it)
"""Whole transactions in flight: RSET, MAIL, RCPT..., BDAT LAST and the content, one behind the other (RFC 3030, 2920).

Theory: BDAT says how many octets follow, so no reply has to be waited for before a content, and many messages share one
write and one read. The peer takes the octets of a chunk even when it refuses the envelope (RFC 3030 2). Every
transaction begins with RSET: what a refused BDAT leaves behind is not defined there, and a peer that kept the MAIL of the
one before would take the next content for that sender.

A peer that offers CHUNKING and does not know BDAT would read a content as commands. So the first transaction of each
connection sends a chunk of one octet, and nothing behind it before that was answered (_machine.pyx).

How many are in flight follows the peer: what waits in one session could not be sent over another, and when the peer
vanishes all that it has not answered is sent again. The window doubles up to WINDOW whenever as many as it holds were
answered within QUICK seconds each, and halves when one was not; it is filled again when half of it is free, so that a peer that answers one
by one still gets several in one write.

Invariant: a reply belongs to the first in ``flight``, in the order RSET, MAIL, RCPT..., BDAT.

Not here: contents in files, and those for LMTP, which are sent with DATA (_machine.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdio cimport snprintf
from libc.string cimport memcmp, memcpy

from relay.delivery._delivery cimport BODY_8BIT, SMTPUTF8
from relay.delivery._transactions cimport is_too_many

cdef Py_ssize_t WINDOW = 16
cdef Py_ssize_t OCTETS = 262144     # no further transaction while so much is in flight
cdef double QUICK = 0.1


cdef class Flight(Transactions):

    cdef bint may_send_more(self) noexcept:
        """Whether one more transaction may join those in flight."""
        return len(self.flight) < self.window and self.flight_octets < OCTETS

    cdef bint goes_in_chunks(self, Delivery delivery) except -1:
        return self.chunks != UNKNOWN and delivery.path is None and len(delivery.content) > 0

    cdef int send_whole(self, Delivery delivery) except -1:
        cdef Sent sent = Sent.__new__(Sent)
        cdef object content = delivery.content
        cdef bint needs_crlf = not ends_lines(content)
        sent.delivery = delivery
        sent.outcomes = [None] * len(delivery.recipients)
        sent.size = len(content) + 2 * needs_crlf
        sent.at = delivery.content_at = self.now
        self.out.append(envelope_commands(delivery, True, self.offered.has_size, chunk_command(sent.size)))
        self.out.append(content)
        if needs_crlf:
            self.out.append(b"\r\n")
        self.flight.append(sent)
        self.flight_octets += sent.size
        return 0

    cdef int on_flight_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        """The next reply to the oldest transaction in flight."""
        cdef Sent sent = <Sent>self.flight[0]
        cdef Py_ssize_t index = sent.answered - 2       # of the recipient
        if reply.code == 421:
            # RFC 5321 3.8: the peer closes. Not all do, and then the contents behind are taken: what comes is read.
            self.quitting = True
            sent.is_farewell = sent.answered < 2
        elif 300 <= reply.code < 400 or sent.answered == 0 and reply.code >= 300:
            return self.out_of_step(reply)
        if index == len(sent.outcomes):
            return self.on_chunk_reply(p, at, end, reply, sent)
        sent.answered += 1
        if index == -1:
            if reply.code >= 400:
                sent.mail_refused = True
                sent.outcomes = [self.outcome(p, at, end, reply, "mail")] * len(sent.outcomes)
        elif index >= 0:
            if reply.code < 300:
                sent.accepted += 1
            elif sent.outcomes[index] is None:
                sent.outcomes[index] = self.outcome(p, at, end, reply, "rcpt", is_too_many(reply, sent.accepted))
        return 0

    cdef int on_chunk_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply, Sent sent) except -1:
        cdef Py_ssize_t index
        cdef list outcomes
        if sent.accepted:
            if is_not_understood(reply):
                self.chunking.refused(self.next_hop)
                return self.out_of_step(reply)
            if sent.mail_refused:
                return self.out_of_step(reply)      # who knows for which sender it was taken
            outcomes = sent.outcomes
            outcome = self.outcome(p, at, end, reply, "reply")
            for index in range(len(outcomes)):
                if outcomes[index] is None:
                    outcomes[index] = outcome
        del self.flight[0]
        self.flight_octets -= sent.size
        self.adapt(self.now - sent.at)
        return self.finish(sent.delivery, sent.outcomes)

    cdef int adapt(self, double seconds) except -1:
        """A transaction was answered after so long."""
        self.quick += 1
        if seconds > QUICK:
            self.window = max(1, self.window // 2)
            self.quick = 0
        elif self.quick >= self.window:
            self.window = min(WINDOW, 2 * self.window)
            self.quick = 0
        return 0


cdef bint is_not_understood(ReplyScan* reply) noexcept:
    return 500 <= reply.code <= 504


cdef bytes envelope_commands(Delivery delivery, bint resets, bint has_size, bytes end):
    """MAIL with its parameters and RCPT for each recipient in one piece (RFC 5321 4.1.1, RFC 1870, RFC 6152, RFC 6531),
    behind RSET when it ``resets``; the last of them ends with ``end`` instead of a line break. None: MAIL alone, without
    the end of its line."""
    cdef char[32] size
    cdef int size_length = snprintf(size, sizeof(size), "> SIZE=%zd", delivery.size) if has_size else 0
    cdef Py_ssize_t length = 64 + size_length + PyBytes_GET_SIZE(delivery.reverse_path)
    cdef bytes recipient, commands
    cdef char* at
    if end is not None:
        length += PyBytes_GET_SIZE(end)
        for recipient in delivery.recipients:
            length += PyBytes_GET_SIZE(recipient) + 16
    commands = PyBytes_FromStringAndSize(NULL, length)
    at = PyBytes_AS_STRING(commands)
    if resets:
        at = put(at, "RSET\r\n", 6)
    at = put(at, "MAIL FROM:<", 11)
    at = put_bytes(at, delivery.reverse_path)
    at = put(at, size, size_length) if has_size else put(at, ">", 1)
    if delivery.flags & BODY_8BIT:
        at = put(at, " BODY=8BITMIME", 14)
    if delivery.flags & SMTPUTF8:
        at = put(at, " SMTPUTF8", 9)
    if end is not None:
        for recipient in delivery.recipients:
            at = put(at, "\r\nRCPT TO:<", 11)
            at = put_bytes(at, recipient)
            at = put(at, ">", 1)
        at = put_bytes(at, end)
    return commands[:at - PyBytes_AS_STRING(commands)]


cdef bytes chunk_command(Py_ssize_t size):
    """A line break and BDAT for a content of ``size`` octets."""
    cdef char[48] line
    return line[:snprintf(line, sizeof(line), "\r\nBDAT %zd LAST\r\n", size)]


cdef inline char* put(char* at, const char* octets, Py_ssize_t size) noexcept:
    memcpy(at, octets, size)
    return at + size


cdef inline char* put_bytes(char* at, bytes octets) noexcept:
    return put(at, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))


cdef bint ends_lines(object content) except -1:
    cdef Py_ssize_t size
    if isinstance(content, bytes):
        size = PyBytes_GET_SIZE(content)
        return size == 0 or size > 1 and memcmp(PyBytes_AS_STRING(content) + size - 2, "\r\n", 2) == 0
    return not len(content) or last_two(content) == b"\r\n"


cdef bytes last_two(object content):
    return bytes(content[max(0, len(content) - 2):])
