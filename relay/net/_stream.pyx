# cython: language_level=3, auto_pickle=False
"""A connected socket on a Poll: what a transport is to asyncio, without one.

Theory: write() sends at once. What the kernel does not take is kept and sent as it takes it; whoever writes sees by
is_choked() that it should stop until drained(). All streams read into one buffer, and what came is handed on as
``bytes`` of its own size, so a stream that waits holds no memory.

Invariants: write() never calls back (an error on the way shows as an event, as it would have a moment later); nothing
is called after lost(), and lost() is called once for every attach(). It may be called from inside close() and abort().

Not here: what is said, deadlines, TLS (relay/net/tls_machine.py goes between this and the protocol).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from posix.unistd cimport close as close_descriptor

from relay.net._poll cimport BROKEN, READ, WRITE

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void* into, size_t size, int flags)
    ssize_t send(int fd, const void* octets, size_t size, int flags)
    int shutdown(int fd, int how)
    int getsockopt(int fd, int level, int name, void* value, unsigned int* size)
    enum:
        MSG_MORE
        MSG_NOSIGNAL
        SHUT_WR
        SOL_SOCKET
        SO_ERROR


cdef class Stream(Watched):

    cdef int attach(self, Poll poll, int fd) except -1:
        try:
            return poll.watch(self, fd, READ)
        except BaseException:
            close_descriptor(fd)
            raise

    # --- for the protocol ---

    cdef int write(self, bytes octets, bint is_last=False) except -1:
        """Sends ``octets``, or as much as the kernel takes now and the rest later. What ``is_last`` goes out together
        with the end that shut() or close() adds at once: one segment instead of two."""
        cdef ssize_t sent = 0
        if self.fd < 0 or self.is_shut or self.is_closing:
            return 0
        if self.unsent is None:
            sent = send(self.fd, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets),
                        MSG_NOSIGNAL | MSG_MORE if is_last else MSG_NOSIGNAL)
            if sent == PyBytes_GET_SIZE(octets):
                return 0
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    return 0        # reset by the peer: the next event says so
                sent = 0
        return self.keep(octets, sent)

    cdef int pause(self) except -1:
        """Does not read any more: the kernel's buffer fills, and the peer has to wait."""
        self.is_paused = True
        return self.adjust()

    cdef int resume(self) except -1:
        self.is_paused = False
        return self.adjust()

    cdef int shut(self) except -1:
        """Says to the peer that we send no more, after all that was written."""
        if self.fd >= 0 and not self.is_shut:
            self.is_shut = True
            if self.unsent is None:
                shutdown(self.fd, SHUT_WR)
        return 0

    cdef int close(self) except -1:
        """Closes the socket once all that was written is sent; nothing is read any more."""
        if self.fd < 0 or self.is_closing:
            return 0
        if self.unsent is None:
            return self.release(0)
        self.is_closing = True
        return self.adjust()

    cdef int abort(self) except -1:
        """Closes the socket now."""
        return self.release(0)

    # --- for the subclass to say ---

    cdef int received(self, bytes octets) except -1:
        return 0

    cdef int ended(self) except -1:
        return self.close()

    cdef int drained(self) except -1:
        return 0

    cdef int lost(self, int error) except -1:
        return 0

    # --- for the poll ---

    cdef int ready(self, uint32_t events) except -1:
        cdef int error = 0
        cdef unsigned int size = sizeof(error)
        if events & WRITE and self.unsent is not None:
            self.send_rest()
        if self.fd < 0:
            return 0
        if self.interest & READ:
            if events & (READ | BROKEN):
                return self.read()
        elif events & BROKEN:
            getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &error, &size)
            return self.release(error)
        return 0

    cdef int failed(self, object fault) except -1:
        return self.abort()

    cdef int read(self) except -1:
        cdef ssize_t size = recv(self.fd, self.poll.buffer, self.poll.buffer_size, 0)
        if size > 0:
            return self.received(PyBytes_FromStringAndSize(self.poll.buffer, size))
        if size == 0:
            self.has_ended = True
            self.adjust()
            return self.ended()
        if errno == EAGAIN or errno == EINTR:
            return 0
        return self.release(errno)

    cdef int send_rest(self) except -1:
        """Sends what is kept, as far as the kernel takes it; then does what was to follow it."""
        cdef bytes octets
        cdef ssize_t sent
        while self.unsent:
            octets = <bytes>self.unsent[0]
            sent = send(self.fd, PyBytes_AS_STRING(octets) + self.unsent_at,
                        PyBytes_GET_SIZE(octets) - self.unsent_at, MSG_NOSIGNAL)
            if sent < 0:
                return 0 if errno == EAGAIN or errno == EINTR else self.release(errno)
            self.unsent_at += sent
            if self.unsent_at < PyBytes_GET_SIZE(octets):
                return 0
            self.unsent.pop(0)
            self.unsent_at = 0
        self.unsent = None
        if self.is_closing:
            return self.release(0)
        if self.is_shut:
            shutdown(self.fd, SHUT_WR)
        self.adjust()
        return self.drained()

    cdef int keep(self, bytes octets, Py_ssize_t sent) except -1:
        if self.unsent is not None:
            self.unsent.append(octets)
            return 0
        self.unsent = [octets]
        self.unsent_at = sent
        return self.adjust()

    cdef int release(self, int error) except -1:
        cdef int fd = self.fd
        if fd < 0:
            return 0
        self.poll.forget(self)
        close_descriptor(fd)
        self.unsent = None
        return self.lost(error)

    cdef int adjust(self) except -1:
        """Has the poll watch for what is wanted now."""
        cdef uint32_t interest = 0
        if not (self.is_paused or self.has_ended or self.is_closing):
            interest = READ
        if self.unsent is not None:
            interest |= WRITE
        return 0 if self.fd < 0 else self.poll.change(self, interest)
