# cython: language_level=3
"""C declarations of relay/policy/pipeline.py."""

cimport cython
from libc.stdint cimport int64_t

from relay.net.clock cimport now_us


cdef class Check:
    cdef readonly str name, stage, on_error, mode
    cdef readonly object ask
    cdef readonly double deadline
    cdef readonly bint is_shadow
    cdef readonly dict cells
    cdef readonly Py_ssize_t pass_cell
    cdef readonly bytes pass_head
    cdef readonly object time
    cdef dict _heads

    cdef bytes head(self, str result)


cdef class Decision:
    cdef readonly Check check
    cdef readonly str result, why
    cdef readonly int64_t microseconds
    cdef readonly int64_t times

    cpdef tuple encode(self)


cdef class Subject:
    cdef readonly str client_address, account
    cdef readonly str tls                   # version and cipher, or empty
    cdef bytes helo_name                    # as the client gave it, or None
    cdef readonly bint is_trusted
    cdef object session_facts, own_facts
    cdef readonly list decisions, annotations

    cpdef object known_facts(self)
    cpdef object annotate(self, object verdict)
    cdef object inherit(self, Subject session)


cdef class Pipeline:
    cdef readonly tuple connect, helo, mail, rcpt, content
    cdef unsigned long long[::1] _row
    cdef object _on_fault

    @cython.locals(check=Check, began=int64_t, now=int64_t, number=Py_ssize_t)
    cpdef object ask(self, tuple checks, Subject subject, object about)
    @cython.locals(last=Decision)
    cdef object passed(self, Subject subject, Check check, int64_t microseconds)
    @cython.locals(last=Decision, decision=Decision, decisions=list)
    cdef object decide(self, Subject subject, Check check, str result, str why, int64_t microseconds)
    cdef object _take(self, Subject subject, Check check, object answer, str result, int64_t microseconds)
    cdef object _fault(self, Check check, object fault)
    cdef object _finished(self, Subject subject, Check check, object task, int64_t microseconds)
