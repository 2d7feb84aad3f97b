# cython: language_level=3
"""C declarations of relay/policy/policy.py."""

cimport cython

from relay.directory.directory cimport Directory
from relay.directory.resolution cimport AtAccount, Becomes, Elsewhere, NotKnownNow, Resolution, Unknown


cdef class Policy:
    cdef Directory _directory
    cdef readonly object _mailboxes
    cdef str _delimiter, _senders
    cdef bint _checks_senders
    cdef _Networks _networks

    @cython.locals(elsewhere=Elsewhere)
    cdef object _judge(self, object session, bytes recipient, Resolution found)
    cdef object _judge_submission(self, object session, list content)
    cdef object _judge_room(self, object session)


@cython.locals(octet=cython.uchar, ats=cython.Py_ssize_t)
cdef bint _routes_on(bytes recipient) except -1


cdef class _Networks:
    cdef dict _ranges, _known
    cdef bint _is_empty

    cdef object hold(self, str address)
    cdef bint _look(self, str address) except -1
