# cython: language_level=3, auto_pickle=False, autotestdict=False
# (a session is not for pickling; the stub describes the module, and neither directive leaves names in it)
"""What a client session has in hand, and how it is settled: every delivery taken gets its outcomes or goes back.

Theory: ``finishing`` has had its content sent and waits for the reply to its end of data (LMTP: one reply per accepted
recipient, RFC 2033 4.2); those in ``flight`` were sent as a whole behind it (_flight.pyx); ``current`` has (part of) its
envelope sent. Replies come in the order of the commands, so what the next reply answers follows from this state: first the
``ends_left`` replies to the end of data, then those in flight, then RSET, then what is left of ``current``; there is no
list of what was asked.

Invariants:
- Each delivery taken is given back exactly once: by ``finished`` with one outcome per recipient, or as unsent.
- A recipient is delivered only by a positive reply to the end of data. Whatever cannot be understood is temporary.
- A deadline moves only when a whole reply was read or octets of ours were accepted, never by a trickle of octets.

Not here: reading replies and writing commands (_machine.pyx).
"""

cimport cython

from relay.delivery._delivery cimport Delivery, restore
from relay.delivery._replies cimport ReplyScan, reply_text
from relay.mail._named cimport named

from relay.mail.outcome import DEFERRED as _DEFERRED, DELIVERED as _DELIVERED, FAILED as _FAILED, Outcome as _Outcome

cdef str DEFERRED = _DEFERRED, DELIVERED = _DELIVERED, FAILED = _FAILED
cdef Py_ssize_t TEXT_LIMIT = 1000
cdef str MAY_REPEAT = "; the message may have been accepted, it will be sent again"


@cython.freelist(64)
cdef class Sent:
    pass


