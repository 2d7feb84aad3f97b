# cython: language_level=3
"""The sink's side of SMTP and LMTP: takes everything, unless it was told to misbehave, and counts it.

Theory: every reply goes through answer(), which knows for each stage whether the reply is to be refused, delayed or
replaced by a closed connection, so that each kind of misbehaviour works at every stage. While a reply waits (delay,
tarpit), the session reads nothing: what has arrived stays where it is, and the peer's own flow control does the rest.

Invariants: a message is counted when its 250 is put out, not before; nothing of a content is kept.

Not here: finding the mark and the end of data (_mark.pyx), the totals (_intake.pyx), reading the plan (sink.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr

from benchmarks.load._intake cimport Intake
from benchmarks.load._listener cimport Listener
from benchmarks.load._mark cimport Content, address_hash, content_add, content_begin, content_data
from benchmarks.load._replies cimport (
    S_AUTH, S_CONTENT, S_DATA, S_GREETING, S_HELO, S_MAIL, S_QUIT, S_RCPT, S_RSET, S_TLS,
)
from benchmarks.load._stream cimport Stream

from benchmarks.load.tls import Channel

cdef extern from "<strings.h>" nogil:
    int strncasecmp(const char* a, const char* b, size_t n)

cdef enum Mode:
    COMMANDS
    DATA
    BDAT

cdef enum Kind:                     # of a recipient, by its local part
    K_PLAIN
    K_TEMPFAIL
    K_PERMFAIL
    K_TEMPCONTENT
    K_PERMCONTENT
    K_DROP
    K_SLOW

cdef enum:
    LONGEST_COMMAND = 8192
    SLOW_RECIPIENT = 1_000_000_000  # nanoseconds

cdef bytes _OK = b"250 2.0.0 Ok\r\n"
cdef bytes _GO_ON = b"354 End data with <CR><LF>.<CR><LF>\r\n"
cdef tuple _PREFIXES = ((b"tempfail", K_TEMPFAIL), (b"permfail", K_PERMFAIL), (b"tempcontent", K_TEMPCONTENT),
                        (b"permcontent", K_PERMCONTENT), (b"drop", K_DROP), (b"slow", K_SLOW))


cdef struct Recipient:
    uint32_t hash
    int kind


cdef class SinkListener(Listener):
    cdef Intake intake

    def __init__(self, Intake intake not None, sock not None):
        Listener.__init__(self, intake.loop, sock)
        self.intake = intake

    cdef int accepted(self, int fd) except -1:
        cdef SinkSession session = SinkSession()
        session.intake = self.intake
        session.take_over(self.loop, fd)
        return session.open()


cdef class SinkSession(Stream):
    cdef Intake intake
    cdef Mode mode
    cdef bint is_over, is_secured, has_mail, starts_tls
    cdef Recipient* taken               # of the transaction
    cdef uint32_t taken_n, taken_cap
    cdef Content content
    cdef int64_t chunk_left             # octets of the BDAT chunk that have not come
    cdef bint is_last_chunk, is_in_chunks
    cdef bytes waiting                  # a reply that is delayed or trickles
    cdef Py_ssize_t trickled            # octets of it that went; -1: it waits as a whole

    def __dealloc__(self):
        free(self.taken)

    cdef int open(self) except -1:
        cdef Intake intake = self.intake
        intake.open += 1
        intake.opened += 1
        intake.most_open = max(intake.open, intake.most_open)
        if intake.implicit_tls:
            return self.start_tls(Channel(intake.tls_context, server_side=True))
        return self.greet()

    cdef int secured(self) except -1:
        self.is_secured = True
        self.intake.handshakes += 1
        self.intake.resumed += self.channel.is_resumed
        if self.intake.implicit_tls:
            return self.greet()
        return 0

    cdef int greet(self) except -1:
        if 0 <= self.intake.max_connections < self.intake.open:
            self.intake.turned_away += 1
            self.is_over = True
            self.answer(S_GREETING, b"421 4.3.2 Too many connections\r\n")
        elif self.intake.draws_refusal(S_GREETING):
            self.is_over = True
            self.answer(S_GREETING, self.intake.refusals[S_GREETING])
        elif self.intake.is_lmtp:
            self.answer(S_GREETING, b"220 sink.test LMTP\r\n")
        else:
            self.answer(S_GREETING, b"220 sink.test ESMTP\r\n")
        if self.fd >= 0:
            self.flush()
        return self.close_when_over()

    cdef int lost(self, str cause) except -1:
        self.intake.open -= 1
        self.intake.lost_count += not self.is_over and (self.has_mail or self.mode != COMMANDS or cause != "closed")
        return self.forget_everything()

    cdef int hang_up(self) except -1:
        self.intake.open -= 1
        self.close()
        return self.forget_everything()

    cdef int forget_everything(self) except -1:
        self.waiting = None
        if self.heap_at >= 0:
            self.loop.cancel(self)
        return 0

    cdef int close_when_over(self) except -1:
        if self.is_over and self.fd >= 0 and self.waiting is None and not self.has_output():
            return self.hang_up()
        return 0

    cdef int drained(self) except -1:
        return self.close_when_over()

    # --- replies ---

    cdef int answer(self, int stage, bytes reply) except -1:
        """One reply: at once, later, octet by octet, or never."""
        cdef Intake intake = self.intake
        cdef const char* p
        if intake.draws_drop(stage):
            intake.dropped += 1
            self.flush()
            return self.hang_up() if self.fd >= 0 else 0
        p = PyBytes_AS_STRING(reply)
        intake.replies.count(stage, (p[0] - 48) * 100 + (p[1] - 48) * 10 + p[2] - 48)
        if intake.misbehaviour[stage].delay:
            return self.answer_later(reply, intake.misbehaviour[stage].delay)
        if intake.tarpit:
            return self.answer_later(reply, intake.tarpit)
        return self.put_bytes(reply)

    cdef int answer_later(self, bytes reply, int64_t delay) except -1:
        self.waiting = reply if self.waiting is None else self.waiting + reply
        self.trickled = 0
        self.pause()
        if self.heap_at < 0:
            self.loop.call_at(self, self.loop.now + delay)
        return 0

    cdef int expired(self) except -1:
        cdef bytes reply = self.waiting
        if self.intake.tarpit and self.trickled + 1 < PyBytes_GET_SIZE(reply):
            self.put(PyBytes_AS_STRING(reply) + self.trickled, 1)
            self.trickled += 1
            self.loop.call_at(self, self.loop.now + self.intake.tarpit)
            return self.flush()
        self.waiting = None
        self.put(PyBytes_AS_STRING(reply) + self.trickled, PyBytes_GET_SIZE(reply) - self.trickled)
        self.flush()
        if self.fd < 0:
            return 0
        if self.starts_tls:
            self.begin_tls()
        if self.fd >= 0:
            self.resume()
        return self.close_when_over()

    cdef int answer_or_refuse(self, int stage, bytes reply) except -1:
        """Whether the command is obeyed (1) or was refused (0)."""
        if self.intake.draws_refusal(stage):
            self.answer(stage, self.intake.refusals[stage])
            return 0
        self.answer(stage, reply)
        return 1

    # --- input ---

    cdef Py_ssize_t received(self, const char* p, Py_ssize_t n) except -1:
        cdef Py_ssize_t at = 0, used
        cdef const char* end
        while at < n and self.waiting is None and not self.is_over and not self.starts_tls and self.fd >= 0:
            if self.mode == DATA:
                used = content_data(&self.content, p + at, n - at)
                at += used
                if self.content.is_ended:
                    self.mode = COMMANDS
                    self.content_over()
                    continue
                break
            if self.mode == BDAT:
                used = min(n - at, self.chunk_left)
                content_add(&self.content, p + at, used)
                at += used
                self.chunk_left -= used
                if self.chunk_left == 0:
                    self.chunk_over()
                continue
            end = <const char*>memchr(p + at, b"\n", n - at)
            if not end:
                if n - at > LONGEST_COMMAND:
                    self.hang_up()
                break
            used = end + 1 - (p + at)
            self.command(p + at, used - 2 if used > 1 and p[at + used - 2] == b"\r" else used - 1)
            at += used
        if self.fd >= 0 and self.starts_tls and self.waiting is None:
            # What came before the handshake is not to be trusted (RFC 3207 4.2).
            self.begin_tls()
            return n
        return n if self.is_over else at

    cdef int begin_tls(self) except -1:
        self.starts_tls = False
        self.has_mail = False
        self.taken_n = 0
        return self.start_tls(Channel(self.intake.tls_context, server_side=True))

    cdef int command(self, const char* p, Py_ssize_t n) except -1:
        if n >= 4 and (n == 4 or p[4] == b" "):
            if strncasecmp(p, b"MAIL", 4) == 0:
                return self.mail_command()
            if strncasecmp(p, b"RCPT", 4) == 0:
                return self.rcpt_command(p, n)
            if strncasecmp(p, b"DATA", 4) == 0:
                return self.data_command()
            if strncasecmp(p, b"BDAT", 4) == 0:
                return self.bdat_command(p[5:n] if n > 5 else b"")
        return self.rare_command(p[:n])

    cdef int mail_command(self) except -1:
        if self.has_mail:
            return self.answer(S_MAIL, b"503 5.5.1 There is a transaction already\r\n")
        self.has_mail = self.answer_or_refuse(S_MAIL, b"250 2.1.0 Ok\r\n")
        self.taken_n = 0
        return 0

    cdef int rcpt_command(self, const char* p, Py_ssize_t n) except -1:
        cdef const char* begin = <const char*>memchr(p, b"<", n)
        cdef const char* end = <const char*>memchr(begin, b">", n - (begin - p)) if begin else NULL
        cdef int kind
        if not end:
            return self.answer(S_RCPT, b"501 5.1.3 No address\r\n")
        if not self.has_mail:
            return self.answer(S_RCPT, b"503 5.5.1 MAIL first\r\n")
        begin += 1
        kind = self.kind_of(begin, end - begin)
        if kind == K_TEMPFAIL:
            return self.answer(S_RCPT, b"451 4.2.0 Not now\r\n")
        if kind == K_PERMFAIL:
            return self.answer(S_RCPT, b"550 5.1.1 No such recipient\r\n")
        if kind == K_DROP:
            self.intake.dropped += 1
            self.flush()
            return self.hang_up() if self.fd >= 0 else 0
        if kind == K_SLOW:
            self.keep_recipient(begin, end - begin, kind)
            self.intake.replies.count(S_RCPT, 250)
            return self.answer_later(b"250 2.1.5 Ok, slowly\r\n", SLOW_RECIPIENT)
        if self.answer_or_refuse(S_RCPT, b"250 2.1.5 Ok\r\n"):
            self.keep_recipient(begin, end - begin, kind)
        return 0

    cdef int kind_of(self, const char* local, Py_ssize_t n) except -1:
        cdef bytes prefix
        cdef Py_ssize_t size
        if self.intake.by_address and local[0] in b"tpdsTPDS":
            for prefix, kind in _PREFIXES:
                size = PyBytes_GET_SIZE(prefix)
                if n >= size and strncasecmp(local, PyBytes_AS_STRING(prefix), size) == 0:
                    return kind
        return K_PLAIN

    cdef int keep_recipient(self, const char* p, Py_ssize_t n, int kind) except -1:
        cdef Recipient* taken
        cdef uint32_t cap
        if self.taken_n == self.taken_cap:
            cap = max(2 * self.taken_cap, 4)
            taken = <Recipient*>realloc(self.taken, cap * sizeof(Recipient))
            if not taken:
                raise MemoryError
            self.taken, self.taken_cap = taken, cap
        self.taken[self.taken_n] = Recipient(address_hash(p, n), kind)
        self.taken_n += 1
        return 0

    cdef int data_command(self) except -1:
        if not self.taken_n:
            return self.answer(S_DATA, b"503 5.5.1 RCPT first\r\n" if self.has_mail else b"503 5.5.1 MAIL first\r\n")
        if self.answer_or_refuse(S_DATA, _GO_ON) and self.fd >= 0:
            self.mode = DATA
            content_begin(&self.content, self.intake.verifies)
        return 0

    cdef int bdat_command(self, bytes argument) except -1:
        """RFC 3030 2: ``BDAT size [LAST]``; the octets follow at once, whatever we answer."""
        words = argument.split()
        if not words or not words[0].isdigit() or len(words[0]) > 12:
            self.is_over = True
            return self.answer(S_CONTENT, b"501 5.5.4 BDAT needs a size\r\n")
        if not self.is_in_chunks:
            content_begin(&self.content, self.intake.verifies)
        self.is_in_chunks = True
        self.chunk_left = int(words[0])
        self.is_last_chunk = len(words) > 1 and words[1].upper() == b"LAST"
        self.mode = BDAT
        return 0 if self.chunk_left else self.chunk_over()

    cdef int chunk_over(self) except -1:
        self.mode = COMMANDS
        if not self.taken_n:
            self.is_in_chunks = False
            return self.answer(S_CONTENT, b"503 5.5.1 RCPT first\r\n")
        if self.is_last_chunk:
            self.is_in_chunks = False
            return self.content_over()
        return self.put(b"250 2.0.0 Go on\r\n", 17)

    cdef int content_over(self) except -1:
        """The content is complete: answers it, and counts it if the answer is 250."""
        cdef uint32_t i, n = self.taken_n
        self.taken_n = 0
        self.has_mail = False
        if self.intake.is_lmtp:
            return self.answer_each(n)
        for i in range(n):
            if self.taken[i].kind == K_TEMPCONTENT:
                return self.answer(S_CONTENT, b"451 4.3.0 Not now\r\n")
            if self.taken[i].kind == K_PERMCONTENT:
                return self.answer(S_CONTENT, b"554 5.6.0 Not this\r\n")
        if self.answer_or_refuse(S_CONTENT, _OK) and self.fd >= 0:
            self.count(n, False)
        return 0

    cdef int answer_each(self, uint32_t n) except -1:
        """RFC 2033 4.2: one reply for each recipient that was accepted."""
        cdef uint32_t i
        cdef bint obeyed, any_taken = False
        for i in range(n):
            obeyed = False
            if self.taken[i].kind == K_TEMPCONTENT:
                self.answer(S_CONTENT, b"451 4.3.0 Not now\r\n")
            elif self.taken[i].kind == K_PERMCONTENT:
                self.answer(S_CONTENT, b"554 5.6.0 Not this\r\n")
            else:
                obeyed = self.answer_or_refuse(S_CONTENT, _OK)
            if self.fd < 0:
                return 0
            self.taken[i].kind = -1 if obeyed else K_PLAIN
            any_taken = any_taken or obeyed
        return self.count(n, True) if any_taken else 0

    cdef int count(self, uint32_t n, bint chosen) except -1:
        """``chosen``: only the recipients with kind -1."""
        cdef uint32_t i, total = 0, recipients = 0
        for i in range(n):
            if not chosen or self.taken[i].kind == -1:
                total += self.taken[i].hash
                recipients += 1
        self.intake.take(&self.content, recipients, total)
        if self.intake.ended is not None:
            self.flush()
            self.loop.stop()
        return 0

    cdef int rare_command(self, bytes line) except -1:
        verb = line[:8].split(b" ")[0].upper()
        cdef Intake intake = self.intake
        if verb in (b"EHLO", b"LHLO", b"HELO"):
            if (verb == b"LHLO") != intake.is_lmtp:
                return self.answer(S_HELO, b"500 5.5.1 Wrong protocol\r\n")
            self.has_mail, self.taken_n = False, 0
            if verb == b"HELO":
                return self.answer(S_HELO, b"250 sink.test\r\n")
            self.answer_or_refuse(S_HELO, intake.hello_secured if self.is_secured else intake.hello)
            return 0
        if verb == b"RSET":
            self.has_mail, self.taken_n, self.is_in_chunks = False, 0, False
            return self.answer(S_RSET, _OK)
        if verb == b"NOOP":
            return self.put_bytes(_OK)
        if verb == b"QUIT":
            self.is_over = True
            return self.answer(S_QUIT, b"221 2.0.0 Bye\r\n")
        if verb == b"STARTTLS" and intake.starttls and not self.is_secured:
            self.starts_tls = True
            return self.answer(S_TLS, b"220 2.0.0 Go ahead\r\n")
        if verb == b"AUTH" and intake.accounts:
            if line[5:] in intake.accounts:
                return self.answer(S_AUTH, b"235 2.7.0 Welcome\r\n")
            return self.answer(S_AUTH, b"535 5.7.8 No\r\n")
        return self.put(b"500 5.5.1 Unknown command\r\n", 27)
