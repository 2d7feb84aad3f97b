# cython: language_level=3
"""The thin shell around a session: its socket on the worker's poll, and TLS between the two.

Theory: one call per buffer, one write per read. Back-pressure works both ways: a peer that does not read its replies is
not read from, and neither is one that sends on while we wait for a sync.

A session that ends for another reason than QUIT closes only its sending side at first: closing with unread input makes the
kernel send a reset, and the peer would never read why (RFC 1122 4.2.2.13). What still comes is thrown away until the
peer closes, or the deadline passes.

TLS (RFC 3207, RFC 8314) is one more step between the socket and the machine, in the same call: unwrap() and write().
Its machine is made when the first octet of the handshake comes, so a peer that never begins one costs nothing, and
nothing that came before can be in it. While the handshake goes on nothing is said in the clear.

Not here: everything that SMTP is (_session.pyx), everything that TLS is (relay/net/tls_machine.py), system calls
(relay/net/_stream.pyx).
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from relay._fastparse cimport V_HTTP, V_TLS, command
from relay.net._acceptor cimport Acceptor
from relay.net._poll cimport Poll
from relay.net._stream cimport Stream
from relay.smtp._context cimport Service
from relay.smtp._session cimport Session
from relay.smtp._replies cimport LINGER, Question
from relay.smtp._state cimport GREETING, HANDSHAKE, OVER

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
    ssize_t recv(int descriptor, void* into, size_t size, int flags)
    enum:
        MSG_DONTWAIT
        MSG_PEEK

cdef extern from "<netinet/in.h>":
    int IPPROTO_TCP

cdef extern from "<netinet/tcp.h>":
    int TCP_QUICKACK

cdef enum:
    PEEKED = 64                 # octets looked at before the greeting: the longest HTTP method fits
    DISCARD_LIMIT = 1048576     # octets thrown away after the last reply, then the connection is cut
    HELLO = 0x16                # how TLS begins (relay.net.tls_machine.HELLO)


cdef int64_t _read(int clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t>now.tv_sec * 1000000 + now.tv_nsec // 1000


cdef class Connection(Session)


cdef class Wire(Stream):
    """The socket under a session."""

    cdef Connection connection

    def __cinit__(self, Connection connection not None):
        self.connection = connection

    cdef int received(self, bytes octets) except -1:
        return self.connection.received(octets)

    cdef int ended(self) except -1:
        return self.connection.ended()

    cdef int drained(self) except -1:
        return self.connection.drained()

    cdef int lost(self, int error) except -1:
        return self.connection.disconnected(error)

    cdef int failed(self, object fault) except -1:
        self.connection.context.log_fault("connection failed", fault, self.connection.session_id)
        return self.abort()


cdef class Connection(Session):
    """A Session on a socket."""

    cdef Wire wire                  # None once the socket is closed
    cdef object stream              # TLS between the wire and us, once it has begun
    cdef bint is_secure             # its handshake is done
    cdef Py_ssize_t discarded
    cdef bint is_closing            # our side is closed

    cdef int64_t read_clock(self) noexcept:
        return _read(CLOCK_MONOTONIC)

    cdef int connected(self, Poll poll, int fd, str address, int port) except -1:
        """The socket ``fd`` is this session's from now on."""
        self.wire = Wire.__new__(Wire, self)
        self.wire.attach(poll, fd)
        try:
            self.open(address, port, self.read_clock())
            self.flush()
        except Exception as fault:
            self.fail(fault)
        return 0

    cdef bint has_spoken_early(self) except -1:
        """Before the greeting the kernel is asked as well. What is another protocol's is let through: it is answered so,
        and which port is the right one, when it is read."""
        cdef char[PEEKED] octets
        cdef ssize_t size
        cdef Py_ssize_t start = 0, stop = 0
        cdef int verb
        if self.held is not None:
            return True
        if self.state != GREETING or self.stream is not None or self.wire is None:
            return False
        size = recv(self.wire.fd, octets, PEEKED, MSG_PEEK | MSG_DONTWAIT)
        if size <= 0:
            return False
        verb = command(octets, 0, size, &start, &stop)
        return verb != V_HTTP and verb != V_TLS

    cdef int received(self, bytes octets) except -1:
        try:
            if self.is_closing:
                return self.discard(PyBytes_GET_SIZE(octets))
            if self.stream is not None or self.state == HANDSHAKE:
                octets = self.unwrap(octets)
            if PyBytes_GET_SIZE(octets):
                self.take_in(octets, self.read_clock())
            self.flush()
        except Exception as fault:
            self.fail(fault)
        return 0

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
        return octets

    cdef int acknowledge(self) except -1:
        """Has the kernel acknowledge what was read at once: the client ends the handshake in one segment and sends its
        command in the next, which its kernel holds back until then (RFC 896), and ours waits for us to write: 40 ms."""
        cdef int yes = 1
        setsockopt(self.wire.fd, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof(yes))
        return 0

    cdef int write(self, bytes octets) except -1:
        """Writes what the session says, and what TLS itself has to say."""
        if self.stream is not None:
            if self.is_secure:
                self.stream.send(octets)
            octets = self.stream.take_output()
        if PyBytes_GET_SIZE(octets):
            self.wire.write(octets, self.state >= OVER)
            self.is_choked = self.wire.is_choked()
        return 0

    cdef bint is_half_closed(self) except -1:
        """The peer will send no more; what it is still owed is written before the socket is closed."""
        return self.wire.has_ended or (self.stream is not None and self.stream.is_closed)

    cdef int ended(self) except -1:
        if self.state == HANDSHAKE:
            self.closes_at_once = True
            self.over("peer_closed")
        self.flush()
        return 0

    cdef int disconnected(self, int error) except -1:
        """The socket is closed, by whomever; ``error`` is 0 or why."""
        self.wire = None
        self.stream = None
        self.lost("peer_reset" if error else "peer_closed")
        return 0

    cdef int drained(self) except -1:
        """The peer has read on: what was held back is worked off."""
        self.is_choked = False
        self.now = self.read_clock()
        try:
            self.go_on()
            self.flush()
        except Exception as fault:
            self.fail(fault)
        return 0

    def flush(self):
        """Writes what is to be written, in turns while there is more; then reading and closing follow the session."""
        cdef bytes octets
        if self.wire is None:
            return
        while True:
            octets = self.take_output()
            if not self.is_closing:
                self.write(octets)
            if not self.has_more or self.is_choked:
                break
            self.go_on()
        if self.is_half_closed() and (
                self.state >= OVER or not (self.is_waiting() or self.has_questions())):
            self.closes_at_once = True
            self.over("peer_closed")
        if self.state >= OVER:
            if self.behind is None:
                self.shut_down()
        elif self.may_read() == self.wire.is_paused:
            if self.wire.is_paused:
                self.wire.resume()
            else:
                self.wire.pause()

    cdef int shut_down(self) except -1:
        """Closes our side once what was said is written; all of it when the peer need not be waited for."""
        if self.is_secure and not self.is_closing:
            self.stream.close()
            self.write(b"")
        self.is_closing = True
        if self.closes_at_once:
            self.wire.close()
            if self.wire is not None and self.deadline > self.now + LINGER:
                self.arm()      # the last reply is still being written
            return 0
        if self.wire.is_paused:
            self.wire.resume()
        return self.wire.shut()

    cdef int discard(self, Py_ssize_t size) except -1:
        """Counts what comes after the last reply; cuts the connection when it is too much."""
        self.discarded += size
        if self.discarded > DISCARD_LIMIT:
            self.abort()
        return 0

    def abort(self):
        """Cuts the connection without another word."""
        self.over("drained" if self.context.is_draining else "internal")
        if self.wire is not None:
            self.wire.abort()

    cdef int start(self, Question question) except -1:
        question.task = asyncio.ensure_future(self.wait_for_answer(question))
        return 0

    async def wait_for_answer(self, Question question):
        """Brings the answer of a policy that had to wait back into the session."""
        question.is_running = True
        try:
            answer = await question.awaitable
        except asyncio.CancelledError as fault:
            if question.session is None:
                raise
            answer = fault      # something else has cancelled what it waited for
        except Exception as fault:
            answer = fault
        try:
            question.answered(answer)
        except Exception as fault:
            self.fail(fault)


cdef class SmtpAcceptor(Acceptor):
    """A listening socket whose connections become sessions of ``service``."""

    cdef Service service

    def __init__(self, Poll poll not None, listening not None, on_trouble not None, Service service not None):
        Acceptor.__init__(self, poll, listening, on_trouble)
        self.service = service

    cdef int accepted(self, int fd, str address, int port) except -1:
        return (<Connection>Connection.__new__(Connection, self.service)).connected(self.poll, fd, address, port)


def read_clocks():
    """CLOCK_MONOTONIC and the time since the epoch, both in microseconds: what ServerContext.tick() takes."""
    return _read(CLOCK_MONOTONIC), _read(CLOCK_REALTIME)
