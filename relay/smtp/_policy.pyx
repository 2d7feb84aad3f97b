# cython: language_level=3
"""What checks are asked in a session, and what follows from their answer: acceptance, or a refusal with its reply.

Theory: a command that checks are asked about (consult()) goes on in accept() or is refused in judge(), at once or, when the
answer is an awaitable, as soon as it is there: the way is the same. What a verdict changes is annotated, in the session at
connect and helo, in the transaction from mail on, and carried out at the end of the content (_changes.pyx); only recipients
take effect at once.

What comes behind an awaitable goes ahead as far as it does not depend on the answer. More recipients are asked about
while earlier ones are; whatever order the answers come in, they take effect in the order of the commands, as if each
had been answered at once (settle_in_turn). A content keeps the place of its reply, and the next transaction begins. All
else waits. A question without an answer in smtp.command_timeout has failed.

Not here: which command may come when (_commands.pyx), which checks there are (relay/policy).
"""

from relay.policy.pipeline cimport Subject
from relay.smtp._context cimport EVERYBODY, NOBODY, ServerContext
from relay.smtp._login cimport LoginSession
from relay.smtp._replies cimport AT_AUTH, AT_CONNECT, AT_DATA, AT_HELO, AT_MAIL, AT_RCPT, Question
from relay.smtp._state cimport ADMITTED, ANSWERED, GREETED, OVER, RECIPIENTS
from relay.smtp._transaction cimport Transaction

from relay.mail import reply as words
from relay.policy.verdict import DEFER, Verdict
from relay.smtp.refusals import REFUSALS, worded

cdef enum:
    REFUSALS_LOGGED = 10        # refused recipients named in the line of a transaction

cdef bytes _MAIL_OK = words.MAIL_OK.wire()
cdef bytes _RCPT_OK = words.RCPT_OK.wire()


