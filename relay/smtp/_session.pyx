# cython: language_level=3
"""The server's side of an SMTP session as a pure machine: octets and the time in, octets out (RFC 5321, RFC 2920).

Theory: receive() works through everything that has come in, command by command, and collects the replies. It stops only to
wait: for an answer that what comes next depends on, because the peer does not read its replies, or when much is being
synced for it. What has come in meanwhile is held, so replies are always in the order of the commands. There is one call per
buffer and no callback in between; what policy can answer from its tables it answers at once.

The session is one object in layers, each a class in a file of its own: its replies (_replies.pyx), what becomes of a
content (_spooling.pyx), who logs in (_login.pyx), what policy is asked (_policy.pyx), its commands (_commands.pyx), and
here what it reads and who calls it. It has one state, and one table of what changes it (_state.pyx). What a line or a content
may be made of is decided in next_line() and scan_content() of relay/_fastparse.pyx and nowhere else.

Invariants:
    - the same octets bring the same replies however they are cut into buffers, but for what has to be waited for
      (STARTTLS, and HELO, EHLO and DATA, see _commands.pyx);
    - a session between transactions holds no buffer; while it waits it holds at most HOLD_LIMIT octets and one read.

Not here: sockets (_connection.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from relay._fastparse cimport F_NONE, V_HTTP, V_NONE, V_RCPT, command, next_line, scan_chunk, scan_content
from relay.smtp._commands cimport CommandSession
from relay.smtp._context cimport ServerContext
from relay.smtp._replies cimport Question
from relay.smtp._state cimport (
    ASKING, CHUNK, COMMAND, CONTENT, DATA_ENDS, GONE, GREETING, HANDSHAKE, LOGIN, LOST, OVER, RECIPIENTS, TLS_DONE, TLS_FIRST,
)
from relay.smtp._transaction cimport Transaction

from relay.net.client_key import client_key
from relay.smtp.refusals import REFUSALS

cdef enum:
    HOLD_LIMIT = 4096       # octets held while waiting; above it the transport stops reading
    OUT_LIMIT = 65536       # octets of replies, after which the transport is given a turn
    SKIP_LIMIT = 65536      # octets of an overlong line, after which the session ends
    DRAIN_HANDSHAKE = 3_000_000     # microseconds that a handshake may still take when a drain begins
    AHEAD = 16              # contents at the spool or asked about, above which the peer has to wait
    MOST_ASKED = 100        # recipients that are asked about at once


cdef class Session(CommandSession):
    """One session. Knows no socket: a Connection, or a test, moves the octets."""

    # --- from outside ---

    def open(self, str address not None, int port, int64_t now):
        """The peer has connected; a greeting, or a 421, is in the output (unless a policy or a delay is waited for)."""
        cdef ServerContext context = self.context
        cdef str trouble
        self.now = context.latest = now
        self.opened_at = now
        self.client_address, self.client_key = client_key(address)
        self.client_port = port
        self.number = context.next_id(now + context.wall_offset)
        context.count(context.cells.connections[self.service.kind])
        context.count(context.cells.sessions_open[self.service.kind])
        trouble = context.enter(self, self.client_key, self.service.limits.connections_per_client)
        if trouble is not None:
            context.count(<Py_ssize_t>context.refused_connections[trouble])
            self.end("busy" if trouble == "memory" else trouble, "refused")
        elif not self.service.is_implicit:
            self.arm()
            self.welcome()
        elif self.begin_handshake():
            self.arm()
        else:
            context.count(<Py_ssize_t>context.refused_connections["limit"])
            self.end("limit", "refused")

    def secured(self, stream not None):
        """The handshake is done, ``stream`` (relay.net.tls_machine) has what was agreed on. The session begins anew:
        nothing that was said in the clear counts any more (RFC 3207 4.2)."""
        self.now = self.read_clock()
        self.is_shaking = False
        self.service.tls.handshakes.done(stream, self.now - self.handshake_at)
        self.tls = stream.summary
        self.forget_login()
        if self.service.authenticator is not None:
            self.bindings = stream.bindings
        self.helo_name = None
        self.is_esmtp = self.has_odd_name = False
        if not self.service.is_implicit:
            self.move(TLS_DONE)
            self.turn()
        elif self.context.is_draining:
            self.end("draining", "refused")
        else:
            self.move(TLS_FIRST)
            self.welcome()
        if self.state < OVER:
            self.arm()

    def insecure(self, str kind not None, str reason not None):
        """There will be no TLS. ``kind`` is what is counted, ``reason`` what the log says."""
        if self.state == HANDSHAKE:
            self.context.log.event(
                "info", "tls handshake failed", session_id=self.session_id, listener=self.service.name,
                client=self.client_address, reason=reason)
            self.handshake_over(kind)
        self.over("tls_failed")

    def receive(self, bytes octets not None, int64_t now):
        """Takes what the peer sent; returns all replies that it brought about, with what was to be written before."""
        self.take_in(octets, now)
        self.flush()
        return self.take_output()

    def answered(self, verdict):
        """The answer to the oldest open question, the ``question``."""
        for question in self.open_questions[:1]:
            question.answered(verdict)

    def take_answer(self, Question question not None, answer):
        """What Question.answered() was called with."""
        self.now = self.read_clock()
        self.settle_question(question, answer)
        self.is_held_up = False
        self.go_on()
        self.flush()

    def spool_answered(self):
        """The spool has answered for contents of this session, and for all that were synced with them."""
        self.awaits_batch = False
        if self.state == GONE:
            return
        self.is_held_up = False
        try:
            self.release()
            if not self.is_running:
                self.go_on()
                self.flush()
        except Exception as fault:
            self.fail(fault)

    def expired(self, int64_t now):
        """The timer has come due; the deadline may have moved meanwhile."""
        self.now = now
        if self.state == GONE:
            return
        if self.has_questions():
            if self.expire_questions(now):
                self.is_held_up = False
                if self.state != CONTENT and self.state != CHUNK:
                    self.arm()
                self.go_on()
                self.flush()
                if self.state == GONE:
                    return
        if self.deadline > now:
            self.rearm()
            return
        if self.state == OVER:
            if self.awaited:        # the peer is still owed a reply
                self.arm()
                self.rearm()
            else:
                self.abort()
            return
        if self.state == GREETING:
            self.greet()
        elif self.state == HANDSHAKE:
            if self.has_spoken or not self.service.is_implicit:
                self.closes_at_once = True      # there is no last reply to wait for
                self.insecure("timeout", "not finished in time")
            else:
                self.handshake_over("timeout")
                self.end("plain", "tls_failed")     # it may be waiting for a greeting
        elif self.state == CONTENT or self.state == CHUNK:
            self.end("content_timeout", "content_timeout")
        elif (self.state == COMMAND or self.state == LOGIN) and self.contents is None and not self.awaited:
            if self.transaction is None and now - self.opened_at >= self.service.limits.session_timeout:
                self.end("session_timeout", "session_timeout")
            else:
                self.end("command_timeout", "command_timeout")
        else:
            self.arm()      # it is us that the peer waits for
        if self.state < GONE:
            self.rearm()
        self.go_on()
        self.flush()

    def drain(self):
        """421 4.3.2 now when between transactions; else turn() says it when the transaction has ended. A handshake gets a
        little time to be finished, so that the peer can be answered."""
        if GREETING <= self.state <= LOGIN:
            self.now = self.read_clock()
            self.turn()
            self.flush()
        elif self.state == HANDSHAKE:
            self.deadline = min(self.deadline, self.read_clock() + DRAIN_HANDSHAKE)
            self.rearm()

    def lost(self, cause="peer_closed"):
        """The connection is gone: an open transaction is logged as aborted and all memory is given back. Contents that
        the spool is syncing are ours; their session lives on until the spool has answered."""
        if self.state == GONE:
            return
        self.now = self.read_clock()
        self.over(cause)
        self.move(LOST)
        self.out = self.behind = None
        self.keep(None)
        self.leave_login()
        if self.timer is not None:
            self.context.wheel.cancel(self.timer)
        self.depart()

    def abort(self):
        """Ends it without another word. Here it only becomes over; a transport is closed as well."""
        self.over("drained" if self.context.is_draining else "internal")
        self.lost()

    def fail(self, fault):
        """A fault of ours: the peer may try again later, and somebody has to look. The other sessions go on."""
        self.context.log_fault("session failed", fault, self.session_id)
        self.end("internal", "internal")
        self.flush()

    def flush(self):
        """Moves the output to the peer. Here it only works off what is held, and leaves the output to be taken."""
        while self.has_more:
            self.out_size = 0
            self.go_on()

    def file_drained(self):
        """The file of a large content has caught up."""
        self.is_file_behind = False
        self.flush()

    @property
    def wants_input(self):
        return self.may_read()

    cdef int speaks_plainly(self, bytes octets) except -1:
        """Where TLS should begin came something else: answers the peer, in the clear, what this port is."""
        cdef Py_ssize_t start = 0, stop = 0
        cdef int verb = command(
            PyBytes_AS_STRING(octets), 0, PyBytes_GET_SIZE(octets.partition(b"\n")[0].rstrip(b"\r")), &start, &stop)
        self.handshake_over("protocol")
        return self.end_as_mixup("http" if verb == V_HTTP else "plain")

    # --- input ---

    cdef bint has_spoken_early(self) except -1:
        return self.held is not None

    cdef bint is_uninvited(self) noexcept:
        """Whether a content begins although the 354 before it is not written yet: a promise is before it, or the peer
        does not read."""
        return self.transaction.read == 0 and not self.may_talk_early and (
            self.out is not None or self.behind is not None or self.is_choked)

    cdef bint is_waiting(self) noexcept:
        """Whether what comes next must not be looked at yet."""
        return self.is_choked or self.is_held_up or not (COMMAND <= self.state <= CHUNK) or self.state == ASKING or (
            self.contents is not None and self.errors >= self.service.limits.errors)

    cdef bint may_go_ahead(self, char first) noexcept:
        """Whether a command may be obeyed while contents before it are being synced or asked about. AUTH and STARTTLS,
        whose replies begin another dialogue, may not, nor HELO and EHLO, whose reply has to be written before more is
        read, nor QUIT while something is asked; ``first`` is the first octet of the line."""
        cdef Py_ssize_t contents = self.awaited
        if self.contents is not None:
            contents += len(self.contents)
            if first == b"Q" or first == b"q":
                return False
        return contents < AHEAD and first not in b"AaSsEeHh" and not self.context.is_over_half_budget()

    cdef bint may_ask_ahead(self, bytes octets, Py_ssize_t at, Py_ssize_t n) noexcept:
        """Whether what begins at ``at`` may be read while recipients are asked about: half a line, or another recipient
        whose reply cannot depend on theirs."""
        cdef const char* p = PyBytes_AS_STRING(octets)
        cdef int fault = F_NONE
        cdef Py_ssize_t start = 0, stop = 0, asked = len(self.questions), end = next_line(p, at, n, &fault)
        if end < 0:
            return n - at <= self.line_limit()
        return fault == F_NONE and end - at <= self.line_limit() and command(p, at, end - 2, &start, &stop) == V_RCPT and (
            self.commands < self.service.limits.commands
            and asked < MOST_ASKED and asked + <Py_ssize_t>len(self.transaction.accepted) < self.service.limits.recipients)

    cdef bint may_read(self) noexcept:
        if self.state >= OVER:
            return True
        if self.is_choked or (
                self.is_file_behind and self.transaction is not None and self.transaction.large is not None):
            return False
        return self.held is None or PyBytes_GET_SIZE(self.held) <= HOLD_LIMIT or not (
            self.has_more or self.is_waiting())

    cdef int take_in(self, bytes octets, int64_t now) except -1:
        cdef bytes held = self.held
        self.now = self.context.latest = now
        self.context.counters[self.context.cells.read_bytes] += <uint64_t>PyBytes_GET_SIZE(octets)
        if self.state >= OVER:
            return 0
        if self.state == HANDSHAKE:
            return 0            # in the clear: it does not count (RFC 3207 5)
        if self.state == GREETING and not self.may_talk_early:
            return self.end("early_talker", "early_talker")
        if self.state == CONTENT and self.is_uninvited():
            return self.end("data_not_last", "early_talker")
        if held is not None:
            octets = held + octets
        if self.has_more or self.is_waiting():
            return self.keep(octets)
        if held is not None:
            self.keep(None)
        self.has_progressed = False
        self.advance(octets)
        if self.has_progressed and self.state < OVER:
            self.arm()
        return 0

    cdef int go_on(self) except -1:
        """Works on what is held, unless there is still something to wait for."""
        cdef bytes octets = self.held
        self.has_more = False
        if self.is_running or self.is_waiting():
            return 0
        self.turn()
        if octets is not None and self.state < OVER:
            self.keep(None)
            self.advance(octets)
        if self.state < OVER:
            self.arm()
        return 0

    cdef int keep(self, bytes octets) except -1:
        """Holds ``octets`` (None: nothing) for later."""
        if self.held is not None:
            self.context.let_go(PyBytes_GET_SIZE(self.held))
        self.held = octets
        if octets is not None:
            self.context.hold(PyBytes_GET_SIZE(octets))
        return 0

    cdef int advance(self, bytes octets) except -1:
        """Works through ``octets`` until they are used up or something is to be waited for; holds the rest."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), at = 0, next_at
        self.is_running = True
        try:
            while at < n and not self.is_waiting():
                if self.out_size > OUT_LIMIT:
                    if self.behind is None:
                        self.has_more = True
                    else:
                        self.is_held_up = True
                    break
                if self.state == CONTENT:
                    next_at = self.read_content(octets, at, n)
                elif self.state == CHUNK:
                    next_at = self.read_chunk(octets, at, n)
                elif self.state == RECIPIENTS and not self.may_ask_ahead(octets, at, n):
                    self.is_held_up = True
                    break
                elif (self.awaited or self.contents is not None) and not self.may_go_ahead(PyBytes_AS_STRING(octets)[at]):
                    self.is_held_up = True
                    break
                else:
                    next_at = self.read_line(octets, at, n)
                if next_at < 0:
                    break
                at = next_at
                self.turn()
        finally:
            self.is_running = False
        if at < n and self.state < OVER:
            self.keep(octets[at:])
        return 0

    cdef int turn(self) except -1:
        """After each command: has the session come to its end?"""
        if not GREETING <= self.state <= LOGIN:
            return 0
        if self.errors >= self.service.limits.errors and self.contents is None:
            return self.end("too_many_errors", "too_many_errors")
        if self.transaction is None and not self.has_questions():
            if self.context.is_draining:
                return self.end("drained", "drained")
            if self.now - self.opened_at >= self.service.limits.session_timeout:
                return self.end("session_timeout", "session_timeout")
        elif self.now - self.opened_at >= 2 * self.service.limits.session_timeout:
            return self.end("session_timeout", "session_timeout")      # a transaction is no way to stay for ever
        return 0

    cdef Py_ssize_t read_line(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2:
        """Reads one command at ``at``; returns the offset past it, -1 when it is not whole yet."""
        cdef const char* p = PyBytes_AS_STRING(octets)
        cdef int fault = F_NONE
        cdef Py_ssize_t end = next_line(p, at, n, &fault)
        cdef Py_ssize_t size
        if self.commands == 0 and p[at] == 0x16:
            self.end_as_mixup("tls")
            return n
        if end < 0:
            if not self.line_octets and n - at <= self.line_limit():
                return -1
            return self.skip_line(p, at, n)
        size = self.line_octets + end - at
        if size > self.line_limit():
            if not self.line_octets:
                self.count_command(V_NONE)
                self.refuse_long_line()
            self.line_octets = 0
            if size > self.line_limit() + SKIP_LIMIT:
                self.end("too_many_errors", "too_many_errors")
        elif self.state == LOGIN and fault == F_NONE:
            self.respond(octets[at:end - 2])
        elif self.state == LOGIN:
            self.respond(b"!")          # no line that there is in base64
        else:
            self.obey(octets, at, end, fault)
        self.has_progressed = True
        return end

    cdef Py_ssize_t skip_line(self, const char* p, Py_ssize_t at, Py_ssize_t n) except -2:
        """Drops the part of an overlong line that is there, but for a CR that may belong to its end."""
        cdef Py_ssize_t stop = n - 1 if p[n - 1] == c"\r" else n
        if not self.line_octets:
            self.count_command(V_NONE)
            self.refuse_long_line()
        self.line_octets += stop - at
        if self.line_octets > self.line_limit() + SKIP_LIMIT:
            self.end("too_many_errors", "too_many_errors")
        return stop if stop > at else -1

    cdef Py_ssize_t read_content(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2:
        """Reads content at ``at``; returns the offset past what was used: the end of data, or the end of the buffer."""
        cdef Transaction t = self.transaction
        cdef Py_ssize_t end = scan_content(&t.scan, PyBytes_AS_STRING(octets), at, n)
        cdef Py_ssize_t stop = n if end < 0 else end
        self.take_content(octets, at, stop)
        if t.read > self.most_octets():
            self.refuse_endless()
        elif end >= 0:
            self.move(DATA_ENDS)
            self.end_of_data()
        elif self.is_too_slow():
            self.end("slow", "slow")
        return stop

    cdef Py_ssize_t read_chunk(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2:
        """Reads octets of a chunk at ``at``; returns the offset past them."""
        cdef Transaction t = self.transaction
        cdef Py_ssize_t stop = at + <Py_ssize_t>min(<int64_t>(n - at), self.chunk_left)
        self.chunk_left -= stop - at
        self.has_progressed = True
        if self.is_chunk_wanted:
            scan_chunk(&t.scan, PyBytes_AS_STRING(octets), at, stop)
            self.take_content(octets, at, stop)
            if t.read > self.most_octets():
                self.refuse_endless()
                return stop
        if not self.chunk_left:
            self.chunk_over()
        elif self.is_chunk_wanted and self.is_too_slow():
            self.end("slow", "slow")
        return stop

    cdef int take_content(self, bytes octets, Py_ssize_t at, Py_ssize_t stop) except -1:
        """The transaction takes octets that its scan has looked at."""
        cdef Transaction t = self.transaction
        self.has_progressed = True
        try:
            if not t.take(octets, at, stop, self.file_drained):
                self.is_file_behind = True
        except Exception as fault:
            self.context.log_fault("content not kept", fault, self.session_id)
            t.trouble = "spool_failed"
            t.drop()
        return 0

    cdef int refuse_endless(self) except -1:
        """The content is so much too large that its end is not waited for."""
        refusal = REFUSALS["too_large"]
        self.refuse_content("content", refusal.reply, <str>refusal.reason)
        return self.over("refused")

    cdef bint is_too_slow(self) noexcept:
        """Whether the content has come in below the minimum rate for longer than it may (after the grace, on the average)."""
        cdef Transaction t = self.transaction
        cdef int64_t waited = self.now - t.data_at
        return waited > self.service.limits.data_rate_grace and (
            t.read * <int64_t>1000000 < waited * self.service.limits.data_rate)
