# cython: language_level=3
"""AUTH (RFC 4954): the part of a session that lets an account log in.

Theory: the exchange itself is relay/auth's, the same for every protocol; here are the words around it. While it waits
for a response, the next line goes to respond() instead of being a command. A check is asked like a question to policy:
what is answered at once goes on at once, an awaitable pauses the session.

Invariants: AUTH is offered on submission listeners only, and in the clear only where the listener allows it; what was
known of an account before STARTTLS is forgotten (RFC 3207 4.2).

Not here: what an account may do (relay/policy), who may try how often (relay/auth).
"""

from relay.smtp._replies cimport AT_AUTH, Question
from relay.smtp._spooling cimport SpoolingSession
from relay.smtp._state cimport CHALLENGED, LOGIN, RESPONDED

from relay.auth import Accepted, Challenge, Client, Refused, Trouble
from relay.auth import Login as Answer
from relay.mail import reply as words
from relay.smtp.refusals import LOGIN_REFUSALS, REFUSALS, shown

cdef bytes _AUTHENTICATED = words.AUTHENTICATED.wire()


cdef class LoginSession(SpoolingSession):
    """What a session knows of who is at its other end."""

    cdef int cancel_questions(self, str cause) except -1:
        if self.questions is not None and (<Question>self.questions[0]).stage == AT_AUTH:
            self.exchange = None        # it was with us, the client has not left it
        return SpoolingSession.cancel_questions(self, cause)

    cdef int auth(self, bytes octets, Py_ssize_t at, Py_ssize_t end) except -1:
        """AUTH mechanism [initial-response] (RFC 4954 4)."""
        if not self.is_esmtp:
            return self.refuse("auth_after_helo")
        if self.account:
            return self.refuse("auth_twice")
        mechanisms = self.service.mechanisms if self.tls else self.service.plain_mechanisms
        if not mechanisms:
            return self.refuse("auth_needs_tls")
        if at == end:
            return self.refuse("argument_missing")
        name, _, initial = octets[at:end].partition(b" ")
        mechanism = name.decode("ascii", "replace").upper()
        exchange = None
        if mechanism in mechanisms:
            bindings = {} if self.bindings is None else self.bindings
            exchange = self.service.authenticator.exchange(mechanism, bindings)
        if exchange is None:
            return self.refuse("mechanism", shown(name, 20))
        self.exchange = exchange
        return self.follow(exchange.start(initial or None))

    cdef int respond(self, bytes line) except -1:
        """A line of the client's that is a response to our challenge."""
        self.move(RESPONDED)
        return self.follow(self.exchange.answer(line))

    cdef int follow(self, object step) except -1:
        """Says or does what the exchange has come to."""
        if isinstance(step, Challenge):
            self.move(CHALLENGED)
            return self.say(b"334 %b\r\n" % <bytes>step.octets)
        if isinstance(step, Accepted):
            self.exchange = None
            self.account = step.account
            return self.say(_AUTHENTICATED)
        client = Client(self.client_address, "smtp", self.service.name, self.session_id)
        if isinstance(step, Refused):
            self.service.authenticator.not_completed(step.trouble, client, self.exchange)
            return self.refuse_login(step.trouble)
        answer = self.service.authenticator.check(step, client)
        if isinstance(answer, Answer):
            return self.login_answered(answer)
        self.start(self.wait_for(AT_AUTH, answer))
        return 0

    cdef int login_answered(self, object login) except -1:
        """The Authenticator's answer, or the exception that it came to."""
        if isinstance(login, BaseException):
            self.context.log_fault("login failed", login, self.session_id)
            return self.refuse_login(Trouble.BUSY)
        if login.trouble is not None:
            return self.refuse_login(login.trouble)
        return self.follow(self.exchange.checked(login))

    cdef int refuse_login(self, object trouble) except -1:
        self.exchange = None
        refusal = REFUSALS[LOGIN_REFUSALS[trouble]]
        return self.refuse_explained(refusal.reply, <str>refusal.reason, None)

    cdef int forget_login(self) except -1:
        """TLS has begun: the client has to say again who it is."""
        self.account = ""
        self.exchange = None
        return 0

    cdef Py_ssize_t line_limit(self) noexcept:
        """Octets of the line that is read now."""
        return max(EXCHANGE_LINE, self.service.limits.line) if self.state == LOGIN else self.service.limits.line

    cdef int refuse_long_line(self) except -1:
        """The line is longer: as a response it ends the exchange (RFC 4954 4)."""
        if self.state != LOGIN:
            return self.refuse("line_too_long")
        self.move(RESPONDED)
        self.service.authenticator.not_completed(
            Trouble.TOO_LONG, Client(self.client_address, "smtp", self.service.name, self.session_id), self.exchange)
        return self.refuse_login(Trouble.TOO_LONG)

    cdef int leave_login(self) except -1:
        """The connection is gone, perhaps in the middle of an exchange."""
        if self.exchange is not None:
            self.service.authenticator.not_completed(
                Trouble.ABANDONED, Client(self.client_address, "smtp", self.service.name, self.session_id), self.exchange)
        self.exchange = None
        return 0
