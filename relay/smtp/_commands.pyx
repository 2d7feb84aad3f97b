# cython: language_level=3
"""The commands of a session: which may come when, what they ask of policy, what is replied (RFC 5321 4.1).

Theory: which command may come when is one table (``_NEEDS``, ``_FORBIDS``). What policy is asked about goes on in
_policy.pyx.

HELO, EHLO and DATA end what a client may send in one go: their replies have to be waited for (RFC 2920 3.1). One with
octets behind it in what was read, or read before its reply was written, comes from a client that reads no replies,
such as a web browser or server that was made to send text of somebody else's: the session ends there. The same holds
for what is there before the greeting is written, at a listener for other servers. ``smtp.early_talk`` exempts.

Not here: how lines and contents are read (_session.pyx, relay/_fastparse.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from relay._fastparse cimport (
    F_BARE_CR, F_BARE_LF, F_NONE, V_AUTH, V_BDAT, V_DATA, V_EHLO, V_HELO, V_HELP, V_HTTP, V_LHLO, V_MAIL, V_NONE, V_NOOP, V_QUIT,
    V_RCPT, V_RSET, V_STARTTLS, V_TLS, V_VRFY, command, decimal, equals, has_eight_bit,
)
from relay.mail._paths cimport HOST_NONE, PATH_UTF8, P_NONE, host_kind, path_address, path_argument
from relay.smtp._context cimport VERBS, ServerContext, id_text
from relay.smtp._policy cimport FLAG_ESMTP, FLAG_ODD_NAME
from relay.smtp._parameters cimport K_AUTH, K_BODY, K_SIZE, K_SMTPUTF8, Param, is_xtext, next_param
from relay.smtp._replies cimport AT_HELO, AT_MAIL, AT_RCPT
from relay.smtp._state cimport CHUNK_BEGINS, DATA_BEGINS, DATA_ENDS, RECIPIENTS
from relay.smtp._transaction cimport Transaction, opened

from relay.mail import reply as words
from relay.mail.address import AddressError, ascii_domain
from relay.mail.envelope import BODY_8BIT, SMTPUTF8, SUBMISSION
from relay.mail.spoken import spoken
from relay.smtp.refusals import MAIL_PATH_REPLIES, RCPT_PATH_REPLIES, REFUSALS, shown, worded

cdef enum:
    # Situations of a session, for the table of commands.
    GREETED = 1             # HELO or EHLO was accepted
    OPEN = 2                # a transaction is open
    HAS_RECIPIENTS = 4      # and has a recipient
    IN_CHUNKS = 8           # and some of its content has come with BDAT

    FLAG_8BIT = 1
    FLAG_SMTPUTF8 = 2
    FLAG_SUBMISSION = 32

cdef enum:
    LONGEST_NAME = 255      # octets kept of what HELO and EHLO say
    OVERRUN = 1048576       # octets beyond twice the greatest content, after which the session ends

assert (FLAG_8BIT, FLAG_SMTPUTF8, FLAG_SUBMISSION) == (BODY_8BIT, SMTPUTF8, SUBMISSION)


# The table of commands: what must be, and what must not be (RFC 5321 4.1.4). By relay._fastparse.Verb.
cdef int[VERBS] _NEEDS
cdef int[VERBS] _FORBIDS
_NEEDS[<int>V_MAIL], _FORBIDS[<int>V_MAIL] = GREETED, OPEN
_NEEDS[<int>V_RCPT], _FORBIDS[<int>V_RCPT] = GREETED | OPEN, IN_CHUNKS
_NEEDS[<int>V_DATA], _FORBIDS[<int>V_DATA] = GREETED | OPEN | HAS_RECIPIENTS, IN_CHUNKS
_NEEDS[<int>V_BDAT] = GREETED | OPEN | HAS_RECIPIENTS
_NEEDS[<int>V_STARTTLS], _FORBIDS[<int>V_STARTTLS] = GREETED, OPEN
_NEEDS[<int>V_AUTH], _FORBIDS[<int>V_AUTH] = GREETED, OPEN

cdef bytes _OK = words.OK.wire()
cdef bytes _SEND_CONTENT = words.SEND_CONTENT.wire()
cdef bytes _CHUNK_OK = words.CHUNK_OK.wire()
cdef bytes _START_TLS = words.START_TLS.wire()
cdef bytes _BYE = words.BYE.wire()
cdef bytes _HELP = words.HELP.wire()
cdef bytes _CANNOT_VERIFY = words.CANNOT_VERIFY.wire()


cdef class CommandSession(PolicySession):
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
        if self.commands > self.service.limits.commands:
            return self.end("too_many_commands", "too_many_commands")
        if verb == V_BDAT:
            return self.bdat(p, arg_start, arg_end) if fault == F_NONE else self.end("bad_chunk", "refused")
        if fault != F_NONE:
            return self.refuse("bare_cr" if fault == F_BARE_CR else "bare_lf" if fault == F_BARE_LF else "nul")
        if verb == V_NONE:
            other = spoken(octets[at:line_end]) if self.commands == 1 else ""
            if other in self.context.mixups:
                return self.end_as_mixup(other)
            return self.refuse("unknown_command", shown(octets[at:line_end], 20))
        if verb != V_MAIL and verb != V_RCPT and verb != V_VRFY and has_eight_bit(p, at, line_end) and not (
                self.takes_any_name() and (verb == V_EHLO or verb == V_HELO)):
            return self.refuse("not_ascii")
        if verb == V_STARTTLS:
            return self.starttls(arg_start < arg_end, end == PyBytes_GET_SIZE(octets))
        if end < PyBytes_GET_SIZE(octets) and not self.may_talk_early and (
                verb == V_DATA or verb == V_EHLO or verb == V_HELO):
            return self.end("data_not_last" if verb == V_DATA else "hello_not_last", "early_talker")
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
            if t.named:
                situation |= HAS_RECIPIENTS
            if t.is_chunked:
                situation |= IN_CHUNKS
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
            self.refuse("in_chunks" if situation & IN_CHUNKS else "mail_twice")
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
        return self.refuse("not_implemented")       # EXPN

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

    cdef bint takes_any_name(self) noexcept:
        """Whether HELO and EHLO may say what is no host name: the programs of people say what they have been called,
        and it is not for them to mend that. Another server can be held to RFC 5321 4.1.1.1."""
        return self.service.is_submission or self.is_trusted or not self.service.limits.strict_helo

    cdef int hello(self, int verb, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1:
        """HELO and EHLO (RFC 5321 4.1.1.1)."""
        if at == end:
            return self.refuse("argument_missing")
        self.candidate = octets[at:min(end, at + LONGEST_NAME)]
        self.candidate_flags = FLAG_ESMTP if verb == V_EHLO else 0
        if host_kind(PyBytes_AS_STRING(octets), at, end) == HOST_NONE:
            if not self.takes_any_name():
                return self.refuse("bad_helo", shown(self.candidate))
            self.candidate_flags |= FLAG_ODD_NAME
        elif not self.candidate.isascii():
            # In the Received field it would make the header section of every message an internationalized one.
            self.candidate_flags |= FLAG_ODD_NAME
        self.forget_hello()
        return self.consult(AT_HELO, self.service.pipeline.helo, self, self.candidate)

    cdef int mail(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1:
        """MAIL FROM:<reverse-path> with SIZE, BODY and SMTPUTF8 (RFC 5321 4.1.1.2, 1870, 6152, 6531)."""
        cdef const char* p = PyBytes_AS_STRING(octets)
        cdef PathArgument path
        cdef Param param
        cdef int64_t size = 0
        cdef int seen = 0, found, flag, error = path_argument(
            p, at, end, V_MAIL, self.service.limits.lenient_addresses, &path)
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
        if size > self.service.limits.message_size:
            return self.refuse_mail("too_large", f"the limit is {self.service.limits.message_size} octets", reverse_path)
        if not self.context.spool.has_room():
            return self.refuse_mail("disk_low", "", reverse_path)
        if self.context.is_over_budget():
            return self.refuse_mail("memory", "", reverse_path)
        self.candidate = reverse_path
        self.opening = opened(self.service, self, reverse_path, self.candidate_flags)
        self.opening.started_at = self.now
        self.opening.declared = size
        return self.consult(AT_MAIL, self.service.pipeline.mail, self.opening, reverse_path)

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
        cdef int found, error = path_argument(
            p, at, end, V_RCPT, self.service.limits.lenient_addresses, &path)
        self.candidate = octets[at:end]
        if error != P_NONE:
            return self.refuse_rcpt_in_turn(RCPT_PATH_REPLIES[error], "syntax")
        cdef Py_ssize_t here = path.params_start
        found = next_param(p, &here, path.params_end, &param)
        if found < 0:
            return self.refuse_rcpt_in_turn(worded(words.BAD_PARAMETERS, shown(octets[here:path.params_end])), "parameter")
        if found > 0:
            return self.refuse_rcpt_in_turn(
                worded(words.UNKNOWN_PARAMETER, shown(octets[param.keyword_start:param.keyword_end])), "parameter")
        if path.flags & PATH_UTF8 and not t.flags & FLAG_SMTPUTF8:
            return self.refuse_rcpt_in_turn(words.NEEDS_SMTPUTF8, "smtputf8")
        address = self.address_of(octets, &path)
        if address is None:
            return self.refuse_rcpt_in_turn(words.BAD_DOMAIN, "syntax")
        self.candidate = address
        if len(t.accepted) >= self.service.limits.recipients:
            return self.refuse_rcpt_in_turn(worded(
                words.TOO_MANY_RECIPIENTS, f"the limit is {self.service.limits.recipients}"), "too_many_recipients")
        return self.consult(AT_RCPT, self.service.pipeline.rcpt, t, self.candidate)

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
        self.begin_content(t)
        self.move(DATA_BEGINS)
        return self.say(_SEND_CONTENT)

    cdef int begin_content(self, Transaction t) except -1:
        t.data_at = self.now
        t.queue_id = id_text(self.context.next_id(self.now + self.context.wall_offset))
        return 0

    cdef int bdat(self, const char* p, Py_ssize_t at, Py_ssize_t end) except -1:
        """BDAT size [LAST] (RFC 3030 2). The octets of the chunk follow whatever is replied, so a refused one is
        skipped; without a size that can be read nobody knows where commands go on, and the session ends."""
        cdef Transaction t
        cdef Py_ssize_t stop = at
        cdef int64_t size
        cdef bint is_last
        while stop < end and p[stop] != c" ":
            stop += 1
        size = decimal(p, at, stop)
        while stop < end and p[stop] == c" ":
            stop += 1
        is_last = equals(p, stop, end, b"LAST")
        if size < 0 or (stop < end and not is_last):
            return self.end("bad_chunk", "refused")
        if size > self.most_octets():
            return self.end("too_large", "refused")
        self.chunk_left = size
        self.is_chunk_last = is_last
        self.is_chunk_wanted = not self.is_refused_by_order(V_BDAT)
        self.move(CHUNK_BEGINS)
        if self.is_chunk_wanted:
            t = self.transaction
            if not t.is_chunked:
                t.is_chunked = True
                self.begin_content(t)
        return self.chunk_over() if size == 0 else 0

    cdef int chunk_over(self) except -1:
        """All octets of a chunk are there."""
        cdef Transaction t = self.transaction
        self.move(DATA_ENDS)
        if not self.is_chunk_wanted:
            return 0
        if self.is_chunk_last:
            return self.end_of_data()
        if t.trouble is not None:
            refusal = t.refusal_for(t.trouble)
            return self.refuse_content("content", refusal.reply, <str>refusal.reason)
        return self.say(_CHUNK_OK)

    cdef Py_ssize_t most_octets(self) noexcept:
        """More octets of a content than this are not even read to their end."""
        return 2 * self.service.limits.message_size + OVERRUN
