# cython: language_level=3
"""A connection with buffers and TLS: what any protocol's load is built upon.

Theory: input is read into the loop's one buffer and handed to the machine there; only what it leaves over is kept (a
part of a command line, seldom more), so an idle stream holds no memory. Output is gathered while the machine works
through its input and leaves in one system call; what lies in a message template anyway is not copied but referred to.

Invariants: after give_up() or close() no method of the machine is called before the next connect(). lost() comes at
most once per connection.

Not here: what the octets mean.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EAGAIN, EINPROGRESS, EINTR, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close

import errno as errors
import ssl

from benchmarks.load._loop cimport BROKEN, READ, WRITE, Endpoint, Loop

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    enum:
        MSG_NOSIGNAL
        SOCK_STREAM
        SOCK_NONBLOCK
        SOCK_CLOEXEC
        SOL_SOCKET
        SO_ERROR
        AF_UNIX
    int c_socket "socket"(int family, int type, int protocol)
    int c_connect "connect"(int fd, const sockaddr* address, unsigned int n)
    Py_ssize_t recv(int fd, void* p, size_t n, int flags)
    Py_ssize_t send(int fd, const void* p, size_t n, int flags)
    Py_ssize_t sendmsg(int fd, const msghdr* message, int flags)
    int getsockopt(int fd, int level, int option, void* value, unsigned int* n)
    int setsockopt(int fd, int level, int option, const void* value, unsigned int n)

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NODELAY

cdef enum:
    SMALL = 4096            # octets up to which copying is cheaper than one more piece
    KEPT = 16 * 1024        # an output buffer up to this size is kept for the next time


cdef str errno_name(int number):
    return errors.errorcode.get(number, str(number))


cdef Target target_of(tuple server) except *:
    """``server``: (family, address) as the socket module has them, the address packed as ``struct sockaddr``."""
    cdef Target target
    cdef bytes packed = server[1]
    memset(&target, 0, sizeof(target))
    if <size_t>len(packed) > sizeof(target.address):
        raise ValueError("the socket address is too long")
    target.family = server[0]
    target.size = <int>len(packed)
    memcpy(target.address, PyBytes_AS_STRING(packed), len(packed))
    return target


cdef class Stream(Endpoint):

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)
        free(self.held)
        free(self.out)

    # --- life ---

    cdef int connect(self, Loop loop, Target* target) except -1:
        """Begins a connection; connected() or lost() follows, perhaps before this returns."""
        cdef int fd, result
        self.reset()
        self.loop = loop
        fd = c_socket(target.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if fd < 0:
            return self.lost(errno_name(errno))
        set_no_delay(fd, target.family)
        result = c_connect(fd, <const sockaddr*>target.address, target.size)
        if result < 0 and errno != EINPROGRESS:
            result = errno
            close(fd)
            return self.lost(errno_name(result))
        self.is_connecting = True
        loop.watch(self, fd, WRITE)
        if result == 0:
            return self.established()
        return 0

    cdef int take_over(self, Loop loop, int fd) except -1:
        """Takes an accepted connection."""
        self.reset()
        set_no_delay(fd, 0)
        loop.watch(self, fd, READ)
        return 0

    cdef int reset(self) except -1:
        self.channel = None
        self.sealed = None
        self.is_connecting = self.is_paused = False
        self.held_n = self.out_n = self.sealed_at = 0
        self.first_piece = self.piece_n = 0
        return 0

    cdef int established(self) except -1:
        self.is_connecting = False
        self.loop.change(self, READ)
        return self.connected()

    cdef int close(self) except -1:
        cdef int fd = self.fd
        if fd >= 0:
            self.loop.forget(self)
            close(fd)
        free(self.held)
        free(self.out)
        self.held = self.out = NULL
        self.held_cap = self.out_cap = 0
        self.reset()
        return 0

    cdef int give_up(self, str cause) except -1:
        self.close()
        return self.lost(cause)

    cdef int connected(self) except -1:
        return 0

    cdef Py_ssize_t received(self, const char* p, Py_ssize_t n) except -1:
        return n

    cdef int secured(self) except -1:
        return 0

    cdef int drained(self) except -1:
        return 0

    cdef int lost(self, str cause) except -1:
        return 0

    # --- events ---

    cdef int ready(self, uint32_t events) except -1:
        cdef int error = 0
        cdef unsigned int n = sizeof(error)
        if self.is_connecting:
            getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &error, &n)
            if error:
                return self.give_up(errno_name(error))
            return self.established()
        if events & WRITE:
            self.flush()
        if self.fd >= 0 and events & (READ | BROKEN):
            if self.is_paused and not events & BROKEN:
                return 0
            self.fill()
        return 0

    cdef int fill(self) except -1:
        """Reads once, as much as there is room for; the machine is called, and what it has put out is sent."""
        cdef char* buffer = self.loop.buffer
        cdef size_t before = 0
        cdef Py_ssize_t n
        if self.channel is None:
            before = self.held_n
            if before == <size_t>self.loop.buffer_size:
                return self.give_up("too much unconsumed")
            memcpy(buffer, self.held, before)
        n = recv(self.fd, buffer + before, self.loop.buffer_size - before, 0)
        if n < 0:
            if errno == EAGAIN or errno == EINTR:
                return 0
            return self.give_up(errno_name(errno))
        if n == 0:
            return self.give_up("closed")
        if self.channel is None:
            return self.deliver(before + n)
        try:
            return self.fill_secured(n)
        except ssl.SSLError:
            return self.give_up("tls")

    cdef int fill_secured(self, Py_ssize_t n) except -1:
        """Takes the n encrypted octets in the loop's buffer."""
        cdef char* buffer = self.loop.buffer
        cdef object channel = self.channel
        cdef size_t before
        channel.feed(PyBytes_FromStringAndSize(buffer, n))
        if not channel.is_secured:
            if channel.advance():
                self.flush()
                if self.fd >= 0:
                    self.secured()
            if self.fd < 0:
                return 0
            self.flush()
            if not channel.is_secured:
                return 0
        while self.channel is channel and not self.is_paused:
            before = self.held_n
            if before == <size_t>self.loop.buffer_size:
                return self.give_up("too much unconsumed")
            memcpy(buffer, self.held, before)
            n = channel.read_into(PyMemoryView_FromMemory(buffer + before, self.loop.buffer_size - before, PyBUF_WRITE))
            if n < 0:
                return self.give_up("closed")
            if n == 0:
                return 0
            self.deliver(before + n)
        return 0

    cdef int deliver(self, Py_ssize_t n) except -1:
        """Hands the first n octets of the loop's buffer to the machine; keeps what it leaves over."""
        cdef char* buffer = self.loop.buffer
        cdef Py_ssize_t used = self.received(buffer, n)
        if self.fd < 0:
            return 0
        self.keep(buffer + used, n - used)
        return self.flush()

    cdef int keep(self, const char* p, size_t n) except -1:
        cdef char* held
        if n > self.held_cap:
            held = <char*>realloc(self.held, n)
            if not held:
                raise MemoryError
            self.held, self.held_cap = held, n
        memcpy(self.held, p, n)
        self.held_n = n
        if n == 0 and self.held_cap:
            free(self.held)
            self.held, self.held_cap = NULL, 0
        return 0

    cdef int pause(self) except -1:
        """The machine gets no further input before resume(), except what it left unconsumed."""
        self.is_paused = True
        return 0

    cdef int resume(self) except -1:
        """Hands what was left unconsumed to the machine again, and reads on. Not to be called from received()."""
        cdef size_t n = self.held_n
        self.is_paused = False
        if n:
            memcpy(self.loop.buffer, self.held, n)
            self.deliver(n)
        if self.fd >= 0 and self.channel is not None and not self.is_paused:
            try:
                self.fill_secured(0)
            except ssl.SSLError:
                return self.give_up("tls")
        if self.fd >= 0:
            self.update_interest()
        return 0

    # --- output ---

    cdef bint has_output(self) noexcept:
        return self.first_piece < self.piece_n or self.sealed is not None

    cdef int put(self, const char* p, size_t n) except -1:
        cdef size_t cap
        cdef char* out
        cdef Piece* last
        if n == 0:
            return 0
        if self.out_n + n > self.out_cap:
            cap = max(2 * self.out_cap, <size_t>512)
            while self.out_n + n > cap:
                cap *= 2
            out = <char*>realloc(self.out, cap)
            if not out:
                raise MemoryError
            self.out, self.out_cap = out, cap
        memcpy(self.out + self.out_n, p, n)
        last = &self.pieces[self.piece_n - 1]
        if self.piece_n > self.first_piece and not last.p:
            last.n += n
        else:
            assert self.piece_n < PIECES
            self.pieces[self.piece_n] = Piece(NULL, self.out_n, n)
            self.piece_n += 1
        self.out_n += n
        return 0

    cdef int put_bytes(self, bytes octets) except -1:
        return self.put(PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))

    cdef int refer(self, const char* p, size_t n) except -1:
        # One piece is left for what may follow.
        if n <= SMALL or self.piece_n >= PIECES - 2:
            return self.put(p, n)
        self.pieces[self.piece_n] = Piece(p, 0, n)
        self.piece_n += 1
        return 0

    cdef int flush(self) except -1:
        """Sends what has been put; drained() when all of it went. The rest follows when the kernel has room."""
        if self.fd < 0 or self.is_connecting:
            return 0
        cdef bint had_output = self.has_output()
        if self.channel is not None:
            self.seal()
            had_output = had_output or self.sealed is not None
            if self.sealed is not None:
                self.send_sealed()
        elif had_output:
            self.send_pieces()
        if self.fd < 0:
            return 0
        self.update_interest()
        if had_output and not self.has_output():
            self.drained()
        return 0

    cdef int update_interest(self) except -1:
        return self.loop.change(self, (0 if self.is_paused else READ) | (WRITE if self.has_output() else 0))

    cdef int send_pieces(self) except -1:
        cdef iovec[PIECES] vectors
        cdef msghdr message
        cdef Py_ssize_t sent
        cdef int i, count
        cdef Piece* piece
        while self.first_piece < self.piece_n:
            count = self.piece_n - self.first_piece
            for i in range(count):
                piece = &self.pieces[self.first_piece + i]
                vectors[i].iov_base = <void*>(piece.p if piece.p else self.out + piece.offset)
                vectors[i].iov_len = piece.n
            if count == 1:
                sent = send(self.fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL)
            else:
                memset(&message, 0, sizeof(message))
                message.msg_iov = vectors
                message.msg_iovlen = count
                sent = sendmsg(self.fd, &message, MSG_NOSIGNAL)
            if sent < 0:
                if errno == EAGAIN or errno == EINTR:
                    return 0
                # The peer is gone; what it said before is still to be read, and the loss shows there.
                break
            while sent > 0:
                piece = &self.pieces[self.first_piece]
                if <size_t>sent < piece.n:
                    piece.n -= sent
                    if piece.p:
                        piece.p += sent
                    else:
                        piece.offset += sent
                    break
                sent -= piece.n
                self.first_piece += 1
        self.forget_output()
        return 0

    cdef int forget_output(self) except -1:
        self.first_piece = self.piece_n = 0
        self.out_n = 0
        if self.out_cap > KEPT:
            free(self.out)
            self.out, self.out_cap = NULL, 0
        return 0

    # --- TLS ---

    cdef int start_tls(self, object channel) except -1:
        """What was put before goes out plain; everything after it is TLS. secured() follows, or lost("tls")."""
        self.flush()
        if self.fd < 0:
            return 0
        self.channel = channel
        try:
            channel.advance()
        except ssl.SSLError:
            return self.give_up("tls")
        return self.flush()

    cdef int seal(self) except -1:
        """Encrypts the output."""
        cdef int i
        cdef Piece* piece
        cdef bytes more
        if self.channel.is_secured:
            for i in range(self.first_piece, self.piece_n):
                piece = &self.pieces[i]
                self.channel.write(PyMemoryView_FromMemory(
                    <char*>(piece.p if piece.p else self.out + piece.offset), piece.n, PyBUF_READ))
            self.forget_output()
        more = self.channel.take()
        if more:
            if self.sealed is None:
                self.sealed, self.sealed_at = more, 0
            else:
                self.sealed, self.sealed_at = self.sealed[self.sealed_at:] + more, 0
        return 0

    cdef int send_sealed(self) except -1:
        cdef size_t n = PyBytes_GET_SIZE(self.sealed)
        cdef Py_ssize_t sent
        while self.sealed_at < n:
            sent = send(self.fd, PyBytes_AS_STRING(self.sealed) + self.sealed_at, n - self.sealed_at, MSG_NOSIGNAL)
            if sent < 0:
                if errno == EAGAIN or errno == EINTR:
                    return 0
                break
            self.sealed_at += sent
        self.sealed = None
        return 0


cdef int set_no_delay(int fd, int family) noexcept:
    """Every write here is a whole one; on a Unix socket the call fails, and nothing is lost."""
    cdef int one = 1
    if family != AF_UNIX:
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    return 0