cdef class Transactions:
    """The state of a session, its outcomes and its end."""

    def __init__(self, limits, owner, str next_hop, *, bint lmtp=False, on_greeted=None, double now=0.0):
        self.limits = limits
        self.owner = owner
        self.next_hop = next_hop
        self.lmtp = lmtp
        self.on_greeted = on_greeted
        self.now = now
        self.phase = BANNER
        self.out = []
        self.flight = []
        self.unsent = []
        self.arm()

    @property
    def is_greeted(self):
        return READY <= self.phase <= QUIT

    @property
    def is_idle(self):
        return self.idle()

    @property
    def is_closed(self):
        return self.phase >= DEAD

    @property
    def is_streaming(self):
        return self.streaming

    cdef bint idle(self) noexcept:
        return (self.phase == READY and self.current is None and self.finishing is None and not self.ends_left
                and not self.flight and not self.rset_pending)

    cdef str stage(self):
        """What the peer is asked for at present (Outcome.stage)."""
        cdef Sent sent
        if self.phase <= BANNER:
            return "connect" if self.phase == CONNECT else "banner"
        if self.phase <= HELO:
            return "helo"
        if self.streaming or self.content_due:
            return "content"
        if self.ends_left:
            return "reply"
        if self.phase != READY:
            return "quit"
        if self.flight:
            sent = <Sent>self.flight[0]
            return "mail" if sent.answered < 2 else "rcpt" if sent.answered < 2 + len(sent.outcomes) else "reply"
        if self.current is None:
            return "mail" if self.rset_pending else "idle"
        if self.answered == 0:
            return "mail"
        return "rcpt" if self.answered <= len(self.current.recipients) else "data"

    cdef int arm(self) except -1:
        """Sets the deadline of the present stage (RFC 5321 4.5.3.2)."""
        self.deadline = self.now + <double>getattr(self.limits, self.stage())
        return 0

    # --- outcomes ---

    cdef object new_outcome(self, str kind, int code, str status, str text, str stage):
        return named(_Outcome, (kind, code, status, text, stage, self.next_hop))

    cdef int greeted(self) except -1:
        self.phase = READY
        on_greeted, self.on_greeted = self.on_greeted, None
        if on_greeted is not None:
            self.is_calling = True
            on_greeted(None)
            self.is_calling = False
        return 0

    cdef int finish_current(self, bint needs_rset) except -1:
        """The transaction ended without a content; RSET clears what the peer keeps of it (RFC 5321 4.1.1.5)."""
        delivery, outcomes = self.current, self.outcomes
        self.current = self.outcomes = None
        if needs_rset:
            self.rset_pending = True
            self.out.append(b"RSET\r\n")
        return self.finish(delivery, outcomes)

    cdef int finish(self, Delivery delivery, list outcomes) except -1:
        self.messages += 1
        delivery.finished_at = self.now
        if delivery.original is not None:
            outcomes = restore(delivery, outcomes)
        # From inside a call the owner can only set things; the machine goes on by itself when it returns.
        self.is_calling = True
        self.owner.finished(self, delivery, outcomes)
        self.is_calling = False
        return 0

    cdef object outcome(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply, str stage,
                        bint is_temporary=False):
        """The meaning of a reply that ends the matter for a recipient: by its code (RFC 5321 4.2.1), but when it is known
        to be temporary. Code and status are those that were said."""
        cdef int kind = 4 if is_temporary else reply.code // 100
        cdef str status, text
        if reply.status_class and (reply.status_subject or reply.status_detail):
            status = f"{reply.status_class}.{reply.status_subject}.{reply.status_detail}"
        else:
            status = "2.0.0" if kind == 2 else "5.0.0" if kind == 5 else "4.0.0"
        if reply.lines == 1:
            text = p[reply.text_start:min(reply.text_end, reply.text_start + TEXT_LIMIT)].decode("utf-8", "backslashreplace")
        else:
            text = reply_text(p, at, end)[:TEXT_LIMIT].decode("utf-8", "backslashreplace")
        if not text.isprintable():
            text = "".join([letter if letter.isprintable() else "?" for letter in text])
        return self.new_outcome(DELIVERED if kind == 2 else FAILED if kind == 5 else DEFERRED, reply.code, status, text, stage)

    cdef object own_fault(self, str status, str text):
        """A temporary outcome in our own words, at the present stage."""
        return self.new_outcome(DEFERRED, 0, status, text, self.stage())

    # --- ends ---

    cdef int out_of_step(self, ReplyScan* reply) except -1:
        return self.fail(self.own_fault("4.5.0", f"the peer answered {reply.code} out of step"), False)

    cdef bint is_unanswered(self) noexcept:
        """Whether the peer has served before, or has nothing in hand, and has answered nothing of what it has in hand but
        with a farewell."""
        cdef Sent first
        if self.idle():
            return True
        if not self.messages or self.ends_left:
            return False
        if self.flight:
            first = <Sent>self.flight[0]
            return first.answered <= 1 or first.is_farewell and first.answered == 2
        return self.current is not None and self.answered == 0

    cdef int fail(self, object why, bint hands_back) except -1:
        """The session is over because of ``why``: settles what is in hand; the transport is then to be closed.

        ``hands_back``: the peer just left (421, connection lost), so that a delivery it has not answered at all is
        not to blame for it when the connection has served before.
        """
        cdef Delivery current = self.current, finishing = self.finishing
        cdef Sent sent
        cdef list outcomes = self.outcomes, finishing_outcomes = self.finishing_outcomes, flight = self.flight
        cdef bint rode_behind = self.ends_left > 0 or self.rset_pending or len(flight) > 0
        cdef bint has_end = self.ends_left > 0
        cdef bint blames_nobody = hands_back and self.is_unanswered()
        if self.phase >= DEAD:
            return 0
        self.forget()
        if blames_nobody:
            for sent in flight:
                self.unsent.append(sent.delivery)
            if current is not None:
                self.unsent.append(current)
            return 0
        self.why = why
        if finishing is not None:
            # Whatever it was that failed, these wait for the reply to their end of data; a refusal by name (421 in
            # place of that reply) is one too, and temporary.
            self.finish(finishing, _filled(finishing_outcomes, why if why.code else _may_repeat(why)))
        self.fail_flight(flight, why, hands_back, has_end)
        if current is not None and rode_behind:
            self.unsent.append(current)
        elif current is not None:
            self.finish(current, _filled(outcomes, why))
        return 0

    cdef int fail_flight(self, list flight, object why, bint hands_back, bint rode_behind) except -1:
        """The same for those in flight. When the peer just left, only the one it has begun to answer is to blame; when we
        give it up it may accept all of them, and none may be sent again at once."""
        cdef Sent sent
        for sent in flight:
            if hands_back and (rode_behind or sent is not flight[0]):
                self.unsent.append(sent.delivery)
            else:
                self.finish(sent.delivery, _filled(sent.outcomes, why if why.code else _may_repeat(why)))
        return 0

    cdef int forget(self) except -1:
        """The session is over; what was in hand is the caller's."""
        self.phase = DEAD
        self.current = self.finishing = self.outcomes = self.finishing_outcomes = self.tail = self.why = None
        self.streaming = self.content_due = self.rset_pending = False
        self.ends_left = 0
        self.flight = []
        self.unsent = []
        return 0

    cdef int give_back(self) except -1:
        """Ends the session in order; ``current`` goes back unsent."""
        cdef Delivery current = self.current
        self.forget()
        if current is not None:
            self.unsent.append(current)
        return 0

    cdef bint take_back(self) except -1:
        """Ends the session when no content is with the peer that it has not answered for: what is in hand goes back
        unsent, and nothing can be doubled (RFC 5321 4.1.1.4: without its end of data a content is not accepted)."""
        if self.phase >= DEAD or self.finishing is not None or self.flight:
            return False
        self.give_back()
        return True

    cdef int lost(self) except -1:
        """The transport is gone. Tells the owner, once."""
        if self.phase == OVER:
            return 0
        if self.phase == QUIT:
            self.phase = DEAD
        elif self.phase < DEAD:
            self.fail(self.own_fault("4.4.2", f"connection lost at stage {self.stage()}"), True)
        self.phase = OVER
        on_greeted, self.on_greeted = self.on_greeted, None
        if on_greeted is not None:
            on_greeted(self.why)
        else:
            self.owner.closed(self, self.unsent, self.why)
        self.unsent = []
        return 0


cdef bint is_too_many(ReplyScan* reply, Py_ssize_t accepted) noexcept:
    """Whether a refused RCPT, ``accepted`` others of the transaction having been accepted, means that no more recipients
    are taken in this one. RFC 5321 4.5.3.1.10: 452, or 552 in older servers. It cannot mean that of the first, nor with
    a status other than X.5.3 (RFC 3463 3.6): then it is what it says, a mailbox that is full for good (4.2.3)."""
    return (reply.code == 552 and accepted > 0
            and (not reply.status_class or reply.status_subject == 5 and reply.status_detail == 3))


cdef list _filled(list outcomes, object why):
    return [why if outcome is None else outcome for outcome in outcomes]


cdef object _may_repeat(object why):
    return why._replace(stage="reply", text=why.text + MAY_REPEAT)
