# cython: language_level=3
"""C declarations of relay/directory/resolution.py."""


cdef class Resolution:
    pass


cdef class AtAccount(Resolution):
    cdef readonly bytes account


cdef class Becomes(Resolution):
    cdef readonly tuple addresses


cdef class Elsewhere(Resolution):
    cdef readonly bint is_relayed, is_listed


cdef class Unknown(Resolution):
    cdef readonly object reply


cdef class NotKnownNow(Resolution):
    cdef readonly object reply
