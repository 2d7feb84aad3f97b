# cython: language_level=3
"""C declarations of relay/policy/checks.py."""

cimport cython

from relay.directory.directory cimport Directory
from relay.directory.resolution cimport AtAccount, Becomes, Elsewhere, NotKnownNow, Resolution, Unknown


cdef class Trusted:
    cdef dict _ranges, _known

    cpdef str network_of(self, str address)
    cdef str _look(self, str address)


cdef class Relaying:
    cdef Directory _directory

    @cython.locals(elsewhere=Elsewhere)
    cdef object _judge(self, object view, bytes recipient, Resolution found)


@cython.locals(octet=cython.uchar, ats=cython.Py_ssize_t)
cdef bint _routes_on(bytes recipient) except -1
