# cython: language_level=3
"""C declarations of relay/dispatch/feeds.py."""


cdef class Feeds:
    cdef readonly object changed
    cdef public bint is_draining
    cdef readonly set open
    cdef object _row, _opened, _open
