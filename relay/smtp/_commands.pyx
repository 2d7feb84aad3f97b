# cython: language_level=3
"""The commands of a session: which may come when, what they ask of policy, what is replied (RFC 5321 4.1).

Theory: which command may come when is one table (``_NEEDS``, ``_FORBIDS``). A command that policy is asked about goes on
in accept() or is refused in judge(), at once or, when the answer is an awaitable, as soon as it is there: the way is
the same.

Not here: how lines are read (_session.pyx, relay/_fastparse.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from relay._fastparse cimport (
    F_BARE_CR, F_BARE_LF, F_NONE, V_AUTH, V_DATA, V_EHLO, V_HELO, V_HELP, V_HTTP, V_LHLO, V_MAIL, V_NONE, V_NOOP, V_QUIT,
    V_RCPT, V_RSET, V_STARTTLS, V_TLS, V_VRFY, command, decimal, equals, has_eight_bit,
)
from relay.mail._paths cimport HOST_NONE, PATH_UTF8, P_NONE, host_kind, path_address, path_argument
from relay.smtp._context cimport VERBS, ServerContext, id_text
from relay.smtp._login cimport AT_AUTH, AT_CONNECT, AT_DATA, AT_HELO, AT_MAIL, AT_RCPT
from relay.smtp._parameters cimport K_AUTH, K_BODY, K_SIZE, K_SMTPUTF8, Param, is_xtext, next_param
from relay.smtp._speaker cimport COMMAND, CONTENT, SPOOLING
from relay.smtp._transaction cimport Transaction

from relay.mail import reply as words
from relay.mail.address import AddressError, ascii_domain
from relay.mail.envelope import BODY_8BIT, SMTPUTF8, SUBMISSION
from relay.mail.spoken import spoken
from relay.policy.verdict import ANNOTATE, DEFER, Verdict
from relay.smtp.replies import MAIL_PATH_REPLIES, RCPT_PATH_REPLIES, REFUSALS, shown, worded

cdef enum:
    # Situations of a session, for the table of commands.
    GREETED = 1             # HELO or EHLO was accepted
    OPEN = 2                # a transaction is open
    HAS_RECIPIENTS = 4      # and has a recipient

    FLAG_8BIT = 1
    FLAG_SMTPUTF8 = 2
    FLAG_SUBMISSION = 32

cdef enum:
    REFUSALS_LOGGED = 10        # refused recipients named in the line of a transaction

assert (FLAG_8BIT, FLAG_SMTPUTF8, FLAG_SUBMISSION) == (BODY_8BIT, SMTPUTF8, SUBMISSION)


# The table of commands: what must be, and what must not be (RFC 5321 4.1.4). By relay._fastparse.Verb.
cdef int[VERBS] _NEEDS
cdef int[VERBS] _FORBIDS
_NEEDS[<int>V_MAIL], _FORBIDS[<int>V_MAIL] = GREETED, OPEN
_NEEDS[<int>V_RCPT] = GREETED | OPEN
_NEEDS[<int>V_DATA] = GREETED | OPEN | HAS_RECIPIENTS
_NEEDS[<int>V_STARTTLS], _FORBIDS[<int>V_STARTTLS] = GREETED, OPEN
_NEEDS[<int>V_AUTH], _FORBIDS[<int>V_AUTH] = GREETED, OPEN

cdef bytes _OK = words.OK.wire()
cdef bytes _MAIL_OK = words.MAIL_OK.wire()
cdef bytes _RCPT_OK = words.RCPT_OK.wire()
cdef bytes _SEND_CONTENT = words.SEND_CONTENT.wire()
cdef bytes _START_TLS = words.START_TLS.wire()
cdef bytes _BYE = words.BYE.wire()
cdef bytes _HELP = words.HELP.wire()
cdef bytes _CANNOT_VERIFY = words.CANNOT_VERIFY.wire()


cdef class Commands(Login):
    """Obeys one command at a time; Session feeds it."""

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
            other = spoken(octets[at:line_end]) if self.commands == 1 else ""
            if other in self.context.mixups:
                return self.end_as_mixup(other)
            return self.refuse("unknown_command", shown(octets[at:line_end], 20))
        if verb != V_MAIL and verb != V_RCPT and verb != V_VRFY and has_eight_bit(p, at, line_end):
            return self.refuse("not_ascii")
        if verb == V_STARTTLS:
            return self.starttls(arg_start < arg_end, end == PyBytes_GET_SIZE(octets))
        if verb == V_AUTH and self.service.authenticator is None:
            return self.refuse("auth")
        if self.is_refused_by_order(verb):
            return 0
        return self.dispatch(verb, octets, arg_start, arg_end)

    cdef int count_command(self, int verb) except -1:
        self.commands += 1
        self.context.count(self.context.cells.verbs[verb])
        return 0

    cdef int end_as_mixup(self, str protocol) except -1:
        """Tells a peer that speaks another protocol so, and where the right port is, once (RFC 5321 knows no better
        way)."""
        self.context.count(<Py_ssize_t>self.context.mixups[protocol])
        return self.end(protocol, "mixup", self.service.directions)

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
        if verb == V_AUTH:
            return self.auth(octets, at, end)
        return self.refuse("not_implemented")       # BDAT, EXPN

    cdef int greet(self) except -1:
        self.state = COMMAND
        self.say(self.service.greeting)
        return self.arm()

    cdef int welcome(self) except -1:
        """Asks policy about the client; then it is greeted, or refused."""
        try:
            answer = self.context.policy.connect(self)
        except Exception as fault:
            answer = self.policy_failed(fault)
        return self.ask(AT_CONNECT, answer)

    cdef int starttls(self, bint has_argument, bint is_last) except -1:
        """STARTTLS (RFC 3207 4). The handshake begins with the first octet that comes after this one.

        What stands behind it in the same buffer was sent in the clear, by the client or by somebody in between, and
        must never be taken for something said under TLS (RFC 3207 5, CVE-2011-0411): the session ends there.
        """
        if self.service.tls is None:
            return self.refuse("starttls")
        if self.tls:
            return self.refuse("starttls_twice")
        if self.is_refused_by_order(V_STARTTLS):
            return 0
        if has_argument:
            return self.refuse("argument_unwanted")
        if not is_last:
            return self.end("starttls_not_last", "refused")
        if not self.begin_handshake():
            return self.refuse("tls_busy")
        self.say(_START_TLS)
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
            # Not remembered: whether there are such octets is seen in the content, and a message that was declared
            # 8BITMIME without need can still go to a next hop that does not offer it (RFC 6152 3).
            return 2 if equals(p, param.value_start, param.value_end, b"8BITMIME") or equals(
                p, param.value_start, param.value_end, b"7BIT") else -1
        if param.keyword == K_AUTH and self.service.authenticator is not None:
            # Who is said to have submitted it elsewhere; that is not for us to vouch for, so it goes no further
            # (RFC 4954 5).
            return 8 if param.value_start >= 0 and is_xtext(p, param.value_start, param.value_end) else -1
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
        cdef bytes address
        cdef int found, error = path_argument(p, at, end, V_RCPT, &path)
        self.candidate = octets[at:end]
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
        address = self.address_of(octets, &path)
        if address is None:
            return self.refuse_rcpt(words.BAD_DOMAIN, "syntax")
        self.candidate = address
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
        if t.refused <= REFUSALS_LOGGED:
            t.refusals = t.refusals or []
            t.refusals.append(b"%b: %d %b" % (self.candidate, reply.code, reply.status.encode()))
        context.count(
            context.cells.recipients_refused if reply.code >= 500 else context.cells.recipients_deferred)
        self.say_reply(reply, reason)
        # A sender with more recipients than we take at a time is no attacker: it sends the rest in the next
        # transaction (RFC 5321 4.5.3.1.10), if we let it end this one.
        if reason == "too_many_recipients" and t.refused <= context.limits.recipients:
            self.errors -= 1
        return 0

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
            if not self.is_esmtp:
                return self.say(self.service.helo_reply)
            return self.say(self.service.ehlo_reply if self.tls else self.service.ehlo_starttls)
        self.is_settled = True
        if self.context.limits.banner_delay:
            self.deadline = self.now + self.context.limits.banner_delay
            self.rearm()
            return 0
        return self.greet()

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
