# cython: language_level=3
"""The thin asyncio transport under a session: a compiled Protocol for uvloop.

Theory: one call per buffer, one write per read. The transport's back-pressure works both ways: a peer that does not
read its replies is not read from, and neither is one that sends on while we wait for a sync.

A session that ends for another reason than QUIT closes only its sending side at first: closing with unread input makes the
kernel send a reset, and the peer would never read why (RFC 1122 4.2.2.13). What still comes is thrown away until the
peer closes, or the deadline passes.

TLS (RFC 3207, RFC 8314) is one more step between the transport and the machine, in the same call: unwrap() and write().
Its machine is made when the first octet of the handshake comes, so a peer that never begins one costs nothing, and
nothing that came before can be in it. While the handshake goes on nothing is said in the clear.

Not here: everything that SMTP is (_session.pyx), everything that TLS is (relay/net/tls_machine.py).
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from relay.smtp._context cimport Service
from relay.smtp._session cimport Session
from relay.smtp._speaker cimport GONE, HANDSHAKE, OVER

import asyncio

from relay.net.tls_machine import TlsError

cdef extern from "time.h" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* now)
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME

cdef extern from "<sys/socket.h>" nogil:
    int setsockopt(int descriptor, int level, int name, const void* value, unsigned int size)

cdef extern from "<netinet/in.h>":
    int IPPROTO_TCP

cdef extern from "<netinet/tcp.h>":
    int TCP_QUICKACK

cdef enum:
    DISCARD_LIMIT = 1048576     # octets thrown away after the last reply, then the connection is cut
    HELLO = 0x16                # how TLS begins (relay.net.tls_machine.HELLO)


cdef int64_t _read(int clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t>now.tv_sec * 1000000 + now.tv_nsec // 1000


cdef class Connection(Session):
    """A Session on a transport."""

    cdef object transport
    cdef object task                # waits for an awaitable answer of policy
    cdef object stream              # TLS between the transport and us, once it has begun
    cdef bint is_secure             # its handshake is done
    cdef Py_ssize_t discarded
    cdef bint is_reading
    cdef bint is_closing            # our side is closed
    cdef bint is_half_closed        # the peer's side is closed

    cdef int64_t read_clock(self) noexcept:
        return _read(CLOCK_MONOTONIC)

    def connection_made(self, transport):
        self.transport = transport
        self.is_reading = True
        peer = transport.get_extra_info("peername") or ("", 0)
        if isinstance(peer, tuple):
            self.open(peer[0], peer[1], self.read_clock())
        else:
            self.open(peer or "unix", 0, self.read_clock())
        self.flush()

    def data_received(self, bytes octets not None):
        try:
            if self.is_closing:
                self.discard(PyBytes_GET_SIZE(octets))
                return
            if self.stream is not None or self.state == HANDSHAKE:
                octets = self.unwrap(octets)
            if PyBytes_GET_SIZE(octets):
                self.take_in(octets, self.read_clock())
            self.flush()
        except Exception as fault:
            self.fail(fault)

    cdef bytes unwrap(self, bytes octets):
        """What the peer says in ``octets`` under TLS; nothing while the handshake goes on."""
        self.now = self.read_clock()
        try:
            if self.state == HANDSHAKE:
                if self.stream is None:
                    if self.service.is_implicit and octets[0] != HELLO:
                        self.speaks_plainly(octets)
                        return b""
                    self.stream = self.service.tls.accept()
                self.has_spoken = True
                if not self.stream.handshake(octets):
                    return b""
                self.is_secure = True
                if not self.stream.has_output:
                    self.acknowledge()
                self.secured(self.stream)
                octets = b""        # the machine has them; more may stand behind the end of the handshake
            octets = self.stream.receive(octets)
        except TlsError as fault:
            self.insecure(fault.kind, fault.reason)
            return b""
        if self.stream.is_closed:
            self.is_half_closed = True
        return octets

    cdef int acknowledge(self) except -1:
        """Has the kernel acknowledge what was read at once: the client ends the handshake in one segment and sends its
        command in the next, which its kernel holds back until then (RFC 896), and ours waits for us to write: 40 ms."""
        cdef int yes = 1
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            setsockopt(<int>connection.fileno(), IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof(yes))
        return 0

    cdef int write(self, bytes octets) except -1:
        """Writes what the session says, and what TLS itself has to say."""
        if self.stream is None:
            if PyBytes_GET_SIZE(octets):
                self.transport.write(octets)
            return 0
        if self.is_secure:
            self.stream.send(octets)
        octets = self.stream.take_output()
        if PyBytes_GET_SIZE(octets):
            self.transport.write(octets)
        return 0

    def eof_received(self):
        """The peer will send no more; what it is still owed is written before the transport closes."""
        self.is_half_closed = True
        if self.state == HANDSHAKE:
            self.closes_at_once = True
            self.over("peer_closed")
        self.flush()
        return True

    def connection_lost(self, error):
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self.lost("peer_closed" if error is None else "peer_reset")
        self.transport = None
        self.stream = None

    def pause_writing(self):
        self.is_choked = True

    def resume_writing(self):
        self.is_choked = False
        self.now = self.read_clock()
        try:
            self.go_on()
            self.flush()
        except Exception as fault:
            self.fail(fault)

    def flush(self):
        """Writes what is to be written, in turns while there is more; then reading and closing follow the session."""
        cdef bytes octets
        cdef bint may_read
        if self.transport is None:
            return
        while True:
            octets = self.take_output()
            if not self.is_closing:
                self.write(octets)
            if not self.has_more or self.is_choked:
                break
            self.go_on()
        if self.question is not None and self.task is None:
            self.task = asyncio.ensure_future(self.wait_for_answer(self.question))
        if self.is_half_closed and (self.state >= OVER or not self.is_waiting()):
            self.closes_at_once = True
            self.over("peer_closed")
        if self.state >= OVER:
            return self.close()
        may_read = self.may_read()
        if may_read != self.is_reading:
            self.is_reading = may_read
            if may_read:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def close(self):
        """Closes our side once what was said is written; all of it when the peer need not be waited for."""
        if self.transport.is_closing():
            return
        if self.is_secure and not self.is_closing:
            self.stream.close()
            self.write(b"")
        if not self.is_reading:
            self.is_reading = True
            self.transport.resume_reading()
        if self.closes_at_once:
            self.is_closing = True
            self.transport.close()
        elif not self.is_closing:
            self.is_closing = True
            self.transport.write_eof()

    def discard(self, Py_ssize_t size):
        self.discarded += size
        if self.discarded > DISCARD_LIMIT:
            self.abort()

    def abort(self):
        """Cuts the connection without another word."""
        self.over("drained" if self.context.is_draining else "internal")
        if self.transport is not None:
            self.transport.abort()

    async def wait_for_answer(self, question):
        """Brings the answer of a policy that had to wait back into the session."""
        try:
            verdict = await question
        except Exception as fault:
            verdict = fault
        self.task = None
        try:
            self.answered(verdict)
        except Exception as fault:
            self.fail(fault)


def make_protocol_factory(Service service not None):
    """What ``loop.create_server(factory, sock=...)`` takes for the listener that ``service`` stands for."""
    def factory():
        return Connection(service)

    return factory


def read_clocks():
    """CLOCK_MONOTONIC and the time since the epoch, both in microseconds: what ServerContext.tick() takes."""
    return _read(CLOCK_MONOTONIC), _read(CLOCK_REALTIME)
