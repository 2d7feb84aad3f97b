# cython: language_level=3
"""A listening socket on the loop."""

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport uint32_t
from posix.unistd cimport close

from benchmarks.load._loop cimport READ, Endpoint, Loop

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    enum:
        SOCK_NONBLOCK
        SOCK_CLOEXEC
    int accept4(int fd, sockaddr* address, unsigned int* n, int flags)

cdef enum:
    ACCEPTED_AT_ONCE = 64


cdef class Listener(Endpoint):
    """Accepts connections from a listening socket of the socket module."""

    def __init__(self, Loop loop not None, sock not None):
        sock.setblocking(False)
        self.socket = sock
        loop.watch(self, sock.fileno(), READ)

    def close(self):
        if self.fd >= 0:
            self.loop.forget(self)
            self.socket.close()

    cdef int ready(self, uint32_t events) except -1:
        cdef int i, fd
        for i in range(ACCEPTED_AT_ONCE):
            if self.fd < 0:
                return 0
            fd = accept4(self.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EAGAIN or errno == EINTR or errno == ECONNABORTED:
                    return 0
                PyErr_SetFromErrno(OSError)
            self.accepted(fd)
        return 0

    cdef int accepted(self, int fd) except -1:
        close(fd)
        return 0
