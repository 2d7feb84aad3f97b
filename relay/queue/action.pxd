# cython: language_level=3
"""C declarations of relay/queue/action.py."""

cimport cython

from relay.queue._entry cimport Entry as _Entry


@cython.final
cdef class Settled:
    cdef readonly _Entry entry
    cdef readonly list journal
    cdef readonly object notice
    cdef readonly tuple outcomes
    cdef readonly object indexes
