# cython: language_level=3, auto_pickle=False, autotestdict=False
# (a session is not for pickling; the stub describes the module, and neither directive leaves names in it)
"""The client session on a uvloop connection: the machine of _machine.pyx with a transport, a clock and a wheel.

Theory: one call per read, one write per call. The machine's output goes to ``writelines`` in its parts: for a content
of 1 KiB that costs as much as joining them first (3.25 us against 3.24 us, a write per part 3.63 us:
benchmarks/micro_client.py), and a larger one is not copied.
A content that lives in a file is read piece by piece and written under the transport's back-pressure: from the page cache
at once, and only what is not there in a thread (a piece from the cache takes 15 us, the way to the thread and back more).

Invariants: the owner hears ``closed`` from ``connection_lost`` only, so when it hears it the socket is gone. At most
one piece of a file is in memory, twice its size when it must be stuffed. A fault in the owner's code ends this
session, not the worker.

Not here: SMTP (_machine.pyx), opening the connection (connect.py).
"""

import os as _os
from asyncio import sleep as _sleep

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t

from relay.delivery._machine cimport ClientMachine
from relay.delivery._transactions cimport DEAD

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    ssize_t preadv2(int fd, const iovec* iov, int count, int64_t offset, int flags)
    enum: RWF_NOWAIT

cdef Py_ssize_t PIECE = 131072
cdef double MOVE_MARGIN = 5.0


cdef bytes _read_cached(int descriptor, Py_ssize_t offset):
    """Up to PIECE octets at ``offset`` that are in the page cache, empty at the end of the file; None when there are none, or
    the file system cannot tell."""
    cdef bytes octets = PyBytes_FromStringAndSize(NULL, PIECE)
    cdef iovec vector
    vector.iov_base = PyBytes_AS_STRING(octets)
    vector.iov_len = PIECE
    cdef Py_ssize_t size = preadv2(descriptor, &vector, 1, offset, RWF_NOWAIT)
    return None if size < 0 else octets if size == PIECE else octets[:size]


cdef class ClientSession(ClientMachine):
    """See the stub."""

    cdef:
        object loop, transport, wheel, timer
        bint is_timer_pending
        double timer_placed_at, timer_deadline
        readonly bint is_writing_paused
        object drained, task
        object __weakref__

    def __init__(self, bytes hostname not None, limits, owner, wheel, loop, str next_hop, *, bint lmtp=False,
                 on_greeted=None):
        ClientMachine.__init__(self, hostname, limits, owner, next_hop, lmtp=lmtp, on_greeted=on_greeted,
                               now=loop.time())
        self.loop = loop
        self.wheel = wheel

    # --- asyncio's protocol ---

    def connection_made(self, transport):
        self.transport = transport
        self.now = self.loop.time()
        self.arm()
        self.flush()

    def data_received(self, bytes octets not None):
        self.now = self.loop.time()
        try:
            self.feed(octets)
            self.flush()
        except BaseException:
            self.give_up()
            raise

    def eof_received(self):
        return False

    def connection_lost(self, fault):
        self.now = self.loop.time()
        self.transport = None
        if self.is_timer_pending:
            self.is_timer_pending = False
            self.wheel.cancel(self.timer)
        self.resume_writing()
        self.lost()

    def pause_writing(self):
        self.is_writing_paused = True

    def resume_writing(self):
        self.is_writing_paused = False
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)

    # --- for the owner and the wheel ---

    @property
    def octets_waiting(self):
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

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
        if self.is_calling or self.transport is None:
            return 0
        if self.phase >= DEAD:
            self.transport.abort()
            return 0
        if self.out:
            out = self.out
            self.out = []
            self.transport.writelines(out)
        if self.streaming and self.task is None:
            self.task = self.loop.create_task(self._stream_file(self.current.path))
        return self.set_timer()

    cdef int set_timer(self) except -1:
        """A later deadline is an assignment; an earlier one too while the wheel looks at the timer before it."""
        if self.timer is None:
            self.timer = self.wheel.add(self.deadline, self)
        elif self.is_timer_pending and (
            self.deadline >= self.timer_deadline or self.deadline >= self.timer_placed_at > self.now + MOVE_MARGIN
        ):
            self.timer.deadline = self.timer_deadline = self.deadline
            return 0
        else:
            self.wheel.move(self.timer, self.deadline)
        self.timer_placed_at = self.timer_deadline = self.deadline
        self.is_timer_pending = True
        return 0

    cdef int give_up(self) except -1:
        """A fault on this side: the session must not go on in an unknown state."""
        self.is_calling = False
        if self.transport is not None:
            self.transport.abort()
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
                    elif self.transport is not None and not self.is_writing_paused:
                        await _sleep(0)         # the other sessions have their turn between two pieces
                    if not octets or not self.streaming:
                        break
                    offset += len(octets)
                    self.now = self.loop.time()
                    self.transport.write(self.stream_chunk(octets))
                    self.set_timer()
                    if self.is_writing_paused:
                        self.drained = self.loop.create_future()
                        await self.drained
                        self.drained = None
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
