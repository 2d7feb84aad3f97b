# cython: language_level=3, auto_pickle=False, autotestdict=False
# (a session is not for pickling; the stub describes the module, and neither directive leaves names in it)
"""The client session on a socket: the machine of _machine.pyx with a wire, a clock and a wheel.

Theory: one call per read, one write per call, of the machine's output in its parts, so that no content is copied.
A content that lives in a file is read piece by piece as the peer takes it: from the page cache at once, and only what is
not there in a thread (a piece from the cache takes 15 us, the way to the thread and back more).

Invariants: the owner's ``closed`` is called once the socket is closed, never before; that may be inside ``abort``,
``withdraw`` and ``expire``. At most one piece of a file is in memory, twice its size when it must be stuffed. A fault in
the owner's code ends this session, not the worker.

Not here: SMTP (_machine.pyx), opening the connection (connect.py). The wire can begin TLS (relay/net/_tls_stream.pyx);
the session does not ask for it yet.
"""

import os as _os
from asyncio import sleep as _sleep

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t

from relay.delivery._machine cimport ClientMachine
from relay.delivery._transactions cimport BANNER, CONNECT, DEAD
from relay.net._poll cimport Poll
from relay.net._tls_stream cimport TlsStream

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    ssize_t preadv2(int fd, const iovec* iov, int count, int64_t offset, int flags)
    enum: RWF_NOWAIT

cdef Py_ssize_t PIECE = 131072


cdef bytes _read_cached(int descriptor, Py_ssize_t offset):
    """Up to PIECE octets at ``offset`` that are in the page cache, empty at the end of the file; None when there are none, or
    the file system cannot tell."""
    cdef bytes octets = PyBytes_FromStringAndSize(NULL, PIECE)
    cdef iovec vector
    vector.iov_base = PyBytes_AS_STRING(octets)
    vector.iov_len = PIECE
    cdef Py_ssize_t size = preadv2(descriptor, &vector, 1, offset, RWF_NOWAIT)
    return None if size < 0 else octets if size == PIECE else octets[:size]


cdef class ClientSession(ClientMachine)


cdef class Wire(TlsStream):
    """The socket under a session, in the clear."""

    cdef ClientSession session

    def __cinit__(self, ClientSession session not None):
        self.session = session

    cpdef object on_connected(self):
        self.session.connected()

    cpdef object on_received(self, bytes octets):
        self.session.received(octets)

    cpdef object on_ended(self):
        self.abort()                    # who sends no more answers nothing any more

    cpdef object on_drained(self):
        self.session.drained()

    cpdef object on_lost(self, int error):
        self.session.disconnected(error)

    cdef int failed(self, object fault) except -1:
        """A fault in the owner's code, or in ours."""
        self.session.loop.call_exception_handler({"message": "client session failed", "exception": fault})
        self.session.is_calling = False
        return self.abort()


