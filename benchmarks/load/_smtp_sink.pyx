# cython: language_level=3
"""The sink's side of SMTP and LMTP: takes everything, unless it was told to misbehave, and counts it.

Theory: every reply goes through answer(), which knows for each stage whether the reply is to be refused, delayed or replaced by a closed connection, so that each
kind of misbehaviour works at every stage. While a reply waits (delay, tarpit), the session reads nothing: what has arrived stays where it is, and the
peer's own flow control does the rest.

Invariants: a message is counted when its 250 is put out, not before; nothing of a content is kept.

Not here: finding the mark and the end of data (_mark.pyx), the totals of a run (_ledger.pyx), reading the plan (sink.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp

from benchmarks.load._ledger cimport Entry, Ledger
from benchmarks.load._loop cimport Loop, read_clock
from benchmarks.load._mark cimport MARKED, Content, address_hash, content_add, content_begin, content_data, content_is_altered
from benchmarks.load._replies cimport S_AUTH, S_CONTENT, S_DATA, S_GREETING, S_HELO, S_MAIL, S_QUIT, S_RCPT, S_RSET, S_TLS, STAGES, Replies
from benchmarks.load._stream cimport Listener, Stream

import time

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
    MOST_RUNS = 64
    SLOW_RECIPIENT = 1_000_000_000  # nanoseconds

cdef bytes _OK = b"250 2.0.0 Ok\r\n"
cdef bytes _GO_ON = b"354 End data with <CR><LF>.<CR><LF>\r\n"
cdef tuple _PREFIXES = ((b"tempfail", K_TEMPFAIL), (b"permfail", K_PERMFAIL), (b"tempcontent", K_TEMPCONTENT),
                        (b"permcontent", K_PERMCONTENT), (b"drop", K_DROP), (b"slow", K_SLOW))


cdef struct Recipient:
    uint32_t hash
    int kind


cdef struct Misbehaviour:
    uint64_t refuse_below, drop_below       # of 2^32
    int code
    int64_t delay                           # nanoseconds


cdef class SmtpSink:
    """What all sessions share: how to behave, and the totals."""
    cdef readonly Loop loop
    cdef readonly Replies replies
    cdef Misbehaviour[STAGES] misbehaviour
    cdef list refusals                      # per stage: the reply's octets, or None
    cdef bint is_lmtp, by_address, verifies, implicit_tls, starttls
    cdef int64_t tarpit, max_connections, last_message
    cdef uint64_t chance
    cdef bytes hello, hello_secured
    cdef object tls_context, accounts
    cdef dict runs
    cdef Ledger run                         # the one that was found last
    cdef dict doubled                       # recipients, by run
    cdef int64_t messages, recipients, octets, foreign, altered
    cdef int64_t opened, open, most_open, lost_count, dropped, turned_away, handshakes, resumed
    cdef double first_at
    cdef int64_t begun_at, first_clock, last_clock
    cdef readonly object ended

    def __init__(self, Loop loop not None, behaviour not None, tls_context=None):
        """``behaviour``: a sink.Behaviour."""
        cdef int stage
        self.loop, self.tls_context = loop, tls_context
        self.replies = Replies()
        self.refusals = [None] * STAGES
        for stage, what in behaviour.stages.items():
            self.misbehaviour[stage].refuse_below = <uint64_t>(what.refuse_share * 4294967296.0)
            self.misbehaviour[stage].drop_below = <uint64_t>(what.drop_share * 4294967296.0)
            self.misbehaviour[stage].code = what.code
            self.misbehaviour[stage].delay = <int64_t>(what.delay * 1e9)
            self.refusals[stage] = b"%d %d.0.0 The sink was told to refuse this\r\n" % (what.code, what.code // 100)
        self.is_lmtp, self.by_address, self.verifies = behaviour.is_lmtp, behaviour.by_address, behaviour.verify
        self.implicit_tls, self.starttls = behaviour.tls == "implicit", behaviour.tls == "starttls"
        self.tarpit = <int64_t>(behaviour.tarpit * 1e9)
        self.max_connections = -1 if behaviour.max_connections is None else behaviour.max_connections
        self.last_message = -1 if behaviour.messages is None else behaviour.messages
        self.chance = behaviour.seed * 0x9e3779b97f4a7c15 & 0xffffffffffffffff or 1
        self.accounts = behaviour.accounts
        self.hello, self.hello_secured = behaviour.hello, behaviour.hello_secured
        self.begun_at = read_clock()
        self.reset()

    def reset(self):
        """Everything counted begins again at zero; connections stay."""
        self.runs, self.doubled, self.run = {}, {}, None
        self.messages = self.recipients = self.octets = self.foreign = self.altered = 0
        self.opened = self.lost_count = self.dropped = self.turned_away = self.handshakes = self.resumed = 0
        self.most_open = self.open
        self.first_at = 0
        self.first_clock = self.last_clock = 0
        self.replies.clear()

    def stop(self, why="signal"):
        if self.ended is None:
            self.ended = why
        self.loop.stop()

    def write_ledgers(self, file):
        for ledger in self.runs.values():
            ledger.write(file)

    def totals(self):
        cdef double span = (self.last_clock - self.first_clock) / 1e9
        runs = {}
        for number, ledger in self.runs.items():
            messages, recipients, altered = ledger.received()
            runs[f"{number:016x}"] = {
                "messages": messages, "recipients": recipients, "doubled": self.doubled[number], "altered": altered,
                "missing": len(ledger) - messages, "highest": len(ledger) - 1}
        return {
            "ended": self.ended,
            "elapsed_seconds": (read_clock() - self.begun_at) / 1e9,
            "messages": self.messages, "recipients": self.recipients, "octets": self.octets,
            "first_at": self.first_at or None, "last_at": self.first_at + span if self.first_at else None,
            "messages_per_second": self.messages / span if span > 0 else 0.0,
            "connections": {"opened": self.opened, "open": self.open, "most_open": self.most_open, "lost": self.lost_count,
                            "dropped": self.dropped, "turned_away": self.turned_away, "handshakes": self.handshakes,
                            "resumed": self.resumed},
            "replies": self.replies.by_stage(),
            "verified": bool(self.verifies), "altered": self.altered, "foreign": self.foreign,
            "runs": runs,
        }

    cdef uint64_t draw(self) noexcept:
        """Evenly below 2^32 (xorshift64*): the same for the same seed."""
        self.chance ^= self.chance >> 12
        self.chance ^= self.chance << 25
        self.chance ^= self.chance >> 27
        return (self.chance * <uint64_t>0x2545f4914f6cdd1d) >> 32

    cdef bint draws_refusal(self, int stage) noexcept:
        return self.misbehaviour[stage].refuse_below != 0 and self.draw() < self.misbehaviour[stage].refuse_below

    cdef bint draws_drop(self, int stage) noexcept:
        return self.misbehaviour[stage].drop_below != 0 and self.draw() < self.misbehaviour[stage].drop_below

    cdef int take(self, Content* content, uint32_t recipients, uint32_t total) except -1:
        """A message was accepted for so many recipients, whose hashes add up to ``total``."""
        self.messages += 1
        self.recipients += recipients
        self.octets += content.octets
        self.last_clock = self.loop.now
        if not self.first_clock:
            self.first_clock = self.loop.now
            self.first_at = time.time()
        if content.phase == MARKED:
            self.enter(content, recipients, total)
        else:
            self.foreign += 1
        if self.messages == self.last_message:
            self.ended = "messages"
        return 0

    cdef int enter(self, Content* content, uint32_t recipients, uint32_t total) except -1:
        """Enters it into its run's ledger."""
        cdef Ledger ledger = self.run
        cdef Entry* entry
        cdef uint32_t before
        if ledger is None or ledger.run != content.mark.run:
            ledger = self.runs.get(content.mark.run)
            if ledger is None:
                if len(self.runs) == MOST_RUNS:
                    self.foreign += 1
                    return 0
                ledger = self.runs[content.mark.run] = Ledger(content.mark.run)
                self.doubled[content.mark.run] = 0
            self.run = ledger
        entry = ledger.entry(content.mark.number)
        if not entry:
            self.foreign += 1
            return 0
        before = entry.recipients
        entry.recipients = <uint32_t>min(before + recipients, 0xffff)
        entry.sum += total
        entry.copies += entry.copies < 255
        if before + recipients > content.mark.recipients:
            self.doubled[ledger.run] += before + recipients - max(before, content.mark.recipients)
        if content_is_altered(content):
            self.altered += 1
            entry.state = 1
        return 0


