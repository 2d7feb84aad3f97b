# cython: language_level=3, auto_pickle=False
"""A listening socket on a Poll.

Theory: accept4() gives the peer's address with the socket, and the options of the listening socket with it (TCP_NODELAY
is inherited), so a connection costs one system call here. It is called until there is nobody left or AT_ONCE are in, so
that a flood of connections does not keep those who are in from being served.

When the machine lacks descriptors or memory, the listening socket stays readable, and watching it would burn the CPU:
so it is not watched until somebody says resume().

Not here: limits on connections, which need words for the peer and belong to its protocol.
"""

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport strlen
from posix.unistd cimport close as close_descriptor

from relay.net._poll cimport READ

import os
import socket as sockets

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        pass
    enum:
        AF_INET
        AF_INET6
        SOCK_NONBLOCK
        SOCK_CLOEXEC
    int accept4(int fd, sockaddr* address, unsigned int* size, int flags)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        in6_addr sin6_addr
    uint16_t ntohs(uint16_t number)

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* address, char* into, unsigned int size)

cdef enum:
    AT_ONCE = 64
    LONGEST_ADDRESS = 46        # INET6_ADDRSTRLEN


cdef class Acceptor(Watched):

    def __init__(self, Poll poll not None, listening not None, on_trouble not None):
        listening.setblocking(False)
        if listening.family in (sockets.AF_INET, sockets.AF_INET6):
            listening.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self.listening = listening
        self.on_trouble = on_trouble
        poll.watch(self, listening.fileno(), READ)

    def resume(self):
        if self.fd >= 0:
            self.poll.change(self, READ)

    def close(self):
        if self.fd >= 0:
            self.poll.forget(self)
            self.listening.close()

    cdef int accepted(self, int fd, str address, int port) except -1:
        close_descriptor(fd)
        return 0

    cdef int ready(self, uint32_t events) except -1:
        cdef sockaddr_storage peer
        cdef unsigned int size
        cdef int fd, number, port = 0
        for number in range(AT_ONCE):
            if self.fd < 0:
                return 0
            size = sizeof(peer)
            fd = accept4(self.fd, <sockaddr*>&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                return self.not_accepted(errno)
            try:
                address = text_of(&peer, &port)
            except BaseException:
                close_descriptor(fd)
                raise
            self.accepted(fd, address, port)
        return 0

    cdef int not_accepted(self, int error) except -1:
        """There is nobody left, or somebody left before he was let in; or the machine lacks something."""
        if error == EMFILE or error == ENFILE or error == ENOBUFS or error == ENOMEM:
            self.poll.change(self, 0)
            self.on_trouble(OSError(error, os.strerror(error)))
        return 0

    cdef int failed(self, object fault) except -1:
        self.on_trouble(fault)
        return 0


cdef str text_of(sockaddr_storage* peer, int* port):
    """The peer's address; its port goes to ``port``."""
    cdef char text[LONGEST_ADDRESS]
    cdef int family = (<sockaddr*>peer).sa_family
    cdef const void* address
    if family == AF_INET:
        address = &(<sockaddr_in*>peer).sin_addr
        port[0] = ntohs((<sockaddr_in*>peer).sin_port)
    elif family == AF_INET6:
        address = &(<sockaddr_in6*>peer).sin6_addr
        port[0] = ntohs((<sockaddr_in6*>peer).sin6_port)
    else:
        port[0] = 0
        return "unix"
    if inet_ntop(family, address, text, LONGEST_ADDRESS) == NULL:
        PyErr_SetFromErrno(OSError)
    return text[:strlen(text)].decode("ascii")
