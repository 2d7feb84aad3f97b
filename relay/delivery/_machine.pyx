# cython: language_level=3, auto_pickle=False, autotestdict=False
# (a session is not for pickling; the stub describes the module, and neither directive leaves names in it)
"""The client's side of SMTP (RFC 5321) and LMTP (RFC 2033) as a pure machine: octets in, octets and outcomes out.

Theory: with PIPELINING (RFC 2920) RSET, MAIL, RCPT and DATA of the next transaction ride behind the content of the one
before, so a busy session costs one write and one read per message; without it each command waits for its reply. With
CHUNKING too (RFC 3030) whole transactions go out behind each other (_flight.pyx), once the peer has answered a chunk.
What the next reply answers follows from the state kept in _transactions.pyx.

Invariants:
- A content is sent only when MAIL, at least one RCPT and DATA were accepted and nothing unasked-for has been read; in
  chunks, when the peer is known to take chunks.
- When a reply is malformed, of the wrong kind or too early, the connection is given up: the two sides may be out of
  step, and the next reply might be taken for that to another message.
- What is kept of the peer's octets is at most one unfinished reply, bounded by the reply scanner's REPLY_LIMIT.

Not here: the transport, the clock and the reading of large contents (_client.pyx); TLS.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from relay._fastparse cimport C_LINE_START, stuff, stuff_into
from relay.delivery._delivery cimport BODY_8BIT, DOTS, SMTPUTF8, Delivery, objection
from relay.delivery._replies cimport R_TOO_LONG, ReplyScan, read_extensions, scan_reply
from relay.delivery._flight cimport (
    OFFERED, PROVEN, Flight, ends_lines, envelope_commands, is_not_understood, last_two,
)
from relay.delivery._transactions cimport BANNER, CONNECT, DEAD, EHLO, HELO, QUIT, READY, Transactions, is_too_many


cdef class ClientMachine(Flight):
    """One session. The shell sets ``now`` before each call and writes ``out`` after it."""

    def __init__(self, bytes hostname not None, limits, owner, str next_hop, *, bint lmtp=False, chunking=None,
                 on_greeted=None, double now=0.0):
        Transactions.__init__(self, limits, owner, next_hop, lmtp=lmtp, on_greeted=on_greeted, now=now)
        self.hostname = hostname
        self.chunking = chunking
        self.max_messages = limits.max_messages
        self.window = 1

    @property
    def appetite(self):
        return self.window if self.chunks == PROVEN else 1

    # --- for tests, and as the shape of the shell around the machine ---

    def receive(self, bytes octets not None, double now=0.0):
        """Takes in what was read; returns what is to be written."""
        self.now = now
        self.feed(octets)
        return self.output()

    def output(self):
        """What is to be written; forgets it."""
        out, self.out = self.out, []
        return b"".join(out)

    def eof(self, double now=0.0):
        """The transport is gone: settles everything and reports to the owner."""
        self.now = now
        self.lost()

    def expire(self, double now):
        """``now`` is past ``deadline``: the peer's time for this stage is over. Returns what is to be written."""
        self.now = now
        self.expired()
        return self.output()

    def wake(self):
        """The owner has work: an idle session takes it."""
        self.wake_up()
        return self.output()

    def quit(self):
        """Takes nothing more and ends the session once nothing is in hand."""
        self.quit_soon()
        return self.output()

    def stream(self, bytes octets):
        """One piece of the content file, as it is to be written; None ends the content."""
        if octets is not None:
            return self.stream_chunk(octets)
        self.stream_end()
        return self.output()

    # --- replies in ---

    cdef int feed(self, bytes octets) except -1:
        cdef:
            const char* p
            Py_ssize_t at = 0, end, n
            ReplyScan reply
            bint progress = False
        if self.phase >= DEAD:
            return 0
        if self.tail is not None:
            octets = self.tail + octets
            self.tail = None
        p = PyBytes_AS_STRING(octets)
        n = PyBytes_GET_SIZE(octets)
        while at < n and self.phase < DEAD:
            if self.content_due or self.streaming or self.idle():
                self.on_early_reply(p, at, n)
                break
            end = scan_reply(p, at, n, &reply)
            if end == -1:
                self.tail = octets[at:]
                break
            if end < 0:
                if reply.fault == R_TOO_LONG and reply.code >= 400:
                    self.on_endless_refusal(p, at, n, &reply)
                else:
                    self.fail(self.own_fault("4.5.0", "the peer's reply is malformed"), False)
                break
            progress = True
            self.on_reply(p, at, end, &reply)
            at = end
        if progress and self.phase < DEAD:
            self.move_on()
            self.arm()
        return 0

    cdef int on_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        if self.phase == QUIT:
            self.phase = DEAD
        elif reply.code == 421 and self.ends_left <= 1 and not self.flight:
            # RFC 5321 3.8: may come in answer to any command; the peer closes. (From an LMTP server that still owes
            # replies for further recipients, or when transactions are in flight, it is the reply for one of them: what
            # comes is read, and so is the end.)
            self.fail(self.outcome(p, at, end, reply, self.stage()), True)
        elif self.phase != READY:
            self.on_greeting_reply(p, at, end, reply)
        elif self.ends_left:
            self.quitting = self.quitting or reply.code == 421
            self.on_end_reply(p, at, end, reply)
        elif self.flight:
            self.on_flight_reply(p, at, end, reply)
        elif self.rset_pending:
            if reply.code == 503:
                # Haraka takes nothing behind a content, and says so; the next connection begins with this message.
                return self.give_back()
            if reply.code >= 300:
                self.out_of_step(reply)
            self.rset_pending = False
        else:
            self.on_envelope_reply(p, at, end, reply)
        return 0

    cdef int on_endless_refusal(self, const char* p, Py_ssize_t at, Py_ssize_t n, ReplyScan* reply) except -1:
        """A refusal that has more than REPLY_LIMIT octets: what it has said so far counts, but only for what it answers, and
        the session cannot go on."""
        cdef Py_ssize_t index
        fault = self.own_fault("4.5.0", "the peer's reply is too long")
        reply.lines = max(reply.lines, 2)       # its text is put together from all lines
        outcome = self.outcome(p, at, n, reply, self.stage())
        if self.phase < READY:
            return self.fail(outcome, False)
        if self.ends_left and self.finishing is not None:
            for index in range(len(self.finishing_outcomes)):
                if self.finishing_outcomes[index] is None:
                    self.finishing_outcomes[index] = outcome
                    if self.lmtp:
                        break
        elif not self.flight and not self.rset_pending and self.current is not None:
            if 0 < self.answered <= len(self.outcomes) and self.outcomes[self.answered - 1] is None:
                self.outcomes[self.answered - 1] = outcome
            elif not 0 < self.answered <= len(self.outcomes):
                self.outcomes = [outcome if each is None else each for each in self.outcomes]
        return self.fail(fault, False)

    cdef int on_greeting_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        """Banner, EHLO, HELO or LHLO (RFC 5321 3.1, 3.2, 4.1.1.1; RFC 2033 4.1)."""
        if 300 <= reply.code < 400:
            return self.out_of_step(reply)
        if reply.code >= 500 and self.phase == EHLO and not self.lmtp:
            self.phase = HELO
            self.out.append(b"HELO " + self.hostname + b"\r\n")
        elif reply.code >= 400:
            self.fail(self.outcome(p, at, end, reply, self.stage()), False)
        elif self.phase == BANNER:
            self.phase = EHLO
            self.out.append((b"LHLO " if self.lmtp else b"EHLO ") + self.hostname + b"\r\n")
        else:
            if self.phase == EHLO:
                self.read_offer(p, at, end)
            self.greeted()
        return 0

    cdef int read_offer(self, const char* p, Py_ssize_t at, Py_ssize_t end) except -1:
        read_extensions(p, at, end, &self.offered)
        if (self.offered.chunking and self.offered.pipelining and not self.lmtp and self.chunking is not None
                and self.chunking.allows(self.next_hop)):
            self.chunks = OFFERED
        return 0

    cdef int on_end_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        cdef Py_ssize_t index
        if 300 <= reply.code < 400:
            return self.out_of_step(reply)
        if self.finishing is None:
            # The single dot that answered a 354 nobody can use (RFC 2920 3.1): its reply means nothing to anyone.
            self.ends_left = 0
            return 0
        outcome = self.outcome(p, at, end, reply, "reply")
        for index in range(len(self.finishing_outcomes)):
            if self.finishing_outcomes[index] is None:
                self.finishing_outcomes[index] = outcome
                if self.lmtp:
                    break
        self.ends_left -= 1
        if self.ends_left == 0:
            delivery, outcomes = self.finishing, self.finishing_outcomes
            self.finishing = self.finishing_outcomes = None
            self.finish(delivery, outcomes)
        return 0

    cdef int on_envelope_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        cdef Py_ssize_t index = self.answered
        if index > len(self.current.recipients):
            return self.on_data_reply(p, at, end, reply)
        if 300 <= reply.code < 400:
            return self.out_of_step(reply)
        if index == 0 and reply.code == 503 and self.messages:
            # Of what was before, not of this message (RFC 5321 4.2.2): without PIPELINING no RSET came between.
            return self.give_back()
        self.answered += 1
        if index == 0:
            if reply.code >= 400:
                self.mail_refused = True
                outcome = self.outcome(p, at, end, reply, "mail")
                self.outcomes = [outcome] * len(self.outcomes)
        elif reply.code < 300:
            self.accepted += 1
        elif self.outcomes[index - 1] is None:
            self.outcomes[index - 1] = self.outcome(p, at, end, reply, "rcpt", is_too_many(reply, self.accepted))
        if not self.offered.pipelining:
            if self.mail_refused:
                self.finish_current(False)
            elif index == len(self.current.recipients) and not self.accepted:
                self.finish_current(True)
            else:
                self.send_next_command()
        return 0

    cdef int on_data_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        """RFC 2920 3.1: DATA was sent before it was known whether any recipient is accepted."""
        if self.is_probe:
            return self.on_probe_reply(p, at, end, reply)
        if reply.code < 300:
            return self.out_of_step(reply)
        self.answered += 1
        if reply.code >= 400:
            self.end_without_content(p, at, end, reply)
        elif self.mail_refused and self.accepted or self.lmtp and not self.accepted:
            # A dot might deliver an empty message here, or is answered who knows how often: say nothing, leave.
            self.out_of_step(reply)
        elif self.accepted:
            self.content_due = True
        else:
            self.out.append(b".\r\n")
            self.ends_left = 1
            self.finish_current(False)
        return 0

    cdef int on_probe_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        """The reply to a chunk of one octet. RFC 3030 2: when it is refused, RSET must follow."""
        if 300 <= reply.code < 400 or self.mail_refused and self.accepted:
            return self.out_of_step(reply)
        self.answered += 1
        if self.accepted and reply.code < 300:
            self.chunks = PROVEN
            self.chunking.taken()
            self.content_due = True
        elif self.accepted and is_not_understood(reply):
            # The octet stands in its command line now: no way to go on.
            self.chunking.refused(self.next_hop)
            self.give_back()
        else:
            self.end_without_content(p, at, end, reply)
        return 0

    cdef int end_without_content(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1:
        cdef Py_ssize_t index
        outcome = self.outcome(p, at, end, reply, "data")
        for index in range(len(self.outcomes)):
            if self.outcomes[index] is None:
                self.outcomes[index] = outcome
        return self.finish_current(not self.offered.pipelining)     # with it the next transaction begins with RSET

    cdef int on_early_reply(self, const char* p, Py_ssize_t at, Py_ssize_t n) except -1:
        """Octets that answer nothing we sent: a farewell, a refusal in the middle of the content, or nonsense."""
        cdef ReplyScan reply
        cdef Py_ssize_t end = scan_reply(p, at, n, &reply)
        fault = self.own_fault("4.5.0", "the peer sent a reply before it was asked")
        if end > 0 and reply.code >= 400 and (self.current is not None or reply.code == 421):
            self.fail(self.outcome(p, at, end, &reply, self.stage()), reply.code == 421)
            if self.why is not None:
                # A message refused for good does not make the next hop one that refuses for good.
                self.why = fault
            return 0
        return self.fail(fault, False)

    # --- octets out ---

    cdef int move_on(self) except -1:
        """Does what the replies so far allow: the content, the next envelope, QUIT."""
        if self.phase != READY:
            return 0
        if self.content_due:
            self.content_due = False
            self.send_content()
        if self.current is not None or self.finishing is not None and self.chunks != PROVEN:
            return 0
        if (self.ends_left or self.rset_pending) and not self.offered.pipelining:
            return 0
        if len(self.flight) <= self.window // 2:
            self.take_next()
        if self.idle() and (self.quitting or self.taken >= self.max_messages):
            self.phase = QUIT
            self.out.append(b"QUIT\r\n")
            self.arm()
        return 0

    cdef int take_next(self) except -1:
        """Asks the owner, and sends the envelope of what it gives; or as many whole transactions as may be in flight."""
        cdef Delivery delivery
        cdef tuple refusal
        while self.may_send_more() and not self.quitting and self.phase == READY and self.taken < self.max_messages:
            self.is_calling = True
            delivery = self.owner.take(self)
            self.is_calling = False
            if delivery is None:
                return 0
            if self.phase != READY:
                # The owner aborted from inside take().
                self.unsent.append(delivery)
                return 0
            self.taken += 1
            delivery.taken_at = self.now
            refusal = objection(delivery, self.offered.smtputf8, self.offered.eight_bit_mime, self.offered.size_limit)
            if delivery.refused:
                for index, why in delivery.refused.items():
                    delivery.refused[index] = self.new_outcome(why[0], 0, why[1], why[2], "helo")
            if refusal is None and delivery.recipients:
                if self.chunks != PROVEN or not self.goes_in_chunks(delivery):
                    return self.send_mail(delivery)
                self.send_whole(delivery)
                continue
            # The answer to EHLO, or the lack of one, is what decided.
            outcomes = []
            if refusal is not None:
                outcome = self.new_outcome(refusal[0], 0, refusal[1], refusal[2], "helo")
                outcomes = [outcome] * len(delivery.recipients)
            self.finish(delivery, outcomes)
        return 0

    cdef int send_mail(self, Delivery delivery) except -1:
        """MAIL, and with PIPELINING all RCPTs and DATA, or the chunk that asks, behind it; RSET before it but the first time."""
        # Postfix 3.7 keeps a transaction whose content its smtpd_end_of_data_restrictions refused: without RSET the next
        # MAIL gets a 503, and the DATA behind it ends that process, with the refusal not yet written.
        cdef bint resets = self.sent > 0 and self.offered.pipelining
        cdef bint has_size = self.offered.has_size
        self.current = delivery
        self.outcomes = [None] * len(delivery.recipients)
        self.answered = self.accepted = 0
        self.sent = 1
        self.mail_refused = False
        self.is_probe = self.chunks == OFFERED and self.goes_in_chunks(delivery)
        self.rset_pending = resets
        if not self.offered.pipelining:
            self.out.append(envelope_commands(delivery, resets, has_size, None) + b"\r\n")
        elif self.is_probe:
            self.out.append(envelope_commands(delivery, resets, has_size, b"\r\nBDAT 1\r\n"))
            self.out.append(bytes(delivery.content[:1]))
        else:
            self.out.append(envelope_commands(delivery, resets, has_size, b"\r\nDATA\r\n"))
        return 0

    cdef int send_next_command(self) except -1:
        """The next of RCPT, ..., RCPT, DATA, without PIPELINING."""
        if self.sent <= len(self.current.recipients):
            self.out.append(b"RCPT TO:<" + <bytes>self.current.recipients[self.sent - 1] + b">\r\n")
        else:
            self.out.append(b"DATA\r\n")
        self.sent += 1
        return 0

    cdef int send_content(self) except -1:
        cdef bytes octets
        cdef object content = self.current.content
        self.current.content_at = self.now
        if self.is_probe:
            return self.send_rest()
        if self.current.path is not None:
            self.streaming = True
            self.streamed = 0
            self.stuff_state = C_LINE_START
            self.stream_tail = b"\r\n"
            if content is not None:
                self.out.append(self.stream_chunk(bytes(content)))
            return 0
        if self.current.flags & DOTS:
            octets = stuff(content if isinstance(content, bytes) else bytes(content))
            content = octets
        self.out.append(content)
        return self.send_end(not ends_lines(content))

    cdef int send_rest(self) except -1:
        """The content but for its first octet, in one chunk."""
        cdef object content = self.current.content
        cdef bint needs_crlf = not ends_lines(content)
        self.out.append(b"BDAT %d LAST\r\n" % (len(content) - 1 + 2 * needs_crlf))
        self.out.append(memoryview(content)[1:])
        if needs_crlf:
            self.out.append(b"\r\n")
        return self.content_sent()

    cdef int send_end(self, bint needs_crlf) except -1:
        self.out.append(b"\r\n.\r\n" if needs_crlf else b".\r\n")
        return self.content_sent()

    cdef int content_sent(self) except -1:
        """The content is with the peer; behind it goes what may ride along."""
        self.finishing = self.current
        self.finishing_outcomes = self.outcomes
        self.ends_left = self.accepted if self.lmtp else 1
        self.current = self.outcomes = None
        if self.offered.pipelining:
            self.take_next()
        return 0

    cdef bytes stream_chunk(self, bytes octets):
        """``octets`` of the content file as they go over the wire."""
        cdef bytes stuffed
        self.streamed += len(octets)
        self.stream_tail = last_two(self.stream_tail + last_two(octets))
        self.arm()
        if not self.current.flags & DOTS:
            return octets
        stuffed = PyBytes_FromStringAndSize(NULL, 2 * len(octets))
        size = stuff_into(&self.stuff_state, PyBytes_AS_STRING(octets), 0, len(octets), PyBytes_AS_STRING(stuffed))
        return stuffed[:size]

    cdef int stream_end(self) except -1:
        """The file has been read to its end: ends the data, but only when it was the whole content."""
        if not self.streaming:
            return 0
        if self.streamed != self.current.size:
            return self.fail(self.own_fault("4.3.0", "the stored content has not its recorded size"), False)
        self.streaming = False
        self.send_end(self.stream_tail != b"\r\n")
        self.arm()
        return 0

    # --- called from outside ---

    cdef int expired(self) except -1:
        if self.phase >= DEAD or self.now < self.deadline:
            return 0
        if self.phase == QUIT:
            self.phase = DEAD
        elif self.phase == CONNECT:
            self.fail(self.own_fault("4.4.1", "no answer to the connection attempt in time"), False)
        elif self.idle():
            self.quitting = True
            self.move_on()
        else:
            self.fail(self.own_fault("4.4.2", f"timed out at stage {self.stage()}"), False)
        return 0

    cdef int quit_soon(self) except -1:
        self.quitting = True
        if self.idle() and not self.is_calling:
            self.move_on()
        return 0

    cdef int wake_up(self) except -1:
        if self.idle() and not self.is_calling:
            self.move_on()
            if not self.idle():
                self.arm()
        return 0
