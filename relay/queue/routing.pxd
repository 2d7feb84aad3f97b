# cython: language_level=3
"""C declarations of relay/queue/routing.py."""

cimport cython


cdef class Route:
    cdef readonly str kind, key, domain
    cdef readonly object next_hop
    cdef readonly bytes mailbox


cdef class Router:
    cdef object _local, _accounts, _smarthost, _first_account
    cdef dict _next_hops
    cdef readonly dict _known
    cdef bytes _postmaster, _delimiter, _hostname
    cdef str _delimiter_text
    cdef Py_ssize_t _mx_port

    @cython.locals(known=Route)
    cpdef Route route(self, bytes recipient)
    cdef Route _to_mailbox(self, bytes recipient)
    cdef bytes _mailbox(self, bytes recipient)
    cdef Route _elsewhere(self, bytes domain)
