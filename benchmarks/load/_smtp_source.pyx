# cython: language_level=3
"""The generator's side of SMTP and LMTP (RFC 5321, 2920, 3030, 2033): one session, and what all sessions share.

Theory: a session has a ring of transactions. New ones are put at its tail when the dialogue allows (may_begin()); replies come in the order of
the commands, so each reply is for the oldest transaction that still waits for one, and what it waits for is its ``awaits``. The four dialogues differ in
two places only: when a transaction may begin, and how much of it is written at once.

    lock-step   one command, one reply
    grouped     MAIL RCPT.. DATA | content                                        RFC 2920
    pipelined   content of this one + MAIL RCPT.. DATA of the next | ..           RFC 2920: DATA is the last of its group, 354 is waited for
    streamed    MAIL RCPT.. DATA content MAIL RCPT.. | ..                         nothing is waited for; with BDAT this is RFC 3030's right

Invariants: everything put out is expected exactly once; a connection that ends settles every transaction of its ring.

Not here: which message is next and what is counted of it (_drive.pyx), what it contains (_messages.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memset

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char* a, const char* b, size_t n)

from benchmarks.load._drive cimport Client, Drive
from benchmarks.load._ledger cimport BROKEN, REFUSED, UNSURE
from benchmarks.load._loop cimport Loop, read_clock
from benchmarks.load._mark cimport MARK_SIZE
from benchmarks.load._messages cimport ADDRESS_ROOM, Messages, Template, write_decimal
from benchmarks.load._replies cimport (
    S_AUTH, S_CONTENT, S_DATA, S_GREETING, S_HELO, S_MAIL, S_QUIT, S_RCPT, S_RSET, S_TLS, Replies, reply_code, stage_name,
)
from benchmarks.load._stream cimport Target, target_of

import base64

from benchmarks.load.tls import Channel

cdef enum Dialogue:
    LOCK_STEP
    GROUPED
    PIPELINED
    STREAMED

cdef enum State:
    CLOSED
    OPENING                     # up to the end of EHLO, TLS and AUTH; ``stage`` says where
    READY

cdef enum:
    RETRY = 50_000_000          # nanoseconds before a new connection after a failed one

cdef dict _DIALOGUES = {"lock-step": LOCK_STEP, "grouped": GROUPED, "pipelined": PIPELINED, "streamed": STREAMED}


cdef struct Transaction:
    uint32_t number
    int awaits                  # the Stage whose reply comes next
    uint32_t recipient          # index of the recipient whose reply comes next (RCPT; LMTP: content)
    uint32_t accepted           # recipients, at RCPT
    uint32_t total              # of their hashes
    uint32_t delivered          # recipients, by the replies to the content
    uint32_t delivered_total
    bint mail_accepted
    bint is_refused
    bint content_begun
    int64_t due, begun_at
    int64_t sent_at             # the end of data was written; 0: not yet
    int64_t octets
    unsigned char* taken        # per recipient: accepted at RCPT


cdef class SmtpLoad:
    """What the sessions of one generator share. ``plan``: a plan.GeneratePlan."""
    cdef readonly Drive drive
    cdef Messages messages
    cdef readonly Replies replies
    cdef Target target
    cdef Dialogue dialogue
    cdef bint is_lmtp, uses_bdat, implicit_tls, starttls, resumes
    cdef int ring_size
    cdef int64_t per_connection
    cdef bytes hello, mail, auth
    cdef object tls_context, tls_session
    cdef str server_name
    cdef readonly object fatal      # why the run makes no sense (str), or None

    def __init__(self, Drive drive not None, Messages messages not None, plan, tuple target not None, tls_context=None):
        self.drive, self.messages, self.replies = drive, messages, Replies()
        self.target = target_of(target)
        self.dialogue = _DIALOGUES[plan.dialogue]
        self.is_lmtp = plan.protocol == "lmtp"
        self.uses_bdat = plan.bdat
        self.implicit_tls, self.starttls = plan.tls == "implicit", plan.tls == "starttls"
        self.resumes, self.tls_context = plan.resumption, tls_context
        self.server_name = plan.server.rpartition(":")[0].strip("[]") if plan.ca else None
        self.ring_size = plan.in_flight if self.dialogue == STREAMED else 2
        self.per_connection = plan.messages_per_connection
        self.hello = b"%s load.test\r\n" % (b"LHLO" if self.is_lmtp else b"EHLO")
        self.mail = b"MAIL FROM:<%s>" % plan.sender.encode()
        self.auth = None
        if plan.account is not None:
            name, _, password = plan.account.partition(":")
            self.auth = b"AUTH PLAIN %s\r\n" % base64.b64encode(b"\0%s\0%s" % (name.encode(), password.encode()))

    def sessions(self, int count):
        return [SmtpSession(self) for _ in range(count)]

    def give_up(self, why):
        """Ends the run: the server cannot do what was asked for."""
        self.fatal = why
        self.drive.finish("impossible")
        self.drive.loop.stop()


cdef class SmtpSession(Client):
    cdef SmtpLoad load
    cdef State state
    cdef int stage                  # while OPENING: whose reply is waited for
    cdef bint is_up                 # connected, and counted as such
    cdef bint is_secure             # STARTTLS is done
    cdef bint has_said_goodbye, has_reserved, had_outcome
    cdef bint offers_size, offers_starttls, offers_pipelining, offers_chunking
    cdef int64_t reserved_number, reserved_due      # a message that waits for its connection
    cdef int64_t opened_at, progress_at
    cdef int64_t begun              # transactions on this connection
    cdef bint needs_reset           # a failed transaction left the server in its middle
    cdef int resets                 # RSET commands whose replies have not come
    cdef Transaction* ring
    cdef unsigned char* flags
    cdef int head, count
    cdef bint has_unsent            # a content was put out, and its end is not known to be written

    def __cinit__(self, SmtpLoad load not None):
        cdef int i
        cdef uint32_t recipients = load.messages.recipients
        self.load, self.drive, self.loop = load, load.drive, load.drive.loop
        self.ring = <Transaction*>calloc(load.ring_size, sizeof(Transaction))
        self.flags = <unsigned char*>calloc(load.ring_size, recipients)
        if not self.ring or not self.flags:
            raise MemoryError
        for i in range(load.ring_size):
            self.ring[i].taken = self.flags + i * recipients

    def __dealloc__(self):
        free(self.ring)
        free(self.flags)

    # --- the life of a connection ---

    cdef int expired(self) except -1:
        """The time for a connection, or for the next one, has come."""
        if self.state != CLOSED or self.drive.is_leaving:
            return 0
        if self.drive.is_over and self.has_reserved:
            return self.drop_reserved()
        if self.has_reserved or self.drive.opens_first:
            return self.open() if self.drive.may_open(self) else 0
        return self.work()

    cdef int work(self) except -1:
        if self.state == READY:
            self.progress_at = self.loop.now
            self.advance()
            return self.flush()
        # A connection for so many messages: it is opened when there is one for it.
        self.reserved_number = self.drive.take(&self.reserved_due)
        if self.reserved_number < 0:
            return self.drive.rest(self)
        self.has_reserved = True
        return self.open() if self.drive.may_open(self) else 0

    cdef int open(self) except -1:
        self.state, self.stage = OPENING, S_GREETING
        self.begun = self.resets = 0
        self.needs_reset = self.is_secure = self.has_unsent = self.has_said_goodbye = False
        self.opened_at = self.progress_at = self.loop.now
        return self.connect(self.loop, &self.load.target)

    cdef int connected(self) except -1:
        self.is_up = True
        self.drive.connection_opened()
        if self.load.implicit_tls:
            self.stage = S_TLS
            return self.begin_tls()
        return 0

    cdef int begin_tls(self) except -1:
        cdef SmtpLoad load = self.load
        return self.start_tls(Channel(load.tls_context, server_name=load.server_name,
                                      session=load.tls_session if load.resumes else None))

    cdef int secured(self) except -1:
        self.drive.handshakes += 1
        self.drive.resumed += self.channel.is_resumed
        self.is_secure = True
        if self.load.implicit_tls:
            self.stage = S_GREETING
            return 0
        return self.say_hello()

    cdef int leave(self) except -1:
        if self.state == READY and self.count == 0 and not self.has_said_goodbye:
            self.say_goodbye()
            return self.flush()
        if self.state == OPENING:
            return self.end("left")
        return 0

    def abandon(self):
        """The time is over: settles what is under way."""
        if self.state != CLOSED:
            self.end("time limit")
        if self.has_reserved:
            self.drop_reserved()

    cdef int swept(self) except -1:
        if self.state == READY and self.count == 0 and self.resets == 0 and not self.has_said_goodbye:
            return 0
        if self.loop.now - self.progress_at > self.drive.timeout:
            return self.end("timeout")
        return 0

    cdef int lost(self, str cause) except -1:
        return self.end(cause)

    cdef int end(self, str cause) except -1:
        """The connection is over, or is closed now: settles its transactions and sees to the next one."""
        cdef State state = self.state
        cdef bint was_up = self.is_up
        cdef bint is_failure = state == OPENING or self.count > 0 or not self.has_said_goodbye
        cdef str how = "timeout in " if cause == "timeout" else "lost in "
        if self.channel is not None and self.load.resumes and state == READY:
            self.load.tls_session = self.channel.session or self.load.tls_session
        self.close()
        self.state = CLOSED
        self.is_up = False
        if state == OPENING:
            self.drive.connection_failed()
            if cause != "refused":
                self.drive.error(how + stage_name(self.stage) if was_up else f"connect {cause}")
        elif is_failure:
            self.drive.lost_count += 1
            if self.count == 0:
                self.drive.error("lost in idle")
        while self.count:
            self.break_off(how)
        self.note_outcome()
        if self.has_reserved or self.drive.wants_connections():
            self.loop.call_at(self, self.loop.now + (RETRY if is_failure else 0))
        return self.drive.connection_over(was_up, state == OPENING)

    cdef int break_off(self, str how) except -1:
        """The connection is gone, and with it the oldest transaction."""
        cdef Transaction* t = &self.ring[self.head]
        self.head = (self.head + 1) % self.load.ring_size
        self.count -= 1
        self.drive.error(how + stage_name(S_CONTENT if t.content_begun else t.awaits))
        return self.drive.message_failed(t.number, UNSURE if t.content_begun else BROKEN, t.accepted, t.total, 0)

    cdef int drop_reserved(self) except -1:
        self.has_reserved = False
        return self.drive.message_failed(<uint32_t>self.reserved_number, BROKEN, 0, 0, 0)

    cdef int note_outcome(self) except -1:
        if not self.had_outcome:
            self.had_outcome = True
            self.drive.first_outcome()
        return 0

    # --- replies ---

    cdef Py_ssize_t received(self, const char* p, Py_ssize_t n) except -1:
        cdef Py_ssize_t at = 0, size
        cdef const char* end
        cdef int code
        cdef bint goes_on = False
        self.progress_at = self.loop.now
        while at < n:
            end = <const char*>memchr(p + at, b"\n", n - at)
            if not end:
                break
            size = end + 1 - (p + at)
            code = reply_code(p + at, size, &goes_on)
            if code < 0:
                self.drive.error("malformed reply")
                self.end("malformed")
                return n
            if self.state == OPENING and self.stage == S_HELO:
                self.note_extension(p + at + 4, size - 4)
            at += size
            if goes_on:
                continue
            if self.state == OPENING:
                self.opening_reply(code)
            else:
                self.reply(code)
            if self.fd < 0 or self.state == CLOSED:
                return n
        if self.state == READY:
            self.advance()
        return at

    cdef int note_extension(self, const char* p, Py_ssize_t n) except -1:
        if strncasecmp(p, b"PIPELINING", 10) == 0:
            self.offers_pipelining = True
        elif strncasecmp(p, b"STARTTLS", 8) == 0:
            self.offers_starttls = True
        elif strncasecmp(p, b"CHUNKING", 8) == 0:
            self.offers_chunking = True
        elif strncasecmp(p, b"SIZE", 4) == 0:
            self.offers_size = True
        return 0

    cdef int opening_reply(self, int code) except -1:
        cdef SmtpLoad load = self.load
        cdef int expected = 235 if self.stage == S_AUTH else 250 if self.stage == S_HELO else 220
        load.replies.count(self.stage, code)
        if code != expected:
            self.drive.error(f"{stage_name(self.stage)} {code}")
            return self.end("refused")
        if self.stage == S_GREETING:
            return self.say_hello()
        if self.stage == S_TLS:
            return self.begin_tls()
        if self.stage == S_HELO and load.starttls and not self.is_secure:
            if not self.offers_starttls:
                return load.give_up("the server does not offer STARTTLS")
            self.stage = S_TLS
            return self.put(b"STARTTLS\r\n", 10)
        if self.stage == S_HELO and load.auth is not None:
            self.stage = S_AUTH
            return self.put_bytes(load.auth)
        if load.dialogue != LOCK_STEP and not self.offers_pipelining:
            return load.give_up("the server does not offer PIPELINING: only lock-step is possible")
        if load.uses_bdat and not self.offers_chunking:
            return load.give_up("the server does not offer CHUNKING")
        self.state = READY
        self.drive.connection_ready(self.opened_at)
        return self.note_outcome()

    cdef int say_hello(self) except -1:
        self.stage = S_HELO
        self.offers_size = self.offers_starttls = self.offers_pipelining = self.offers_chunking = False
        return self.put_bytes(self.load.hello)

    cdef int say_goodbye(self) except -1:
        self.has_said_goodbye = True
        self.progress_at = self.loop.now
        return self.put(b"QUIT\r\n", 6)

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
        t.accepted -= 1
        t.recipient = i + 1
        if code == 250:
            t.delivered += 1
            t.delivered_total += self.load.messages.recipient_hash(t.number, i)
        else:
            self.drive.error(f"content {code}")
        return 0 if t.accepted else self.finish(t)

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
