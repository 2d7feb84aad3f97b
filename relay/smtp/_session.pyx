# cython: language_level=3
"""The server's side of an SMTP session as a pure machine: octets and the time in, octets out (RFC 5321, RFC 2920).

Theory: receive() works through everything that has come in, command by command, and collects the replies. It stops only to
wait: for the sync of a content, for a policy that answers with an awaitable, or because the peer does not read what
we say. What has come in meanwhile is held, so replies are always in the order of the commands. There is one call per
buffer and no callback in between; what policy can answer from its tables it answers at once.

Which command may come when is one table (``_NEEDS``, ``_FORBIDS``); what a line or a content may be made of is decided
in next_line() and scan_content() of relay/_fastparse.pyx and nowhere else.

Invariants:
    - 250 for a content is only said after the spool has told that it is synced (I1);
    - the same octets bring the same replies however they are cut into buffers;
    - a session between transactions holds no buffer; while it waits it holds at most HOLD_LIMIT octets and one read.

Not here: replies, deadlines and the log (_speaker.pyx), the content (_transaction.pyx), sockets (_connection.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from relay._fastparse cimport (
    F_BARE_CR, F_BARE_LF, F_NONE, HOST_NONE, K_BODY, K_SIZE, K_SMTPUTF8, PATH_UTF8, P_NONE, V_AUTH, V_BDAT, V_DATA,
    V_EHLO, V_EXPN, V_HELO, V_HELP, V_HTTP, V_LHLO, V_MAIL, V_NONE, V_NOOP, V_QUIT, V_RCPT, V_RSET, V_STARTTLS, V_TLS,
    V_VRFY, command, decimal, equals, has_eight_bit, host_kind, next_line, next_param, path_address, path_argument,
    scan_content,
)
from relay.smtp._context cimport VERBS, ServerContext, id_text
from relay.smtp._received cimport protocol_keyword, received_field
from relay.smtp._speaker cimport COMMAND, CONTENT, GONE, GREETING, OVER, SPOOLING
from relay.smtp._transaction cimport Transaction

import msgpack

from relay.mail import reply as words
from relay.mail.address import AddressError, ascii_domain
from relay.mail.envelope import BODY_8BIT, SMTPUTF8, SUBMISSION, Client, Envelope
from relay.policy.verdict import ANNOTATE, DEFER, REJECT, Verdict
from relay.smtp.client_key import client_key
from relay.smtp.replies import MAIL_PATH_REPLIES, RCPT_PATH_REPLIES, REFUSALS, shown, worded

cdef enum:
    # Situations of a session, for the table of commands.
    GREETED = 1             # HELO or EHLO was accepted
    OPEN = 2                # a transaction is open
    HAS_RECIPIENTS = 4      # and has a recipient

    HOLD_LIMIT = 4096       # octets held while waiting; above it the transport stops reading
    OUT_LIMIT = 65536       # octets of replies, after which the transport is given a turn
    SKIP_LIMIT = 65536      # octets of an overlong line, after which the session ends
    OVERRUN = 1048576       # octets beyond twice the greatest content, after which the session ends

    FLAG_8BIT = 1
    FLAG_SMTPUTF8 = 2
    FLAG_SUBMISSION = 32

assert (FLAG_8BIT, FLAG_SMTPUTF8, FLAG_SUBMISSION) == (BODY_8BIT, SMTPUTF8, SUBMISSION)

# The table of commands: what must be, and what must not be (RFC 5321 4.1.4). By relay._fastparse.Verb.
cdef int[VERBS] _NEEDS
cdef int[VERBS] _FORBIDS
_NEEDS[<int>V_MAIL], _FORBIDS[<int>V_MAIL] = GREETED, OPEN
_NEEDS[<int>V_RCPT] = GREETED | OPEN
_NEEDS[<int>V_DATA] = GREETED | OPEN | HAS_RECIPIENTS

cdef bytes _OK = words.OK.wire()
cdef bytes _MAIL_OK = words.MAIL_OK.wire()
cdef bytes _RCPT_OK = words.RCPT_OK.wire()
cdef bytes _SEND_CONTENT = words.SEND_CONTENT.wire()
cdef bytes _BYE = words.BYE.wire()
cdef bytes _HELP = words.HELP.wire()
cdef bytes _CANNOT_VERIFY = words.CANNOT_VERIFY.wire()
cdef object _pack = msgpack.Packer(use_bin_type=True).pack
cdef object _QUEUED = words.OK      # what the log says of an accepted transaction

# The envelope is packed here as the tuple it is on disk; a test holds it against relay.mail.envelope.
assert Envelope._fields == (
    "queue_id", "received_at", "reverse_path", "recipients", "flags", "size", "session_id", "client", "carried")
assert Client._fields == ("address", "helo", "protocol", "tls", "account", "listener")


cdef class Session(Speaker):
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
        trouble = context.enter(self, self.client_key)
        if trouble is not None:
            context.count(<Py_ssize_t>context.refused_connections[trouble])
            self.end(trouble, "refused")
            return
        self.arm()
        try:
            answer = context.policy.connect(self)
        except Exception as fault:
            answer = self.policy_failed(fault)
        self.ask(AT_CONNECT, answer)

    def receive(self, bytes octets not None, int64_t now):
        """Takes what the peer sent; returns all replies that it brought about, with what was to be written before."""
        self.take_in(octets, now)
        self.flush()
        return self.take_output()

    def answered(self, verdict):
        """The awaitable that ``question`` was has given ``verdict`` (a Verdict or None), or an exception."""
        cdef int stage = self.question_stage
        if self.question is None or self.state >= OVER:
            return
        self.now = self.read_clock()
        self.question = None
        if isinstance(verdict, BaseException):
            verdict = self.policy_failed(verdict)
        self.judge(stage, verdict)
        self.go_on()
        self.flush()

    def spooled(self, error):
        """The spool's answer for the content that ended last."""
        if self.transaction is None:
            return
        self.now = self.read_clock()
        self.settle(error)
        if not self.is_running and self.state < GONE:
            self.go_on()
            self.flush()

    def expired(self, int64_t now):
        """The timer has come due; the deadline may have moved meanwhile."""
        self.now = now
        if self.deadline > now:
            self.rearm()
            return
        if self.state == OVER:
            self.abort()
            return
        if self.state == GREETING and self.is_settled:
            self.greet()
        elif self.state == CONTENT:
            self.end("content_timeout", "content_timeout")
        elif self.state == COMMAND and self.question is None:
            if self.transaction is None and now - self.opened_at >= self.context.limits.session_timeout:
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
        """421 4.3.2 now when between transactions; else turn() says it when the transaction has ended."""
        if self.state == COMMAND or (self.state == GREETING and self.is_settled):
            self.now = self.read_clock()
            self.turn()
            self.flush()

    def lost(self, cause="peer_closed"):
        """The connection is gone: an open transaction is logged as aborted and all memory is given back. A content that
        the spool is syncing is ours; its session lives on until the spool has answered."""
        cdef bint was_over = self.state == OVER
        if self.state == GONE:
            return
        self.now = self.read_clock()
        if self.state == SPOOLING and self.transaction is not None and self.question is None:
            if not was_over:
                self.context.count(<Py_ssize_t>self.context.closed[cause])
        elif not was_over:
            self.over(cause)
        self.state = GONE
        self.out = None
        self.keep(None)
        self.question = None
        if self.timer is not None:
            self.context.wheel.cancel(self.timer)
        self.depart()

    def depart(self):
        """Counts the session out, once nothing of it is left."""
        cdef ServerContext context = self.context
        if self.transaction is None and self.opened_at >= 0:
            context.counters[context.cells.sessions_open[self.service.kind]] -= 1
            context.observe_session(self.now - self.opened_at)
            context.leave(self, self.client_key)
            self.opened_at = -1

    def abort(self):
        """Ends it without another word. Here it only becomes over; a transport is closed as well."""
        self.over("drained" if self.context.is_draining else "internal")
        self.lost()

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

    # --- input ---

    cdef bint is_waiting(self) noexcept:
        return self.question is not None or self.is_choked or (self.state != COMMAND and self.state != CONTENT)

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
        if self.state == GREETING and self.is_settled:
            return self.end("early_talker", "refused")
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
                    self.has_more = True
                    break
                if self.state == CONTENT:
                    next_at = self.read_content(octets, at, n)
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
        if self.state != COMMAND and not (self.state == GREETING and self.is_settled):
            return 0
        if self.errors >= self.context.limits.errors:
            return self.end("too_many_errors", "too_many_errors")
        if self.transaction is None and self.question is None:
            if self.context.is_draining:
                return self.end("drained", "drained")
            if self.now - self.opened_at >= self.context.limits.session_timeout:
                return self.end("session_timeout", "session_timeout")
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
            if not self.line_octets and n - at <= self.context.limits.line:
                return -1
            return self.skip_line(p, at, n)
        size = self.line_octets + end - at
        if size > self.context.limits.line:
            if not self.line_octets:
                self.count_command(V_NONE)
                self.refuse("line_too_long")
            self.line_octets = 0
            if size > self.context.limits.line + SKIP_LIMIT:
                self.end("too_many_errors", "too_many_errors")
        else:
            self.obey(octets, at, end, fault)
        self.has_progressed = True
        return end

    cdef Py_ssize_t skip_line(self, const char* p, Py_ssize_t at, Py_ssize_t n) except -2:
        """Drops the part of an overlong line that is there, but for a CR that may belong to its end."""
        cdef Py_ssize_t stop = n - 1 if p[n - 1] == c"\r" else n
        if not self.line_octets:
            self.count_command(V_NONE)
            self.refuse("line_too_long")
        self.line_octets += stop - at
        if self.line_octets > self.context.limits.line + SKIP_LIMIT:
            self.end("too_many_errors", "too_many_errors")
        return stop if stop > at else -1

    # --- commands ---

    cdef int obey(self, bytes octets, Py_ssize_t at, Py_ssize_t end, int fault) except -1:
        """Obeys or refuses the command in the line octets[at:end)."""
        cdef const char* p = PyBytes_AS_STRING(octets)
        cdef Py_ssize_t line_end = end - 1 if end - at < 2 or p[end - 2] != c"\r" else end - 2
        cdef Py_ssize_t arg_start = 0, arg_end = 0
        cdef int verb = command(p, at, line_end, &arg_start, &arg_end)
        if verb == V_HTTP or verb == V_TLS:
            return self.end_as_mixup("http" if verb == V_HTTP else "tls")
        self.count_command(verb)
        if self.commands > self.context.limits.commands:
            return self.end("too_many_commands", "too_many_commands")
        if fault != F_NONE:
            return self.refuse("bare_cr" if fault == F_BARE_CR else "bare_lf" if fault == F_BARE_LF else "nul")
        if verb == V_NONE:
            return self.refuse("unknown_command", shown(octets[at:line_end], 20))
        if verb != V_MAIL and verb != V_RCPT and verb != V_VRFY and has_eight_bit(p, at, line_end):
            return self.refuse("not_ascii")
        if self.is_refused_by_order(verb):
            return 0
        return self.dispatch(verb, octets, arg_start, arg_end)

    cdef int count_command(self, int verb) except -1:
        self.commands += 1
        self.context.count(self.context.cells.verbs[verb])
        return 0

    cdef int end_as_mixup(self, str protocol) except -1:
        """Tells a peer that speaks another protocol so, once (RFC 5321 knows no better way)."""
        self.context.count(<Py_ssize_t>self.context.mixups[protocol])
        return self.end(protocol, "mixup")

    cdef bint is_refused_by_order(self, int verb) except -1:
        """Refuses a command that may not come now."""
        cdef Transaction t = self.transaction
        cdef int missing, situation = 0
        if self.helo_name is not None:
            situation |= GREETED
        if t is not None:
            situation |= OPEN
            if t.recipients:
                situation |= HAS_RECIPIENTS
        missing = _NEEDS[verb] & ~situation
        if missing & GREETED:
            self.refuse("helo_first")
        elif missing & OPEN:
            self.refuse("mail_first")
        elif missing and t.refused:
            self.refuse("no_recipients")
        elif missing:
            self.refuse("rcpt_first")
        elif _FORBIDS[verb] & situation:
            self.refuse("mail_twice")
        else:
            return False
        return True

    cdef int dispatch(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1:
        """Obeys a command whose turn it is; its argument is octets[at:end)."""
        if verb == V_MAIL:
            return self.mail(octets, at, end)
        if verb == V_RCPT:
            return self.rcpt(octets, at, end)
        if verb == V_EHLO or verb == V_HELO:
            return self.hello(verb, octets, at, end)
        if verb == V_NOOP:
            return self.say(_OK)
        if verb == V_HELP:
            return self.say(_HELP)
        if verb == V_VRFY:
            return self.say(_CANNOT_VERIFY) if at < end else self.refuse("argument_missing")
        if verb == V_DATA or verb == V_RSET or verb == V_QUIT:
            if at < end:
                return self.refuse("argument_unwanted")
            if verb == V_DATA:
                return self.data()
            if verb == V_RSET:
                self.abort_transaction("")
                return self.say(_OK)
            self.say(_BYE)
            self.closes_at_once = True
            return self.over("quit")
        if verb == V_LHLO:
            return self.refuse("lmtp")
        if verb == V_STARTTLS:
            return self.refuse("starttls")
        if verb == V_AUTH:
            return self.refuse("auth")
        return self.refuse("not_implemented")       # BDAT, EXPN

    cdef int greet(self) except -1:
        self.state = COMMAND
        self.say(self.service.greeting)
        return self.arm()

    cdef int hello(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1:
        """HELO and EHLO (RFC 5321 4.1.1.1)."""
        if at == end:
            return self.refuse("argument_missing")
        self.candidate = octets[at:end]
        if host_kind(PyBytes_AS_STRING(octets), at, end) == HOST_NONE:
            return self.refuse("bad_helo", shown(self.candidate))
        self.candidate_flags = verb == V_EHLO
        try:
            answer = self.context.policy.helo(self, self.candidate)
        except Exception as fault:
            answer = self.policy_failed(fault)
        return self.ask(AT_HELO, answer)

    cdef int mail(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1:
        """MAIL FROM:<reverse-path> with SIZE, BODY and SMTPUTF8 (RFC 5321 4.1.1.2, 1870, 6152, 6531)."""
        cdef const char* p = PyBytes_AS_STRING(octets)
        cdef PathArgument path
        cdef Param param
        cdef int64_t size = 0
        cdef int seen = 0, found, flag, error = path_argument(p, at, end, V_MAIL, &path)
        if error != P_NONE:
            reply = MAIL_PATH_REPLIES[error]
            self.log_refusal("mail", reply, "syntax", octets[at:end])
            return self.say_reply(reply, "syntax")
        cdef bytes reverse_path = self.address_of(octets, &path)
        if reverse_path is None:
            return self.refuse_mail("bad_domain", "", octets[at:end])
        cdef Py_ssize_t here = path.params_start
        self.candidate_flags = FLAG_SUBMISSION if self.service.is_submission else 0
        while True:
            found = next_param(p, &here, path.params_end, &param)
            if found == 0:
                break
            if found < 0:
                return self.refuse_mail("bad_parameters", shown(octets[here:path.params_end]), reverse_path)
            flag = self.mail_parameter(p, &param, &size)
            if flag < 0:
                name = "bad_size" if param.keyword == K_SIZE else "bad_body" if param.keyword == K_BODY else "bad_parameters"
                return self.refuse_mail(name, "", reverse_path)
            if flag == 0:
                return self.refuse_mail(
                    "unknown_parameter", shown(octets[param.keyword_start:param.keyword_end]), reverse_path)
            if seen & flag:
                return self.refuse_mail(
                    "parameter_twice", shown(octets[param.keyword_start:param.keyword_end]), reverse_path)
            seen |= flag
        if path.flags & PATH_UTF8 and not self.candidate_flags & FLAG_SMTPUTF8:
            return self.refuse_mail("needs_smtputf8", "", reverse_path)
        if size > self.context.limits.message_size:
            return self.refuse_mail("too_large", f"the limit is {self.context.limits.message_size} octets", reverse_path)
        if not self.context.spool.has_room():
            return self.refuse_mail("disk_low", "", reverse_path)
        if self.context.is_over_budget():
            return self.refuse_mail("memory", "", reverse_path)
        self.candidate = reverse_path
        try:
            answer = self.context.policy.mail(self, reverse_path)
        except Exception as fault:
            answer = self.policy_failed(fault)
        return self.ask(AT_MAIL, answer)

    cdef int mail_parameter(self, const char* p, Param* param, int64_t* size) except -2:
        """Takes one parameter; returns a bit of its own, 0 when it is not offered, -1 when its value is wrong."""
        if param.keyword == K_SIZE:
            size[0] = -1 if param.value_start < 0 else decimal(p, param.value_start, param.value_end)
            return 1 if size[0] >= 0 else -1
        if param.keyword == K_BODY:
            if param.value_start < 0:
                return -1
            if equals(p, param.value_start, param.value_end, b"8BITMIME"):
                self.candidate_flags |= FLAG_8BIT
                return 2
            return 2 if equals(p, param.value_start, param.value_end, b"7BIT") else -1
        if param.keyword == K_SMTPUTF8:
            self.candidate_flags |= FLAG_SMTPUTF8
            return 4 if param.value_start < 0 else -1
        return 0

    cdef int rcpt(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1:
        """RCPT TO:<recipient> (RFC 5321 4.1.1.3)."""
        cdef const char* p = PyBytes_AS_STRING(octets)
        cdef Transaction t = self.transaction
        cdef PathArgument path
        cdef Param param
        cdef int found, error = path_argument(p, at, end, V_RCPT, &path)
        if error != P_NONE:
            return self.refuse_rcpt(RCPT_PATH_REPLIES[error], "syntax")
        cdef Py_ssize_t here = path.params_start
        found = next_param(p, &here, path.params_end, &param)
        if found < 0:
            return self.refuse_rcpt(worded(words.BAD_PARAMETERS, shown(octets[here:path.params_end])), "parameter")
        if found > 0:
            return self.refuse_rcpt(
                worded(words.UNKNOWN_PARAMETER, shown(octets[param.keyword_start:param.keyword_end])), "parameter")
        if path.flags & PATH_UTF8 and not t.flags & FLAG_SMTPUTF8:
            return self.refuse_rcpt(words.NEEDS_SMTPUTF8, "smtputf8")
        self.candidate = self.address_of(octets, &path)
        if self.candidate is None:
            return self.refuse_rcpt(words.BAD_DOMAIN, "syntax")
        if len(t.recipients) >= self.context.limits.recipients:
            return self.refuse_rcpt(worded(
                words.TOO_MANY_RECIPIENTS, f"the limit is {self.context.limits.recipients}"), "too_many_recipients")
        try:
            answer = self.context.policy.rcpt(self, self.candidate)
        except Exception as fault:
            answer = self.policy_failed(fault)
        return self.ask(AT_RCPT, answer)

    cdef bytes address_of(self, bytes octets, PathArgument* path):
        """The address as envelopes keep it, its domain as A-labels; None when it has no such form (RFC 5891)."""
        cdef bytes address = path_address(PyBytes_AS_STRING(octets), path)
        if not path.flags & PATH_UTF8:
            return address
        local, _, domain = address.rpartition(b"@")
        try:
            return local + b"@" + ascii_domain(domain)
        except AddressError:
            return None

    cdef int data(self) except -1:
        cdef Transaction t = self.transaction
        t.data_at = self.now
        t.queue_id = id_text(self.context.next_id(self.now + self.context.wall_offset))
        self.state = CONTENT
        return self.say(_SEND_CONTENT)

    # --- refusals inside a transaction ---

    cdef int refuse_mail(self, str name, str detail, bytes reverse_path) except -1:
        """Refuses MAIL; there is no transaction, but there is a line in the log."""
        refusal = REFUSALS[name]
        reply = worded(refusal.reply, detail)
        self.log_refusal("mail", reply, <str>refusal.reason, reverse_path)
        return self.say_reply(reply, <str>refusal.reason)

    cdef int refuse_rcpt(self, object reply, str reason) except -1:
        """Refuses one recipient; the transaction remembers the last one in case that no other is accepted."""
        cdef Transaction t = self.transaction
        cdef ServerContext context = self.context
        t.refused += 1
        t.refusal = (reply, reason)
        context.count(
            context.cells.recipients_refused if reply.code >= 500 else context.cells.recipients_deferred)
        self.say_reply(reply, reason)
        # A sender with more recipients than we take at a time is no attacker: it sends the rest in the next
        # transaction (RFC 5321 4.5.3.1.10), if we let it end this one.
        if reason == "too_many_recipients" and t.refused <= context.limits.recipients:
            self.errors -= 1
        return 0

    cdef int refuse_content(self, str stage, object reply, str reason) except -1:
        """Refuses what came with DATA, and so ends the transaction."""
        cdef str result = "refused" if reply.code >= 500 else "deferred"
        self.state = COMMAND
        self.say_reply(reply, reason)
        return self.end_transaction(result, stage, reply, reason)

    # --- policy ---

    def policy_failed(self, fault):
        """The verdict for a policy that has failed: unknown failure is temporary; the cause is for us only."""
        self.context.log_fault("policy failed", fault, self.session_id)
        return Verdict(DEFER, words.POLICY_FAILED)

    cdef int ask(self, int stage, object answer) except -1:
        """Goes on with ``answer``, or waits for it when it is an awaitable."""
        if answer is None:
            return self.accept(stage)
        if isinstance(answer, Verdict):
            return self.judge(stage, answer)
        self.question = answer
        self.question_stage = stage
        return 0

    cdef int judge(self, int stage, object verdict) except -1:
        """Goes on after a verdict, or refuses with its reply."""
        cdef Transaction t = self.transaction
        if verdict is None:
            return self.accept(stage)
        reply = verdict.reply
        if verdict.kind == ANNOTATE:
            if verdict.is_trusted:
                self.is_trusted = True
            if verdict.recipient is not None and stage == AT_RCPT:
                self.candidate = verdict.recipient
            if verdict.fields and t is not None:
                t.fields = verdict.fields
            return self.accept(stage)
        if stage == AT_CONNECT:
            return self.refuse_connection(reply)
        if stage == AT_RCPT:
            self.refuse_rcpt(reply, _reason_of(reply))
        elif stage == AT_DATA:
            self.refuse_content("content", reply, _reason_of(reply))
        else:
            self.say_reply(reply, _reason_of(reply))
            self.log_refusal("mail" if stage == AT_MAIL else "helo", reply, _reason_of(reply),
                             self.candidate if stage == AT_MAIL else None)
        if reply.code == 421:
            self.over("refused")
        return 0

    cdef int refuse_connection(self, object reply) except -1:
        """Policy does not want this client: its reply takes the place of the greeting (RFC 5321 3.1)."""
        self.context.count(<Py_ssize_t>self.context.refused_connections["policy"])
        self.say(<bytes>reply.wire())
        self.log_refusal("connect", reply, "policy", None)
        return self.over("refused")

    cdef int accept(self, int stage) except -1:
        """Nothing speaks against it."""
        cdef Transaction t = self.transaction
        if stage == AT_RCPT:
            t.recipients[self.candidate] = None
            self.context.count(self.context.cells.recipients_accepted)
            return self.say(_RCPT_OK)
        if stage == AT_MAIL:
            self.transactions += 1
            t = Transaction(self.context, self.candidate, self.candidate_flags, self.transactions)
            t.started_at = self.now
            self.transaction = t
            return self.say(_MAIL_OK)
        if stage == AT_DATA:
            return self.submit()
        if stage == AT_HELO:
            self.abort_transaction("")
            self.helo_name = self.candidate
            self.is_esmtp = self.candidate_flags
            return self.say(self.service.ehlo_reply if self.is_esmtp else self.service.helo_reply)
        self.is_settled = True
        if self.context.limits.banner_delay:
            self.deadline = self.now + self.context.limits.banner_delay
            self.rearm()
            return 0
        return self.greet()

    # --- content ---

    cdef Py_ssize_t read_content(self, bytes octets, Py_ssize_t at, Py_ssize_t n) except -2:
        """Reads content at ``at``; returns the offset past what was used: the end of data, or the end of the buffer."""
        cdef Transaction t = self.transaction
        cdef Py_ssize_t end = scan_content(&t.scan, PyBytes_AS_STRING(octets), at, n)
        cdef Py_ssize_t stop = n if end < 0 else end
        self.has_progressed = True
        try:
            if not t.take(octets, at, stop, self.file_drained):
                self.is_file_behind = True
        except Exception as fault:
            self.context.log_fault("content not kept", fault, self.session_id)
            t.trouble = "spool_failed"
            t.drop()
        if t.read > 2 * self.context.limits.message_size + OVERRUN:
            refusal = REFUSALS["too_large"]
            self.refuse_content("content", refusal.reply, <str>refusal.reason)
            self.over("refused")
        elif end >= 0:
            self.end_of_data()
        elif self.is_too_slow():
            self.end("slow", "slow")
        return stop

    cdef bint is_too_slow(self) noexcept:
        """Whether the content has come in below the minimum rate for longer than it may (after the grace, on the average)."""
        cdef Transaction t = self.transaction
        cdef int64_t waited = self.now - t.data_at
        return waited > self.context.limits.data_rate_grace and (
            t.read * <int64_t>1000000 < waited * self.context.limits.data_rate)

    cdef int end_of_data(self) except -1:
        cdef Transaction t = self.transaction
        cdef str trouble
        t.ended_at = self.now
        self.state = SPOOLING
        t.finish()
        trouble = t.check()
        if trouble is not None:
            refusal = REFUSALS[trouble]
            return self.refuse_content("content", refusal.reply, <str>refusal.reason)
        try:
            answer = self.context.policy.data(self, t.pieces)
        except Exception as fault:
            answer = self.policy_failed(fault)
        return self.ask(AT_DATA, answer)

    cdef int submit(self) except -1:
        """Hands the content to the spool; spooled() follows, or settle() at once when that fails."""
        cdef Transaction t = self.transaction
        cdef ServerContext context = self.context
        cdef int64_t wall = t.ended_at + context.wall_offset
        cdef bytes recipient = <bytes>next(iter(t.recipients)) if len(t.recipients) == 1 else None
        cdef str protocol = protocol_keyword(
            self.is_esmtp, bool(self.tls), bool(self.account), bool(t.flags & FLAG_SMTPUTF8))
        cdef bytes received = received_field(
            self.helo_name, self.client_address, context.hostname, protocol, t.queue_id, recipient,
            context.date_at(wall))
        cdef list parts = t.parts(received, self.service.is_submission, wall)
        if t.large is None:
            return self.append(parts, None)
        t.pieces = parts
        try:
            t.large.commit(self.large_committed)
        except Exception as error:
            self.settle(error)
        return 0

    def large_committed(self, error):
        """The file of a large content is published (or not): now its record can follow."""
        cdef Transaction t = self.transaction
        if t is None:
            return
        self.now = self.read_clock()
        if error is None and self.state != GONE:
            self.append(t.pieces, t.large)
            return
        if error is None:
            self.end_transaction("aborted", "spool", None, "peer_closed")
            self.depart()
            return
        self.spooled(error)

    cdef int append(self, list parts, object large) except -1:
        """The envelope is what relay.mail.envelope.Envelope packs, without making one."""
        cdef Transaction t = self.transaction
        cdef bytes envelope = <bytes>_pack((
            t.queue_id, t.ended_at + self.context.wall_offset, t.reverse_path, tuple(t.recipients), t.flags, t.size,
            id_text(self.number),
            (self.client_address, self.helo_name.decode("utf-8", "replace"),
             protocol_keyword(self.is_esmtp, bool(self.tls), bool(self.account), bool(t.flags & FLAG_SMTPUTF8)),
             self.tls, self.account, self.service.name),
            None,
        ))
        try:
            if large is None:
                self.context.spool.append(envelope, parts, self)
            else:
                self.context.spool.append(envelope, parts, self, large)
                t.large = None      # it belongs to the record now
        except Exception as error:
            self.settle(error)
        return 0

    cdef int settle(self, object error) except -1:
        """The spool has answered: 250 or 45x; the transaction has ended."""
        cdef Transaction t = self.transaction
        cdef bint is_gone = self.state == GONE
        if error is None:
            self.errors = 0
            if not is_gone:
                self.state = COMMAND
                self.say(b"250 2.0.0 Ok: queued as %b\r\n" % t.queue_id.encode())
            self.end_transaction("accepted", "spool", _QUEUED, None)
        else:
            self.context.log_fault("not spooled", error, self.session_id)
            refusal = REFUSALS["disk_low" if getattr(error, "is_full", False) else "spool_failed"]
            self.refuse_content("spool", refusal.reply, <str>refusal.reason)
            if is_gone:
                self.state = GONE
        if is_gone:
            self.out = None
            self.depart()
        return 0


cdef str _reason_of(object reply):
    """The reason that a refusal of policy is counted under, from its enhanced status (RFC 3463)."""
    status = reply.status
    if status[2:] == "1.1":
        return "unknown_recipient"
    if status == "5.7.1":
        return "relay_denied"
    if reply.code == 530:
        return "auth_required"
    if status[2:] == "3.0":
        return "internal"
    return "sender_rejected" if status[2:] in ("1.7", "1.8") else "policy"
