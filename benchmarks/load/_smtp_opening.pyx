# cython: language_level=3
"""The generator's side of SMTP and LMTP up to the first MAIL: the life of a connection, greeting, EHLO, TLS, AUTH.

Theory: a session outlives its connections. Without a limit of messages per connection it connects before there is
work; with one it takes a message first (``reserved``) and connects for it. Whatever ends a connection goes through
end(), which settles what was under way and asks the drive whether another one is wanted; a new connection always
begins from the timer, never from within the input of the one before it.

Not here: transactions (_smtp_source.pyx).
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memchr

from benchmarks.load._drive cimport Client, Drive
from benchmarks.load._ledger cimport BROKEN
from benchmarks.load._messages cimport Messages
from benchmarks.load._replies cimport S_AUTH, S_GREETING, S_HELO, S_TLS, Replies, reply_code, stage_name
from benchmarks.load._stream cimport target_of

import base64
from functools import partial

from benchmarks.load.login import MECHANISMS, LoginError
from benchmarks.load.tls import Channel

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char* a, const char* b, size_t n)

cdef enum:
    RETRY = 50_000_000          # nanoseconds before a new connection after a failed one

cdef dict _DIALOGUES = {"lock-step": LOCK_STEP, "grouped": GROUPED, "pipelined": PIPELINED, "streamed": STREAMED}


cdef class SmtpLoad:
    """What the sessions of one generator share. ``plan``: a plan.GeneratePlan."""

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
        self.login = None
        if plan.account is not None:
            name, _, password = plan.account.partition(":")
            self.mechanism = plan.mechanism.upper().encode()
            self.login = partial(MECHANISMS[plan.mechanism], name, password)

    cdef int give_up(self, str why) except -1:
        """Ends the run: the server cannot do what was asked for."""
        self.fatal = why
        self.drive.finish("impossible")
        self.drive.loop.stop()
        return 0


cdef class Opening(Client):

    def __cinit__(self, SmtpLoad load not None):
        self.load, self.drive, self.loop = load, load.drive, load.drive.loop

    cdef int reply(self, int code) except -1:
        return 0

    cdef int advance(self) except -1:
        return 0

    cdef int break_off(self, str how) except -1:
        return 0

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
        cdef str how = f"{cause} in " if cause in ("timeout", "time limit") else "lost in "
        if self.channel is not None and self.load.resumes and state == READY:
            self.load.tls_session = self.channel.session or self.load.tls_session
        self.close()
        self.state = CLOSED
        self.is_up = False
        if state == OPENING and cause == "left":
            self.drive.opening_over()
        elif state == OPENING:
            self.drive.connection_failed()
            if cause != "refused":
                self.drive.error(how + stage_name(self.stage) if was_up else f"connect {cause}")
        elif is_failure:
            self.drive.lost_count += 1
            if self.count == 0:
                self.drive.error("lost in idle")
        while self.count:
            self.break_off(how)         # the oldest transaction
        self.note_outcome()
        if self.has_reserved or self.drive.wants_connections():
            self.loop.call_at(self, self.loop.now + (RETRY if is_failure else 0))
        return self.drive.connection_over(was_up, state == OPENING)

    cdef int drop_reserved(self) except -1:
        self.has_reserved = False
        return self.drive.message_failed(<uint32_t>self.reserved_number, BROKEN, 0, 0, 0)

    cdef int note_outcome(self) except -1:
        if not self.had_outcome:
            self.had_outcome = True
            self.drive.first_outcome()
        return 0

    # --- the opening ---

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
                self.opening_reply(code, p[at - size + 4:at].strip() if size > 4 else b"")
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

    cdef int opening_reply(self, int code, bytes text) except -1:
        cdef SmtpLoad load = self.load
        if code == 334 and self.stage == S_AUTH:
            return self.challenged(text)
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
        if self.stage == S_HELO and load.login is not None:
            return self.log_in()
        if load.dialogue != LOCK_STEP and not self.offers_pipelining:
            return load.give_up("the server does not offer PIPELINING: only lock-step is possible")
        if load.uses_bdat and not self.offers_chunking:
            return load.give_up("the server does not offer CHUNKING")
        self.state = READY
        self.drive.connection_ready(self.opened_at)
        return self.note_outcome()

    cdef int log_in(self) except -1:
        self.stage = S_AUTH
        self.login = self.load.login()
        initial = self.login.initial
        if initial is None:
            return self.put_bytes(b"AUTH %s\r\n" % self.load.mechanism)
        return self.put_bytes(b"AUTH %s %s\r\n" % (self.load.mechanism, base64.b64encode(initial)))

    cdef int challenged(self, bytes text) except -1:
        """334: the mechanism's answer, or the end of it (RFC 4954 4: a "*" cancels)."""
        try:
            return self.put_bytes(base64.b64encode(self.login.answer(base64.b64decode(text))) + b"\r\n")
        except (LoginError, ValueError) as fault:
            return self.load.give_up(f"AUTH: {fault}")

    cdef int say_hello(self) except -1:
        self.stage = S_HELO
        self.offers_size = self.offers_starttls = self.offers_pipelining = self.offers_chunking = False
        return self.put_bytes(self.load.hello)

    cdef int say_goodbye(self) except -1:
        self.has_said_goodbye = True
        self.progress_at = self.loop.now
        return self.put(b"QUIT\r\n", 6)
