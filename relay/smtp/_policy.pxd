# cython: language_level=3
"""C declarations of relay/smtp/_policy.pyx."""

from libc.stdint cimport int64_t

from relay.policy.pipeline cimport Subject
from relay.smtp._login cimport LoginSession
from relay.smtp._replies cimport Question

cdef enum:
    # candidate_flags of HELO and EHLO
    FLAG_ESMTP = 1          # it was EHLO
    FLAG_ODD_NAME = 2       # it is neither a domain name in ASCII nor an address literal

cdef class PolicySession(LoginSession):
    cdef bytes candidate            # the name, reverse-path or recipient that checks are asked about
    cdef int candidate_flags
    cdef Py_ssize_t decided, annotated      # decisions and annotations of connect, which those of helo come behind
    cdef bint may_talk_early        # without waiting for the greeting, and for the replies to HELO, EHLO and DATA

    cdef int greet(self) except -1
    cdef bint has_spoken_early(self) except -1
    cdef int welcome(self) except -1
    cdef int refuse_mail(self, str name, str detail, bytes reverse_path) except -1
    cdef int refuse_rcpt_in_turn(self, object reply, str reason) except -1
    cdef int refuse_rcpt(self, object reply, str reason) except -1
    cdef int consult(self, int stage, tuple checks, Subject subject, object about) except -1
    cdef int annotate_with(self, int stage, object verdict) except -1
    cdef int forget_hello(self) except -1
    cdef int refuse_connection(self, object reply) except -1
    cdef int ask(self, int stage, object answer) except -1
    cdef int ask_in_turn(self, object answer, str reason) except -1
    cdef int settle_question(self, Question question, object answer) except -1
    cdef int settle_in_turn(self) except -1
    cdef int conclude(self, Question question) except -1
    cdef int conclude_content(self, Question question) except -1
    cdef int expire_questions(self, int64_t now) except -1
    cdef int judge(self, int stage, object verdict) except -1
    cdef int accept(self, int stage) except -1
    cdef int end_of_data(self) except -1
