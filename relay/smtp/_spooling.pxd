# cython: language_level=3
"""C declarations of relay/smtp/_spooling.pyx."""

from relay.smtp._replies cimport ReplySession
from relay.smtp._transaction cimport Promise, Transaction

cdef class SpoolingSession(ReplySession)

cdef class Handed(Promise):
    cdef SpoolingSession session           # None once the spool has answered
    cdef Transaction transaction
    cdef bytes envelope

cdef class SpoolingSession(ReplySession):
    cdef int awaited                # contents that the spool has and has not answered for
    cdef bint awaits_batch         # spool_answered() follows when the spool has answered all of its batch

    cdef int submit(self) except -1
    cdef bytes envelope_of(self, Transaction t, str protocol)
    cdef int discard_content(self) except -1
    cdef int forgive(self) except -1
    cdef int append(self, Handed handed, list parts, object large) except -1
    cdef int settle(self, Handed handed, object error) except -1
    cdef int refuse_content(self, str stage, object reply, str reason) except -1
