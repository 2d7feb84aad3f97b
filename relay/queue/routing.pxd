# cython: language_level=3
"""C declarations of relay/queue/routing.py."""


cdef class Router:
    cdef object _local, _accounts, _smarthost
    cdef dict _next_hops
    cdef readonly dict _known
    cdef bytes _postmaster, _delimiter
    cdef Py_ssize_t _mx_port

    cpdef object route(self, bytes recipient)
    cdef object _to_mailbox(self, bytes recipient)
    cdef bytes _mailbox(self, bytes recipient)
    cdef object _elsewhere(self, bytes domain)
