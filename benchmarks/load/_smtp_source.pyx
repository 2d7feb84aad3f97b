# cython: language_level=3
"""The generator's side of SMTP and LMTP (RFC 5321, 2920, 3030, 2033): the transactions of a session.

Theory: a session has a ring of transactions. New ones are put at its tail when the dialogue allows (may_begin());
replies come in the order of the commands, so each reply is for the oldest transaction that still waits for one, and
what it waits for is its ``awaits``. The four dialogues differ in two places only: when a transaction may begin, and
how much of it is written at once.

    lock-step   one command, one reply
    grouped     MAIL RCPT.. DATA | content                                  RFC 2920: DATA ends its group
    pipelined   content + MAIL RCPT.. DATA of the next | content + ..       RFC 2920: the 354 is waited for
    streamed    MAIL RCPT.. DATA content MAIL RCPT.. | ..                   nothing is waited for; RFC 3030 with BDAT

Invariants: everything put out is expected exactly once; a connection that ends settles every transaction of its ring.

Not here: the connection and its opening (_smtp_opening.pyx), which message is next and what is counted of it
(_drive.pyx), what it contains (_messages.pyx).
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from benchmarks.load._ledger cimport BROKEN, REFUSED, UNSURE
from benchmarks.load._loop cimport read_clock
from benchmarks.load._mark cimport MARK_SIZE
from benchmarks.load._messages cimport ADDRESS_ROOM, Template, write_decimal
from benchmarks.load._replies cimport S_CONTENT, S_DATA, S_MAIL, S_QUIT, S_RCPT, S_RSET, stage_name
from benchmarks.load._smtp_opening cimport LOCK_STEP, PIPELINED, READY, STREAMED, Opening, SmtpLoad


cdef struct Transaction:
    uint32_t number
    int awaits                  # the Stage whose reply comes next
    uint32_t recipient          # index of the recipient whose reply comes next (RCPT; LMTP: content)
    uint32_t accepted           # recipients, at RCPT
    uint32_t total              # of their hashes
    uint32_t answered           # LMTP: recipients whose reply to the content has come
    uint32_t delivered          # recipients, by the replies to the content
    uint32_t delivered_total
    bint mail_accepted
    bint is_refused
    bint content_begun
    int64_t due, begun_at
    int64_t sent_at             # the end of data was written; 0: not yet
    int64_t octets
    unsigned char* taken        # per recipient: accepted at RCPT


cdef class SmtpSession(Opening):
    cdef Transaction* ring
    cdef unsigned char* flags
    cdef int head

    def __cinit__(self, SmtpLoad load not None):
        cdef int i
        cdef uint32_t recipients = load.messages.recipients
        self.ring = <Transaction*>calloc(load.ring_size, sizeof(Transaction))
        self.flags = <unsigned char*>calloc(load.ring_size, recipients)
        if not self.ring or not self.flags:
            raise MemoryError
        for i in range(load.ring_size):
            self.ring[i].taken = self.flags + i * recipients

    def __dealloc__(self):
        free(self.ring)
        free(self.flags)

    cdef int break_off(self, str how) except -1:
        cdef Transaction* t = &self.ring[self.head]
        self.head = (self.head + 1) % self.load.ring_size
        self.count -= 1
        self.drive.error(how + stage_name(S_CONTENT if t.content_begun else t.awaits))
        if not t.content_begun:
            return self.drive.message_failed(t.number, BROKEN, 0, 0, 0)
        # Streamed: the replies to RCPT may not have come, and any recipient may have been accepted.
        return self.drive.message_failed(
            t.number, UNSURE, t.accepted if t.awaits == S_CONTENT else self.load.messages.recipients, t.total, 0)

    # --- replies ---

    cdef int reply(self, int code) except -1:
        """A reply after the opening: for RSET, for the oldest transaction, or for QUIT."""
        cdef Transaction* t
        if self.resets:
            self.resets -= 1
            self.load.replies.count(S_RSET, code)
            return 0
        if self.count == 0:
            if self.has_said_goodbye:
                self.load.replies.count(S_QUIT, code)
                return self.end("left")
            self.drive.error(f"idle {code}")
            return self.end("refused")
        t = &self.ring[self.head]
        self.load.replies.count(t.awaits, code)
        if t.awaits == S_MAIL:
            self.mail_reply(t, code)
        elif t.awaits == S_RCPT:
            self.rcpt_reply(t, code)
        elif t.awaits == S_DATA:
            self.data_reply(t, code)
        else:
            self.content_reply(t, code)
        # 421: the server closes the connection (RFC 5321 3.8).
        if code == 421 and self.state == READY:
            return self.end("refused")
        return 0

    cdef int mail_reply(self, Transaction* t, int code) except -1:
        if code == 250:
            t.mail_accepted = True
        else:
            self.drive.error(f"mail {code}")
            t.is_refused = True
            if self.load.dialogue == LOCK_STEP or code == 421:
                return self.finish(t)
        t.awaits = S_RCPT
        if self.load.dialogue == LOCK_STEP:
            return self.put_recipient(t)
        return 0

    cdef int rcpt_reply(self, Transaction* t, int code) except -1:
        if code == 250 or code == 251:
            t.taken[t.recipient] = True
            t.accepted += 1
            t.total += self.load.messages.recipient_hash(t.number, t.recipient)
        else:
            t.taken[t.recipient] = False
            if not t.is_refused:
                self.drive.error(f"rcpt {code}")
        t.recipient += 1
        if code == 421:
            t.is_refused = True
            return self.finish(t)
        if t.recipient < self.load.messages.recipients:
            return self.put_recipient(t) if self.load.dialogue == LOCK_STEP else 0
        t.recipient = 0
        t.awaits = S_CONTENT if self.load.uses_bdat else S_DATA
        if self.load.dialogue == LOCK_STEP:
            if not t.accepted:
                self.needs_reset = True
                return self.finish(t)
            return self.put(b"DATA\r\n", 6)
        return 0

    cdef int data_reply(self, Transaction* t, int code) except -1:
        if code != 354:
            if t.accepted:
                self.drive.error(f"data {code}")
            if t.content_begun:
                # The server takes the content for commands: there is no way back into step.
                self.finish(t)
                return self.end("out of step")
            self.needs_reset = t.mail_accepted
            return self.finish(t)
        t.awaits = S_CONTENT
        if t.content_begun:
            return 0
        if t.accepted:
            return self.put_content(t)
        return self.put(b".\r\n", 3)        # RFC 2920 3.1

    cdef int content_reply(self, Transaction* t, int code) except -1:
        cdef uint32_t i = t.recipient
        if not self.load.is_lmtp or not t.accepted:
            if code == 250:
                t.delivered, t.delivered_total = t.accepted, t.total
            elif t.accepted:
                self.drive.error(f"content {code}")
            if code != 250 and self.load.uses_bdat:
                self.needs_reset = True
            return self.finish(t)
        # LMTP: one reply for each recipient that was accepted (RFC 2033 4.2).
        while not t.taken[i]:
            i += 1
        t.answered += 1
        t.recipient = i + 1
        if code == 250:
            t.delivered += 1
            t.delivered_total += self.load.messages.recipient_hash(t.number, i)
        else:
            self.drive.error(f"content {code}")
        return 0 if t.answered < t.accepted else self.finish(t)

    cdef int finish(self, Transaction* t) except -1:
        """The oldest transaction has all its replies."""
        cdef uint32_t recipients = self.load.messages.recipients
        self.head = (self.head + 1) % self.load.ring_size
        self.count -= 1
        if not t.delivered:
            return self.drive.message_failed(t.number, REFUSED, 0, 0, recipients)
        return self.drive.message_accepted(
            t.number, t.delivered, t.delivered_total, recipients - t.delivered, t.octets,
            t.due, t.begun_at, t.sent_at if t.sent_at else self.loop.now)

    # --- commands ---

    cdef bint may_begin(self) noexcept:
        cdef Transaction* t = &self.ring[self.head]
        if self.has_said_goodbye or (self.count and self.needs_reset):
            return False
        if self.load.dialogue == STREAMED:
            return self.count < self.load.ring_size
        if self.count == 0:
            return self.load.dialogue != LOCK_STEP or self.resets == 0
        return self.load.dialogue == PIPELINED and self.count == 1 and t.content_begun

    cdef int advance(self) except -1:
        """Puts out what may go now: RSET, transactions, QUIT."""
        cdef int64_t number, due = 0
        while self.may_begin():
            if self.load.per_connection and self.begun >= self.load.per_connection:
                if self.count == 0 or self.load.dialogue >= PIPELINED:
                    self.say_goodbye()
                return 0
            if self.needs_reset:
                self.needs_reset = False
                self.resets += 1
                self.put(b"RSET\r\n", 6)
                continue
            if self.has_reserved:
                self.has_reserved = False
                number, due = self.reserved_number, self.reserved_due
            else:
                number = self.drive.take(&due)
                if number < 0:
                    return self.drive.rest(self) if self.count == 0 else 0
            self.begin(<uint32_t>number, due)
        return 0

    cdef int begin(self, uint32_t number, int64_t due) except -1:
        cdef SmtpLoad load = self.load
        cdef int at = (self.head + self.count) % load.ring_size
        cdef Transaction* t = &self.ring[at]
        cdef unsigned char* taken = t.taken
        memset(t, 0, sizeof(Transaction))
        t.taken = taken
        t.number, t.due, t.begun_at = number, due, self.loop.now
        t.awaits = S_MAIL
        t.octets = MARK_SIZE + load.messages.template(number).plain_n
        self.count += 1
        self.begun += 1
        self.put_mail(t)
        if load.dialogue == LOCK_STEP:
            return 0
        self.put_recipients(t)
        if not load.uses_bdat:
            self.put(b"DATA\r\n", 6)
        if load.dialogue == STREAMED:
            self.put_content(t)
        return 0

    cdef int put_mail(self, Transaction* t) except -1:
        cdef char[32] size
        cdef size_t n
        self.put_bytes(self.load.mail)
        if self.offers_size:
            n = write_decimal(size, t.octets)
            self.put(b" SIZE=", 6)
            self.put(size, n)
        return self.put(b"\r\n", 2)

    cdef int put_recipients(self, Transaction* t) except -1:
        cdef char[ADDRESS_ROOM] command
        cdef bytes group = self.load.messages.group(t.number)
        cdef uint32_t i
        if group is not None:
            return self.put_bytes(group)
        for i in range(self.load.messages.recipients):
            self.put(command, self.load.messages.write_recipient(command, t.number, i))
        return 0

    cdef int put_recipient(self, Transaction* t) except -1:
        cdef char[ADDRESS_ROOM] command
        return self.put(command, self.load.messages.write_recipient(command, t.number, t.recipient))

    cdef int put_content(self, Transaction* t) except -1:
        cdef char[MARK_SIZE] mark
        cdef char[32] size
        cdef Template* template = self.load.messages.template(t.number)
        self.load.messages.write_mark(mark, t.number, template)
        if self.load.uses_bdat:
            self.put(b"BDAT ", 5)
            self.put(size, write_decimal(size, t.octets))
            self.put(b" LAST\r\n", 7)
            self.put(mark, MARK_SIZE)
            self.refer(template.plain, template.plain_n)
        else:
            self.put(mark, MARK_SIZE)
            self.refer(template.stuffed, template.stuffed_n)
        t.content_begun = self.has_unsent = True
        return 0

    cdef int drained(self) except -1:
        cdef int64_t now
        cdef int i
        cdef Transaction* t
        if not self.has_unsent:
            return 0
        self.has_unsent = False
        now = read_clock()
        for i in range(self.count):
            t = &self.ring[(self.head + i) % self.load.ring_size]
            if t.content_begun and not t.sent_at:
                t.sent_at = now
        return 0