cdef class SinkListener(Listener):
    cdef SmtpSink owner

    def __init__(self, SmtpSink owner not None, sock not None):
        Listener.__init__(self, owner.loop, sock)
        self.owner = owner

    cdef int accepted(self, int fd) except -1:
        cdef SinkSession session = SinkSession()
        session.owner = self.owner
        session.take_over(self.loop, fd)
        return session.open()


cdef class SinkSession(Stream):
    cdef SmtpSink owner
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
        cdef SmtpSink owner = self.owner
        owner.open += 1
        owner.opened += 1
        owner.most_open = max(owner.open, owner.most_open)
        if owner.implicit_tls:
            return self.start_tls(Channel(owner.tls_context, server_side=True))
        return self.greet()

    cdef int secured(self) except -1:
        self.is_secured = True
        self.owner.handshakes += 1
        self.owner.resumed += self.channel.is_resumed
        if self.owner.implicit_tls:
            return self.greet()
        return 0

    cdef int greet(self) except -1:
        if 0 <= self.owner.max_connections < self.owner.open:
            self.owner.turned_away += 1
            self.is_over = True
            self.answer(S_GREETING, b"421 4.3.2 Too many connections\r\n")
        elif self.owner.is_lmtp:
            self.answer(S_GREETING, b"220 sink.test LMTP\r\n")
        else:
            self.answer(S_GREETING, b"220 sink.test ESMTP\r\n")
        if self.fd >= 0:
            self.flush()
        return self.close_when_over()

    cdef int lost(self, str cause) except -1:
        self.owner.open -= 1
        self.owner.lost_count += not self.is_over and (self.has_mail or self.mode != COMMANDS or cause != "closed")
        return self.forget_everything()

    cdef int hang_up(self) except -1:
        self.owner.open -= 1
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
        cdef SmtpSink owner = self.owner
        cdef const char* p
        if owner.draws_drop(stage):
            owner.dropped += 1
            self.flush()
            return self.hang_up() if self.fd >= 0 else 0
        p = PyBytes_AS_STRING(reply)
        owner.replies.count(stage, (p[0] - 48) * 100 + (p[1] - 48) * 10 + p[2] - 48)
        if owner.misbehaviour[stage].delay:
            return self.answer_later(reply, owner.misbehaviour[stage].delay)
        if owner.tarpit:
            return self.answer_later(reply, owner.tarpit)
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
        if self.owner.tarpit and self.trickled + 1 < PyBytes_GET_SIZE(reply):
            self.put(PyBytes_AS_STRING(reply) + self.trickled, 1)
            self.trickled += 1
            self.loop.call_at(self, self.loop.now + self.owner.tarpit)
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
        if self.owner.draws_refusal(stage):
            self.answer(stage, self.owner.refusals[stage])
            return 0
        self.answer(stage, reply)
        return 1

    # --- input ---

    cdef Py_ssize_t received(self, const char* p, Py_ssize_t n) except -1:
        cdef Py_ssize_t at = 0, used
        cdef const char* end
        while at < n and self.waiting is None and not self.is_over and self.fd >= 0:
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
        return self.start_tls(Channel(self.owner.tls_context, server_side=True))

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
            self.owner.dropped += 1
            self.flush()
            return self.hang_up() if self.fd >= 0 else 0
        if kind == K_SLOW:
            self.keep_recipient(begin, end - begin, kind)
            self.owner.replies.count(S_RCPT, 250)
            return self.answer_later(b"250 2.1.5 Ok, slowly\r\n", SLOW_RECIPIENT)
        if self.answer_or_refuse(S_RCPT, b"250 2.1.5 Ok\r\n"):
            self.keep_recipient(begin, end - begin, kind)
        return 0

    cdef int kind_of(self, const char* local, Py_ssize_t n) except -1:
        cdef bytes prefix
        if self.owner.by_address and local[0] in b"tpdsTPDS":
            for prefix, kind in _PREFIXES:
                if n >= PyBytes_GET_SIZE(prefix) and strncasecmp(local, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix)) == 0:
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
            content_begin(&self.content, self.owner.verifies)
        return 0

    cdef int bdat_command(self, bytes argument) except -1:
        """RFC 3030 2: ``BDAT size [LAST]``; the octets follow at once, whatever we answer."""
        words = argument.split()
        if not words or not words[0].isdigit() or len(words[0]) > 12:
            self.is_over = True
            return self.answer(S_CONTENT, b"501 5.5.4 BDAT needs a size\r\n")
        if not self.is_in_chunks:
            content_begin(&self.content, self.owner.verifies)
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
        if self.owner.is_lmtp:
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
        self.owner.take(&self.content, recipients, total)
        if self.owner.ended is not None:
            self.flush()
            self.loop.stop()
        return 0

    cdef int rare_command(self, bytes line) except -1:
        verb = line[:8].split(b" ")[0].upper()
        cdef SmtpSink owner = self.owner
        if verb in (b"EHLO", b"LHLO", b"HELO"):
            if (verb == b"LHLO") != owner.is_lmtp:
                return self.answer(S_HELO, b"500 5.5.1 Wrong protocol\r\n")
            self.has_mail, self.taken_n = False, 0
            if verb == b"HELO":
                return self.answer(S_HELO, b"250 sink.test\r\n")
            self.answer_or_refuse(S_HELO, owner.hello_secured if self.is_secured else owner.hello)
            return 0
        if verb == b"RSET":
            self.has_mail, self.taken_n, self.is_in_chunks = False, 0, False
            return self.answer(S_RSET, _OK)
        if verb == b"NOOP":
            return self.put_bytes(_OK)
        if verb == b"QUIT":
            self.is_over = True
            return self.answer(S_QUIT, b"221 2.0.0 Bye\r\n")
        if verb == b"STARTTLS" and owner.starttls and not self.is_secured:
            self.starts_tls = True
            return self.answer(S_TLS, b"220 2.0.0 Go ahead\r\n")
        if verb == b"AUTH" and owner.accounts:
            if line[5:] in owner.accounts:
                return self.answer(S_AUTH, b"235 2.7.0 Welcome\r\n")
            return self.answer(S_AUTH, b"535 5.7.8 No\r\n")
        return self.put(b"500 5.5.1 Unknown command\r\n", 27)