cdef class PolicySession(LoginSession):
    """Asks policy, and obeys it."""

    cdef bint has_spoken_early(self) except -1:
        """Whether octets of the peer's are there already that are not worked on yet."""
        return False

    cdef int greet(self) except -1:
        """The greeting; or its refusal, when another server, which should wait for it (RFC 5321 4.3.1), has not."""
        if not self.service.is_submission and not self.may_talk_early and self.has_spoken_early():
            return self.end("early_talker", "early_talker")
        self.move(GREETED)
        self.say(self.service.greeting)
        return self.arm()

    cdef int welcome(self) except -1:
        """Asks about the client; then it is greeted, or refused."""
        return self.consult(AT_CONNECT, self.service.pipeline.connect, self, None)

    # --- refusals inside a transaction ---

    cdef int refuse_mail(self, str name, str detail, bytes reverse_path) except -1:
        """Refuses MAIL; there is no transaction, but there is a line in the log."""
        refusal = REFUSALS[name]
        reply = worded(refusal.reply, detail)
        self.log_refusal("mail", reply, <str>refusal.reason, reverse_path)
        return self.refuse_explained(reply, <str>refusal.reason, None)

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
        self.refuse_explained(reply, reason, t)
        # A sender with more recipients than we take at a time is no attacker: it sends the rest in the next
        # transaction (RFC 5321 4.5.3.1.10), if we let it end this one.
        if reason == "too_many_recipients" and t.refused <= self.service.limits.recipients:
            self.errors -= 1
        return 0

    cdef int refuse_rcpt_in_turn(self, object reply, str reason) except -1:
        """Refuses a recipient, behind those that are still asked about."""
        return self.ask_in_turn(reply, reason) if self.state == RECIPIENTS else self.refuse_rcpt(reply, reason)

    # --- checks ---

    cdef int consult(self, int stage, tuple checks, Subject subject, object about) except -1:
        """Asks the ``checks`` of a stage, None where it has none, and goes on with their answer."""
        if checks is None and stage != AT_RCPT:
            return self.accept(stage)
        return self.ask(stage, None if checks is None else self.service.pipeline.ask(checks, subject, about))

    def policy_failed(self, fault):
        """The verdict for checks that could not be asked: unknown failure is temporary; the cause is for us only."""
        self.context.log_fault("policy failed", fault, self.session_id)
        return Verdict(DEFER, words.POLICY_FAILED, "internal")

    cdef int ask(self, int stage, object answer) except -1:
        """Goes on with ``answer``, or waits for it when it is an awaitable."""
        if stage == AT_RCPT and (self.state == RECIPIENTS or not (answer is None or isinstance(answer, Verdict))):
            return self.ask_in_turn(answer, None)
        if answer is None:
            return self.accept(stage)
        if isinstance(answer, Verdict):
            return self.judge(stage, answer)
        self.start(self.wait_for(stage, answer))
        return 0

    cdef int ask_in_turn(self, object answer, str reason) except -1:
        """As ask() for a recipient behind others that are still asked about; with ``reason`` it is refused with the reply
        ``answer``."""
        cdef Question question
        cdef bint is_known = reason is not None or answer is None or isinstance(answer, Verdict)
        question = self.wait_for(AT_RCPT, None if is_known else answer)
        question.candidate = self.candidate
        if is_known:
            question.answer = answer
            question.reason = reason
            question.is_answered = True
        else:
            self.start(question)
        return 0

    cdef int settle_question(self, Question question, object answer) except -1:
        """The answer is there, or the exception that took its place."""
        question.answer = answer
        question.is_answered = True
        question.task = None
        if question.stage != AT_DATA:
            return self.settle_in_turn()
        self.contents.remove(question)
        if not self.contents:
            self.contents = None
        return self.conclude_content(question)

    cdef int settle_in_turn(self) except -1:
        """Answers take effect in the order of the commands: those before which none is missing."""
        cdef Question question
        while self.questions is not None and (<Question>self.questions[0]).is_answered:
            question = <Question>self.questions.pop(0)
            if not self.questions:
                self.questions = None
                if question.stage != AT_CONNECT:
                    self.move(ANSWERED)
            self.conclude(question)
            if self.errors >= self.service.limits.errors and self.contents is None:
                return self.end("too_many_errors", "too_many_errors")
        return 0

    cdef int conclude(self, Question question) except -1:
        """Goes on with the answer to ``question``."""
        answer, question.session = question.answer, None
        if question.stage == AT_AUTH:
            return self.login_answered(answer)
        if question.stage == AT_RCPT:
            self.candidate = question.candidate
            if question.reason is not None:
                return self.refuse_rcpt(answer, question.reason)
        if isinstance(answer, BaseException):
            answer = self.policy_failed(answer)
        return self.judge(question.stage, answer)

    cdef int conclude_content(self, Question question) except -1:
        """conclude() for a content; meanwhile the next transaction may have begun."""
        cdef Transaction current = self.transaction
        self.transaction = question.transaction
        try:
            self.conclude(question)
        finally:
            self.transaction = current
        if self.state == OVER:
            self.abort_transaction("refused")
        return 0

    cdef int expire_questions(self, int64_t now) except -1:
        """Those without an answer in time have failed; how many."""
        cdef Question question
        cdef int expired = 0
        for question in (self.questions or []) + (self.contents or []):
            if question.session is not None and not question.is_answered and question.deadline <= now:
                question.close()
                self.settle_question(question, TimeoutError("no answer in time"))
                expired += 1
        return expired

    cdef int judge(self, int stage, object verdict) except -1:
        """Goes on after a verdict, or refuses with its reply."""
        cdef str reason
        if verdict is None:
            return self.accept(stage)
        if not verdict.is_refusal:
            return self.annotate_with(stage, verdict)
        reply, reason = verdict.reply, <str>verdict.reason
        if stage == AT_CONNECT:
            return self.refuse_connection(reply)
        if stage == AT_RCPT:
            self.refuse_rcpt(reply, reason)
        elif stage == AT_DATA:
            self.refuse_content("content", reply, reason)
        else:
            self.refuse_explained(reply, reason, None)
            self.log_refusal("mail" if stage == AT_MAIL else "helo", reply, reason,
                             self.candidate if stage == AT_MAIL else None)
            self.opening = None
        if reply.code == 421:
            self.over("refused")
        return 0

    cdef int annotate_with(self, int stage, object verdict) except -1:
        """Goes on, and remembers what ``verdict`` carries."""
        cdef Transaction t = self.opening if stage == AT_MAIL else self.transaction
        if stage == AT_CONNECT or stage == AT_HELO:
            if verdict.is_trusted and stage == AT_CONNECT:
                self.is_trusted = True
            self.annotate(verdict)
            return self.accept(stage)
        t.annotate(verdict)
        if stage != AT_RCPT or verdict.instead is None:
            return self.accept(stage)
        t.replace(self.candidate, <tuple>verdict.instead)
        self.context.count(self.context.cells.recipients_accepted)
        return self.say(_RCPT_OK)

    cdef int forget_hello(self) except -1:
        """A new greeting is judged anew: what was annotated about the one before does not count any more."""
        if self.decisions is not None:
            del self.decisions[self.decided:]
        if self.annotations is not None:
            del self.annotations[self.annotated:]
        return 0

    cdef int refuse_connection(self, object reply) except -1:
        """Policy does not want this client: its reply takes the place of the greeting (RFC 5321 3.1)."""
        self.context.count(<Py_ssize_t>self.context.refused_connections["policy"])
        self.say(self.explained(reply, None))
        self.log_refusal("connect", reply, "policy", None)
        return self.over("refused")

    cdef int accept(self, int stage) except -1:
        """Nothing speaks against it."""
        cdef Transaction t = self.transaction
        if stage == AT_RCPT:
            t.accept(self.candidate)
            self.context.count(self.context.cells.recipients_accepted)
            return self.say(_RCPT_OK)
        if stage == AT_MAIL:
            self.transaction, self.opening = self.opening, None
            self.transactions += 1
            self.transaction.number = self.transactions
            return self.say(_MAIL_OK)
        if stage == AT_DATA:
            return self.submit()
        if stage == AT_HELO:
            if not self.may_talk_early and self.has_spoken_early():
                return self.end("hello_not_last", "early_talker")
            self.abort_transaction("")
            self.helo_name = self.candidate
            self.is_esmtp = self.candidate_flags & FLAG_ESMTP
            self.has_odd_name = self.candidate_flags & FLAG_ODD_NAME
            if not self.is_esmtp:
                return self.say(self.service.helo_reply)
            return self.say(self.service.ehlo_reply if self.tls else self.service.ehlo_starttls)
        self.move(ADMITTED)
        self.decided = 0 if self.decisions is None else len(self.decisions)
        self.annotated = 0 if self.annotations is None else len(self.annotations)
        self.may_talk_early = self.service.limits.early_talk == EVERYBODY or (
            self.is_trusted and self.service.limits.early_talk != NOBODY)
        if self.service.limits.banner_delay:
            self.deadline = self.now + self.service.limits.banner_delay
            self.rearm()
            return 0
        return self.greet()

    cdef int end_of_data(self) except -1:
        cdef Transaction t = self.transaction
        cdef str trouble
        t.ended_at = self.now
        t.finish()
        trouble = t.check()
        if trouble is not None:
            refusal = t.refusal_for(trouble)
            return self.refuse_content("content", refusal.reply, <str>refusal.reason)
        if t.is_submission:
            t.add_fields(t.ended_at + self.context.wall_offset)
        if self.service.pipeline.content is None:
            return self.submit()
        return self.consult(AT_DATA, self.service.pipeline.content, t, t.content())
