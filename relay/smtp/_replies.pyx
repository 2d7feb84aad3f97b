# cython: language_level=3
"""The half of a session that speaks: replies and their counters, deadlines, the end of transactions and of the session.

Theory: whatever a session says goes through say(), and is collected until the transport takes it: one write per read.
A reply that is not known yet (to a content that is being synced) is promised; what is said after it stays behind it.
Whatever ends a transaction goes through end_transaction(), which counts it, writes its log line and gives its memory
back; whatever ends the session goes through over(). So nothing can be said, kept or lost uncounted.

A session has one timer in the worker's wheel. Its deadline is a plain field here that moves with every command; the timer
is only touched when it comes due (and finds the deadline moved) or when the deadline is to be earlier.

Not here: what is read, and what it means (_session.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from relay.policy.pipeline cimport Decision, Subject
from relay.smtp._context cimport id_text
from relay.smtp._received cimport protocol_keyword
from relay.smtp._state cimport ASKED, CHUNK, CONNECTED, CONTENT, ENDED, GREETING, HANDSHAKE, OVER, RCPT_ASKED, TLS_BEGINS, next_state
from relay.telemetry._lines cimport Line
from relay.telemetry.cells cimport observe

from relay.mail.envelope import SMTPUTF8
from relay.smtp._state import STATE_NAMES
from relay.smtp.refusals import REFUSALS, directed, worded
from relay.telemetry.lines import TRANSACTION

cdef enum:
    FLAG_SMTPUTF8 = 2
    REPLY_LINE = 512            # octets of a reply line with its CRLF

assert FLAG_SMTPUTF8 == SMTPUTF8

cdef Line _line = TRANSACTION
cdef object _NOT_CHECKED = REFUSALS["policy_failed"].reply


cdef class Question(Promise):
    """An answer of policy, or of the Authenticator, that is waited for; of a content, the place of its reply as well.

    Whoever runs the awaitable calls answered() with what it gave, or with the exception that it ended with. Once the
    question is closed, because its time was up or the session has ended, an answer changes nothing."""

    def answered(self, answer):
        """``answer`` is a Verdict or None (of the Authenticator: a Login), or an exception."""
        if self.session is not None:
            self.session.take_answer(self, answer)

    cdef int close(self) except -1:
        """Cancels it, if it still runs."""
        self.session = None
        awaitable, task, self.task = self.awaitable, self.task, None
        if task is not None:
            task.cancel()
        if not self.is_running and hasattr(awaitable, "close"):
            awaitable.close()           # a coroutine that has not begun never will
        return 0


cdef class ReplySession(Subject):
    """What a session says, when it has to, and what it leaves behind."""

    def __cinit__(self, Service service not None, *args):
        self.service = service
        self.context = service.context
        self.client_address = ""
        self.account = ""
        self.tls = ""
        self.state = CONNECTED

    def __init__(self, *args):
        """All is done in __cinit__()."""

    # --- what checks may read at connect and helo (View in relay/policy/verdict.py) ---

    @property
    def listener(self):
        return self.service.name

    @property
    def is_submission(self):
        return self.service.is_submission

    @property
    def reverse_path(self):
        return b"" if self.transaction is None else self.transaction.reverse_path

    @property
    def recipients(self):
        return () if self.transaction is None else self.transaction.recipients

    @property
    def octets(self):
        return 0 if self.transaction is None else self.transaction.octets

    @property
    def session_id(self):
        return id_text(self.number)

    @property
    def is_over(self):
        return self.state >= OVER

    # --- state ---

    cdef int move(self, int event) except -1:
        """The only place where the state changes."""
        self.state = next_state(self.state, event)
        return 0

    @property
    def state_name(self):
        """One of relay.smtp._state.STATE_NAMES."""
        return STATE_NAMES[self.state]

    # --- questions ---

    @property
    def question(self):
        """What the oldest open question waits for, or None."""
        cdef list asked = self.questions or self.contents
        return (<Question>asked[0]).awaitable if asked else None

    @property
    def open_questions(self):
        """Those that wait for an answer, the oldest of each kind first."""
        return tuple([each for each in (self.questions or []) + (self.contents or []) if not (<Question>each).is_answered])

    cdef Question wait_for(self, int stage, object awaitable):
        """A question in its place, with a deadline; start() runs what it waits for."""
        cdef Question question = Question.__new__(Question)
        question.session = self
        question.stage = stage
        question.awaitable = awaitable
        question.deadline = self.now + self.service.limits.command_timeout
        if stage == AT_DATA:
            question.transaction = self.transaction
            question.errors = self.errors
            self.transaction.place = question
            self.transaction = None
            self.promise(question)
            self.contents = self.contents or []
            self.contents.append(question)
        else:
            self.questions = self.questions or []
            self.questions.append(question)
            if stage != AT_CONNECT:
                self.move(RCPT_ASKED if stage == AT_RCPT else ASKED)
        if self.timer is not None and self.due() < self.armed_at:
            self.rearm()
        return question

    cdef int start(self, Question question) except -1:
        """Runs what a question waits for. Here that is left to whoever has the session."""
        return 0

    cdef bint has_questions(self) noexcept:
        return self.questions is not None or self.contents is not None

    cdef int cancel_questions(self, str cause) except -1:
        """The session ends: what it has asked is of no use any more. A content that was asked about is not taken, and
        its sender may try again."""
        cdef list questions = self.questions, contents = self.contents
        cdef Question question
        self.questions = self.contents = self.opening = None
        for question in questions or ():
            question.close()
        for question in contents or ():
            question.close()
            self.keep_promise(question, self.explained(_NOT_CHECKED, question.transaction))
            self.end_transaction(question.transaction, "aborted", "content", None, cause)
        return self.release()

    # --- replies ---

    cdef int64_t read_clock(self) noexcept:
        """Monotonic microseconds; a session that knows no clock takes the latest time that was passed in."""
        return self.context.latest

    cdef int say(self, bytes wire) except -1:
        """Puts one reply (or a multi-line one) into the output and counts its code."""
        self.count_code(wire)
        if self.behind is not None:
            self.behind.append(wire)
        elif self.out is None:
            self.out = [wire]
        else:
            self.out.append(wire)
        self.out_size += PyBytes_GET_SIZE(wire)
        return 0

    cdef int count_code(self, bytes wire) except -1:
        cdef const char* p = PyBytes_AS_STRING(wire)
        self.context.count(self.context.cells.codes[(p[0] - 48) * 100 + (p[1] - 48) * 10 + (p[2] - 48)])
        return 0

    cdef int say_in(self, Promise place, bytes wire) except -1:
        """Says a reply in the ``place`` that was kept for it, or where there is none, here."""
        if place is None:
            return self.say(wire)
        self.keep_promise(place, wire)
        return self.release()

    cdef int promise(self, Promise reply) except -1:
        """``reply`` is said here, once it is known; what follows waits for it."""
        if self.behind is None:
            self.behind = [reply]
        else:
            self.behind.append(reply)
        return 0

    cdef int keep_promise(self, Promise reply, bytes wire) except -1:
        """``reply`` is known; release() moves it to the output."""
        self.count_code(wire)
        reply.wire = wire
        self.out_size += PyBytes_GET_SIZE(wire)
        return 0

    cdef int release(self) except -1:
        """Moves to the output what waits for no promise any more."""
        cdef list behind = self.behind
        cdef Py_ssize_t count = 0
        cdef bytes wire
        if behind is None:
            return 0
        if self.out is None:
            self.out = []
        for each in behind:
            wire = (<Promise>each).wire if type(each) is not bytes else <bytes>each
            if wire is None:
                break
            self.out.append(wire)
            count += 1
        self.behind = behind[count:] if count < len(behind) else None
        return 0

    cdef int say_reply(self, object reply, str reason) except -1:
        """Says a refusal and counts it as an error of the session."""
        self.errors += 1
        self.count_reason(reason)
        return self.say(<bytes>reply.wire())

    cdef bytes explained(self, object reply, Transaction t):
        """``reply`` as it is sent, with the id of the line that the log has of it at its end, cut so that it stays within
        a reply line (RFC 5321 4.5.3.1.5): ``[session]``, or ``[session-transaction]`` for a refusal in ``t``. ``relay
        trace`` finds the line by it."""
        cdef bytes wire = <bytes>reply.wire()
        cdef bytes name = b" [%b]\r\n" % id_text(self.number).encode() if t is None else b" [%b-%d]\r\n" % (
            id_text(self.number).encode(), t.number)
        return wire[:min(PyBytes_GET_SIZE(wire) - 2, REPLY_LINE - PyBytes_GET_SIZE(name))] + name

    cdef int refuse_explained(self, object reply, str reason, Transaction t) except -1:
        """say_reply() for a refusal that has a line in the log, that of ``t`` or one of its own."""
        self.errors += 1
        self.count_reason(reason)
        return self.say(self.explained(reply, t))

    cdef int refuse(self, str name, str detail="") except -1:
        """Says the refusal ``name`` of relay/smtp/refusals.py, ``detail`` behind its words."""
        refusal = REFUSALS[name]
        return self.say_reply(worded(refusal.reply, detail), <str>refusal.reason)

    cdef int count_reason(self, str reason) except -1:
        if reason:
            self.context.count(<Py_ssize_t>self.context.refusals[reason])
        return 0

    def take_output(self):
        """What is to be written now; empties the output."""
        cdef bytes octets
        if not self.out:
            return b""
        octets = <bytes>self.out[0] if len(self.out) == 1 else b"".join(self.out)
        self.out = None
        self.out_size = max(0, self.out_size - PyBytes_GET_SIZE(octets))
        self.context.counters[self.context.cells.written_bytes] += <uint64_t>PyBytes_GET_SIZE(octets)
        return octets

    # --- ends ---

    cdef int end(self, str name, str cause, str directions="") except -1:
        """Says the refusal ``name`` as the last thing, with ``directions`` to the right port behind its words; the
        session is over because of ``cause``."""
        if self.state >= OVER:
            return 0
        refusal = REFUSALS[name]
        self.count_reason(<str>refusal.reason)
        self.say(self.explained(directed(refusal.reply, directions), self.transaction))
        if self.transaction is None:
            self.log_refusal("connect" if self.state <= GREETING else "session", refusal.reply, cause, None)
        else:
            self.abort_transaction(cause)
        return self.over(cause)

    cdef int over(self, str cause) except -1:
        """Nothing more will be read. The peer has LINGER to take what was said."""
        if self.state >= OVER:
            return 0
        self.context.count(<Py_ssize_t>self.context.closed[cause])
        self.handshake_over("closed")
        self.cancel_questions(cause)
        self.abort_transaction(cause)
        self.move(ENDED)
        if not self.closes_at_once:
            self.arm()
        return 0

    # --- TLS ---

    cdef bint begin_handshake(self) except -1:
        """From now on only TLS counts; False, and nothing has changed, when there are too many handshakes going on."""
        if not self.service.tls.handshakes.begin():
            return False
        self.is_shaking = True
        self.handshake_at = self.now
        self.move(TLS_BEGINS)
        return True

    cdef int handshake_over(self, str reason) except -1:
        """Counts an unfinished handshake out, if there is one."""
        if self.is_shaking:
            self.is_shaking = False
            self.service.tls.handshakes.failed(reason)
        return 0

    cdef int abort_transaction(self, str cause) except -1:
        """Ends an open transaction that nothing was delivered of. One that has only met refusals counts as refused."""
        cdef Transaction t = self.transaction
        if t is None:
            return 0
        if not t.named and t.refusal is not None:
            reply, reason = t.refusal
            return self.end_transaction(t, "refused" if reply.code >= 500 else "deferred", "rcpt", reply, <str>reason)
        return self.end_transaction(t, "aborted", t.stage(), None, cause)

    cdef int end_transaction(self, Transaction t, str result, str stage, object reply, str reason) except -1:
        """Counts a transaction, writes its log line, gives its memory back."""
        cdef ServerContext context = self.context
        cdef int kind = self.service.kind
        if result == "accepted":
            context.count(context.cells.transactions_accepted)
            context.count(context.cells.messages_accepted[kind])
            context.counters[context.cells.accepted_bytes[kind]] += <uint64_t>t.read
            observe(context.counters, &context.cells.message_size, t.read)
            observe(context.counters, &context.cells.message_recipients, len(t.accepted))
            observe(context.counters, &context.cells.accept_time, self.now - t.ended_at)
        else:
            if result == "refused":
                context.count(context.cells.transactions_refused)
            elif result == "deferred":
                context.count(context.cells.transactions_deferred)
            elif result == "discarded":
                context.count(context.cells.transactions_discarded)
            else:
                context.count(context.cells.transactions_aborted)
            if t.data_at and result != "aborted" and result != "discarded":
                context.count(context.cells.messages_refused)
                context.counters[context.cells.refused_bytes] += <uint64_t>t.read
        self.write_line(t, result, stage, reply, reason, t.reverse_path)
        t.drop()
        if self.transaction is t:
            self.transaction = None
        return 0

    # --- log ---

    cdef int log_refusal(self, str stage, object reply, str reason, bytes reverse_path) except -1:
        """The line of something refused before there was a transaction."""
        return self.write_line(
            None, "refused" if reply.code >= 500 else "deferred", stage, reply, reason, reverse_path)

    cdef int write_line(self, Transaction t, str result, str stage, object reply, str reason, bytes reverse_path) except -1:
        """One line of kind ``transaction`` (relay/telemetry/lines.py, TRANSACTION_FIELDS in their order)."""
        cdef object envelope_time = None, content_time = None, spool_time = None
        cdef bint is_utf8 = t is not None and t.flags & FLAG_SMTPUTF8
        cdef Subject judged = t if t is not None else self.opening if self.opening is not None else self
        if t is not None and t.data_at:
            envelope_time = t.data_at - t.started_at
            if t.ended_at:
                content_time = t.ended_at - t.data_at
                spool_time = self.now - t.ended_at
            else:
                content_time = self.now - t.data_at
        self.context.log.append(_line.build(self.now + self.context.wall_offset, (
            None if t is None else t.queue_id,
            id_text(self.number),
            None if t is None else t.number,
            self.service.name,
            self.client_address,
            self.client_port,
            self.helo_name,
            None if self.helo_name is None else protocol_keyword(
                self.is_esmtp, bool(self.tls), bool(self.account), is_utf8),
            self.tls,
            self.account,
            reverse_path,
            None if t is None else list(t.accepted),
            None if t is None or not t.refused else t.refused,
            None if t is None else t.refusals,
            None if t is None else t.redirected,
            None if t is None or not t.data_at else t.read,
            result,
            stage,
            None if reply is None else reply.code,
            None if reply is None else reply.status,
            None if reply is None or result == "accepted" or result == "discarded" else reply.text,
            reason,
            None if judged.decisions is None else [(<Decision>each).encode() for each in judged.decisions],
            judged.known_facts(),
            None if t is None else t.changes,
            envelope_time,
            content_time,
            spool_time,
        )))
        return 0

    # --- deadlines ---

    cdef int arm(self) except -1:
        """Sets the deadline for what is waited for now, and sees to it that the timer does not come due after it."""
        cdef int64_t session_end
        if self.state == CONTENT or self.state == CHUNK:
            self.deadline = self.now + self.service.limits.data_timeout
        elif self.state == OVER:
            self.deadline = self.now + LINGER
        elif self.state == HANDSHAKE:
            self.deadline = self.handshake_at + self.context.handshake_timeout
        else:
            self.deadline = self.now + self.service.limits.command_timeout
            session_end = self.opened_at + self.service.limits.session_timeout
            if self.transaction is None and session_end < self.deadline:
                self.deadline = session_end
        if self.timer is None:
            self.armed_at = self.due()
            self.timer = self.context.wheel.add(self.armed_at / 1e6, self)
        elif self.due() < self.armed_at:
            self.rearm()
        return 0

    cdef int64_t due(self) noexcept:
        """When the timer has something to do: at the deadline, or when the time of a question is up."""
        cdef int64_t due = self.deadline
        if self.questions is not None:
            due = min(due, (<Question>self.questions[0]).deadline)
        if self.contents is not None:
            due = min(due, (<Question>self.contents[0]).deadline)
        return due

    def rearm(self):
        self.armed_at = self.due()
        self.context.wheel.move(self.timer, self.armed_at / 1e6)
