# cython: language_level=3
"""C declarations of relay/queue/routing.py."""

cimport cython

from relay.directory.directory cimport Directory


cdef class Route:
    cdef readonly str kind, key, domain
    cdef readonly object next_hop


cdef class Router:
    cdef Directory _directory
    cdef object _smarthost
    cdef dict _next_hops
    cdef readonly dict _known
    cdef Py_ssize_t _mx_port

    @cython.locals(known=Route)
    cpdef Route route(self, bytes recipient)
    cdef Route _elsewhere(self, bytes domain)
