# cython: language_level=3
"""C declarations of relay/net/_acceptor.pyx."""

from relay.net._poll cimport Poll, Watched


cdef class Acceptor(Watched):
    """A listening socket. A subclass says what becomes of the connections."""
    cdef object listening           # the socket, kept for its descriptor
    cdef object on_trouble

    # A new connection: a non-blocking socket that is the subclass's own; the peer's address in text ("unix" if it has
    # none) and port.
    cdef int accepted(self, int fd, str address, int port) except -1
    cdef int not_accepted(self, int error) except -1
