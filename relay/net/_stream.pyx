# cython: language_level=3, auto_pickle=False
"""A connected socket on a Poll, or one that is being connected: what a transport is to asyncio, without one.

Theory: write() sends at once. What the kernel does not take is kept and sent as it takes it; whoever writes sees by
is_choked() that it should stop until drained(). What is written in parts goes out in one call and is neither joined nor
copied: a part is ``bytes`` or anything else that lends its octets, and stays borrowed while it is kept. All streams read
into one buffer, and what came is handed on as ``bytes`` of its own size, so a stream that waits holds no memory.

Invariants: write() never calls back (an error on the way shows as an event, as it would have a moment later); nothing
is called after lost(), and lost() is called once for every attach(). It may be called from inside close() and abort().

Not here: what is said, deadlines, TLS (relay/net/tls_machine.py goes between this and the protocol).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from libc.string cimport memset
from posix.unistd cimport close as close_descriptor

from relay.net._poll cimport BROKEN, READ, WRITE

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void* into, size_t size, int flags)
    ssize_t send(int fd, const void* octets, size_t size, int flags)
    int shutdown(int fd, int how)
    int getsockopt(int fd, int level, int name, void* value, unsigned int* size)
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    enum:
        MSG_MORE
        MSG_NOSIGNAL
        SHUT_WR
        SOL_SOCKET
        SO_ERROR

cdef enum:
    PARTS = 128             # sent in one call; further ones are sent by the next


cdef ssize_t _send_parts(int fd, list parts, Py_ssize_t offset) except -4096:
    """Sends the first PARTS of ``parts``, from ``offset`` in the first on; how many octets went, or minus the errno."""
    cdef iovec[PARTS] vectors
    cdef Py_buffer[PARTS] lent
    cdef msghdr message
    cdef Py_ssize_t count = min(len(parts), <Py_ssize_t>PARTS), index
    cdef int borrowed = 0
    cdef ssize_t sent
    cdef object part
    try:
        for index in range(count):
            part = parts[index]
            if PyBytes_CheckExact(part):
                vectors[index].iov_base = PyBytes_AS_STRING(part)
                vectors[index].iov_len = PyBytes_GET_SIZE(part)
            else:
                PyObject_GetBuffer(part, &lent[borrowed], PyBUF_SIMPLE)
                vectors[index].iov_base = lent[borrowed].buf
                vectors[index].iov_len = lent[borrowed].len
                borrowed += 1
        vectors[0].iov_base = <char*>vectors[0].iov_base + offset
        vectors[0].iov_len -= offset
        memset(&message, 0, sizeof(message))
        message.msg_iov = vectors
        message.msg_iovlen = count
        sent = sendmsg(fd, &message, MSG_NOSIGNAL)
        if sent < 0:
            sent = -errno       # giving the parts back may change it
    finally:
        for index in range(borrowed):
            PyBuffer_Release(&lent[index])
    return sent


cdef class Stream(Watched):

    cdef int attach(self, Poll poll, int fd, bint is_connecting=False) except -1:
        try:
            self.is_connecting = is_connecting
            return poll.watch(self, fd, WRITE if is_connecting else READ)
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
        return self.keep([octets], sent)

    cdef int write_parts(self, list parts) except -1:
        """As write(), of several parts, none of which changes before it is sent. The list is ours from now on."""
        cdef Py_ssize_t at = 0
        if self.fd < 0 or self.is_shut or self.is_closing or not parts:
            return 0
        if self.unsent is not None:
            return self.keep(parts, 0)
        if self.send_parts(parts, &at) or not parts:
            return 0                # reset by the peer: the next event says so; or all is sent
        return self.keep(parts, at)

    cdef Py_ssize_t count_unsent(self) except -1:
        """Octets that were written and that the kernel has not taken yet."""
        return 0 if self.unsent is None else sum([len(part) for part in self.unsent]) - self.unsent_at

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

    cdef int connected(self) except -1:
        return 0

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
        if self.is_connecting:
            return self.end_connecting()
        if events & WRITE and self.unsent is not None:
            self.send_rest()
        if self.fd < 0:
            return 0
        if self.interest & READ:
            if events & (READ | BROKEN):
                return self.read()
        elif events & BROKEN:
            return self.release(self.socket_error())
        return 0

    cdef int end_connecting(self) except -1:
        cdef int error = self.socket_error()
        if error:
            return self.release(error)
        self.is_connecting = False
        self.adjust()
        return self.connected()

    cdef int socket_error(self) noexcept:
        """What went wrong with the socket (errno), or 0; the kernel forgets it."""
        cdef int error = 0
        cdef unsigned int size = sizeof(error)
        getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &error, &size)
        return error

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
        cdef int error = self.send_parts(self.unsent, &self.unsent_at)
        if error:
            return self.release(error)
        if self.unsent:
            return 0
        self.unsent = None
        if self.is_closing:
            return self.release(0)
        if self.is_shut:
            shutdown(self.fd, SHUT_WR)
        self.adjust()
        return self.drained()

    cdef int send_parts(self, list parts, Py_ssize_t* at) except -1:
        """Sends ``parts`` from ``at[0]`` in the first on, for as long as the kernel takes any, and removes what is sent.
        0, or what went wrong (errno)."""
        cdef Py_ssize_t whole, size
        cdef ssize_t sent
        while parts:
            sent = _send_parts(self.fd, parts, at[0])
            if sent < 0:
                return 0 if sent == -EAGAIN or sent == -EINTR else -sent
            sent += at[0]
            whole = 0
            while whole < len(parts):
                size = len(parts[whole])
                if sent < size:
                    break
                sent -= size
                whole += 1
            at[0] = sent
            if whole == len(parts):
                parts.clear()
            else:
                del parts[:whole]
                if whole < PARTS:
                    return 0        # not all of what was offered: more will not be taken now
        return 0

    cdef int keep(self, list parts, Py_ssize_t sent) except -1:
        if self.unsent is not None:
            self.unsent.extend(parts)
            return 0
        self.unsent = parts
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
        if self.unsent is not None or self.is_connecting:
            interest |= WRITE
        return 0 if self.fd < 0 else self.poll.change(self, interest)
