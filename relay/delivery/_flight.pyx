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

from relay.delivery._delivery cimport BODY_8BIT, SMTPUTF8

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
        cdef list parts = [b"RSET\r\n"]
        sent.delivery = delivery
        sent.outcomes = [None] * len(delivery.recipients)
        sent.size = len(content) + 2 * needs_crlf
        sent.at = delivery.content_at = self.now
        add_mail(parts, delivery, self.offered.has_size)
        add_recipients(parts, delivery)
        parts.append(b"\r\nBDAT %d LAST\r\n" % sent.size)
        self.out.append(b"".join(parts))
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
                sent.outcomes[index] = self.outcome(p, at, end, reply, "rcpt")
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


cdef int add_mail(list out, Delivery delivery, bint has_size) except -1:
    """MAIL with its parameters, without the end of its line (RFC 5321 4.1.1.2, RFC 1870, RFC 6152, RFC 6531)."""
    out.append(b"MAIL FROM:<")
    out.append(delivery.reverse_path)
    out.append(b"> SIZE=%d" % delivery.size if has_size else b">")
    if delivery.flags & BODY_8BIT:
        out.append(b" BODY=8BITMIME")
    if delivery.flags & SMTPUTF8:
        out.append(b" SMTPUTF8")
    return 0


cdef int add_recipients(list out, Delivery delivery) except -1:
    """A line break and RCPT for each recipient."""
    cdef bytes recipient
    for recipient in delivery.recipients:
        out.append(b"\r\nRCPT TO:<")
        out.append(recipient)
        out.append(b">")
    return 0


cdef bint ends_lines(object content) except -1:
    if isinstance(content, bytes):
        return not content or (<bytes>content).endswith(b"\r\n")
    return not len(content) or last_two(content) == b"\r\n"


cdef bytes last_two(object content):
    return bytes(content[max(0, len(content) - 2):])