cdef class ClientSession(ClientMachine):
    """See the stub."""

    cdef:
        Wire wire                   # None: not connected yet, or the socket is closed
        object loop, wheel, timer
        bint is_timer_pending
        double timer_at             # when it comes due: at the deadline or before
        readonly double connected_at
        object drained_future, task
        object __weakref__

    def __init__(self, bytes hostname not None, limits, owner, wheel, loop, str next_hop, *, bint lmtp=False,
                 chunking=None, on_greeted=None):
        ClientMachine.__init__(self, hostname, limits, owner, next_hop, lmtp=lmtp, chunking=chunking,
                               on_greeted=on_greeted, now=loop.time())
        self.loop = loop
        self.wheel = wheel
        self.phase = CONNECT
        self.arm()

    def connect(self, Poll poll not None, int descriptor):
        self.wire = Wire.__new__(Wire, self)
        self.wire.attach(poll, descriptor, True)
        self.set_timer()

    # --- called by the wire ---

    cdef int connected(self) except -1:
        self.now = self.connected_at = self.loop.time()
        self.phase = BANNER
        self.arm()
        return self.flush()

    cdef int received(self, bytes octets) except -1:
        self.now = self.loop.time()
        self.feed(octets)
        return self.flush()

    cdef int drained(self) except -1:
        if self.drained_future is not None and not self.drained_future.done():
            self.drained_future.set_result(None)
        return 0

    cdef int disconnected(self, int error) except -1:
        """The socket is closed, by whomever; ``error`` is 0 or why."""
        self.now = self.loop.time()
        self.wire = None
        if self.is_timer_pending:
            self.is_timer_pending = False
            self.wheel.cancel(self.timer)
        self.drained()
        if self.phase == CONNECT and error:
            self.fail(self.own_fault("4.4.1", f"cannot connect: {_os.strerror(error)}"), False)
        return self.lost()

    # --- for the owner and the wheel ---

    @property
    def is_choked(self):
        return self.wire is not None and self.wire.is_choked()

    @property
    def octets_waiting(self):
        return 0 if self.wire is None else self.wire.count_unsent()

    def wake(self):
        self.now = self.loop.time()
        self.wake_up()
        self.flush()

    def quit(self):
        self.now = self.loop.time()
        self.quit_soon()
        self.flush()

    def abort(self, str text="the connection was ended on this side"):
        self.now = self.loop.time()
        self.fail(self.own_fault("4.4.2", text), False)
        self.flush()

    def withdraw(self):
        self.now = self.loop.time()
        cdef bint is_over = not self.is_calling and self.take_back()
        self.flush()
        return is_over

    def expire(self, double now):
        self.is_timer_pending = False
        self.now = now
        self.expired()
        self.flush()

    # --- the shell ---

    cdef int flush(self) except -1:
        """Writes what the machine has to say, starts a stream, sets the timer; ends the connection when it is over."""
        cdef list out
        if self.is_calling or self.wire is None:
            return 0
        if self.phase >= DEAD:
            return self.wire.abort()
        if self.out:
            out = self.out
            self.out = []
            self.wire.write_parts(out)
        if self.streaming and self.task is None:
            self.task = self.loop.create_task(self._stream_file(self.current.path))
        return self.set_timer()

    cdef int set_timer(self) except -1:
        """A later deadline costs nothing: the timer comes due at the one before, and ``expire`` sets it anew."""
        if self.is_timer_pending and self.deadline >= self.timer_at:
            return 0
        self.timer_at = self.deadline
        self.is_timer_pending = True
        if self.timer is None:
            self.timer = self.wheel.add(self.deadline, self)
        else:
            self.wheel.move(self.timer, self.deadline)
        return 0

    cdef int give_up(self) except -1:
        """A fault on this side: the session must not go on in an unknown state."""
        self.is_calling = False
        if self.wire is not None:
            self.wire.abort()
        return 0

    async def _stream_file(self, path):
        """Sends the content file of the present delivery, and the end of data behind it."""
        cdef object octets, descriptor = None
        cdef Py_ssize_t offset = 0
        try:
            try:
                descriptor = await self.loop.run_in_executor(None, _os.open, path, _os.O_RDONLY | _os.O_CLOEXEC)
                while self.streaming:
                    octets = _read_cached(descriptor, offset)
                    if octets is None:
                        octets = await self.loop.run_in_executor(None, _os.pread, descriptor, PIECE, offset)
                    elif not self.is_choked:
                        await _sleep(0)         # the other sessions have their turn between two pieces
                    if not octets or not self.streaming:
                        break
                    offset += len(octets)
                    self.now = self.loop.time()
                    self.wire.write_parts([self.stream_chunk(octets)])
                    self.set_timer()
                    if self.is_choked:
                        self.drained_future = self.loop.create_future()
                        await self.drained_future
                        self.drained_future = None
            finally:
                if descriptor is not None:
                    _os.close(descriptor)
            self.now = self.loop.time()
            self.task = None
            self.stream_end()
            self.flush()
        except OSError as fault:
            self.task = None
            self.fail(self.own_fault("4.3.0", f"the stored content cannot be read ({fault.strerror})"), False)
            self.flush()
        except BaseException:
            self.give_up()
            raise
