# cython: language_level=3
"""An epoll loop with timers, for one thread.

Theory: asyncio, and uvloop too, spend more on a callback than a whole SMTP command may cost here. So the loop calls C
methods of Endpoints directly, reads into one buffer that all streams share, and does nothing per event that is not a
system call of the protocol's own. Timers are a binary heap with one entry per endpoint, which knows its place, so
that cancelling leaves nothing behind; the earliest is given to a timerfd, because epoll_wait() counts in milliseconds
and an open loop needs microseconds.

Invariants: a watched endpoint and an armed endpoint are kept alive by the loop; an event is delivered only to the
endpoint that was watched when the kernel reported it (by serial number: a descriptor may be closed and its number
used again within one batch).

Not here: buffers, TLS (_stream.pyx), protocols.
"""

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, itimerspec, timespec
from posix.unistd cimport close

import os

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLLIN
        EPOLLET
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event)
    int epoll_wait(int epfd, epoll_event* events, int maxevents, int timeout)

cdef extern from "<sys/timerfd.h>" nogil:
    enum:
        TFD_NONBLOCK
        TFD_CLOEXEC
        TFD_TIMER_ABSTIME
    int timerfd_create(int clockid, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec* new_value, itimerspec* old_value)

cdef enum:
    BATCH = 512                     # events taken at once
    BUFFER = 256 * 1024             # octets read at once
    LONGEST_WAIT = 100              # milliseconds: a signal that comes just before the wait is seen after it
    SWEEP = 250_000_000             # nanoseconds

cdef int64_t NEVER = 0x7fffffffffffffff


cdef int64_t read_clock() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1_000_000_000 + t.tv_nsec


cdef class Endpoint:

    def __cinit__(self, *args):
        self.fd = -1
        self.heap_at = -1

    cdef int ready(self, uint32_t events) except -1:
        return 0

    cdef int expired(self) except -1:
        return 0

    cdef int swept(self) except -1:
        return 0


cdef class Loop:

    def __cinit__(self):
        self.epoll_fd = self.timer_fd = -1
        self.armed_for = NEVER
        self.buffer_size = BUFFER
        self.buffer = <char*>malloc(BUFFER)
        self.slot_count = 1024
        self.slots = <Slot*>calloc(self.slot_count, sizeof(Slot))
        self.heap_cap = 256
        self.heap = <void**>malloc(self.heap_cap * sizeof(void*))
        if not self.buffer or not self.slots or not self.heap:
            raise MemoryError
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            PyErr_SetFromErrno(OSError)
        self.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self.timer_fd < 0:
            PyErr_SetFromErrno(OSError)
        # Edge-triggered and never read: arming it again is what makes it fire again.
        cdef epoll_event event
        event.events = EPOLLIN | EPOLLET
        event.data.u64 = <uint64_t>self.timer_fd
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, self.timer_fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        self.now = read_clock()
        self.next_sweep = self.now + SWEEP

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.slots:
            for i in range(self.slot_count):
                if self.slots[i].endpoint:
                    Py_DECREF(<object>self.slots[i].endpoint)
        if self.heap:
            for i in range(self.heap_n):
                Py_DECREF(<object>self.heap[i])
        free(self.buffer)
        free(self.slots)
        free(self.heap)
        if self.epoll_fd >= 0:
            close(self.epoll_fd)
        if self.timer_fd >= 0:
            close(self.timer_fd)

    def stop(self):
        """The run ends when the events at hand are done; may be called from a signal handler."""
        self.stopping = True

    def run(self):
        """Until stop(). Python's signal handlers run between events."""
        self.stopping = False
        while not self.stopping:
            self.turn()

    # --- descriptors ---

    cdef int watch(self, Endpoint endpoint, int fd, uint32_t interest) except -1:
        cdef Py_ssize_t wanted = self.slot_count
        cdef Slot* slots
        cdef epoll_event event
        if fd >= wanted:
            while fd >= wanted:
                wanted *= 2
            slots = <Slot*>realloc(self.slots, wanted * sizeof(Slot))
            if not slots:
                raise MemoryError
            memset(slots + self.slot_count, 0, (wanted - self.slot_count) * sizeof(Slot))
            self.slots, self.slot_count = slots, wanted
        assert not self.slots[fd].endpoint
        self.serial += 1
        event.events = interest
        event.data.u64 = (<uint64_t>self.serial << 32) | <uint32_t>fd
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        Py_INCREF(endpoint)
        self.slots[fd].endpoint = <void*>endpoint
        self.slots[fd].serial = self.serial
        endpoint.loop = self
        endpoint.fd = fd
        endpoint.interest = interest
        self.watched += 1
        return 0

    cdef int change(self, Endpoint endpoint, uint32_t interest) except -1:
        cdef epoll_event event
        if interest == endpoint.interest:
            return 0
        event.events = interest
        event.data.u64 = (<uint64_t>self.slots[endpoint.fd].serial << 32) | <uint32_t>endpoint.fd
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_MOD, endpoint.fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        endpoint.interest = interest
        return 0

    cdef int forget(self, Endpoint endpoint) except -1:
        cdef int fd = endpoint.fd
        cdef epoll_event event
        if fd < 0:
            return 0
        epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, fd, &event)
        endpoint.fd = -1
        self.slots[fd].endpoint = NULL
        self.watched -= 1
        Py_DECREF(endpoint)
        return 0

    # --- timers ---

    cdef int call_at(self, Endpoint endpoint, int64_t due) except -1:
        """Arms the endpoint's timer, or moves it. A due time may have passed: it comes in this turn or the next."""
        cdef void** heap
        endpoint.loop = self
        endpoint.due = due
        if endpoint.heap_at < 0:
            if self.heap_n == self.heap_cap:
                heap = <void**>realloc(self.heap, 2 * self.heap_cap * sizeof(void*))
                if not heap:
                    raise MemoryError
                self.heap = heap
                self.heap_cap *= 2
            Py_INCREF(endpoint)
            self.place(self.heap_n, <void*>endpoint)
            self.heap_n += 1
        self.rise(endpoint.heap_at)
        self.fall(endpoint.heap_at)
        return 0

    cdef int cancel(self, Endpoint endpoint) except -1:
        cdef Py_ssize_t at = endpoint.heap_at
        cdef Endpoint last
        if at < 0:
            return 0
        self.heap_n -= 1
        endpoint.heap_at = -1
        if at < self.heap_n:
            last = <Endpoint>self.heap[self.heap_n]
            self.place(at, <void*>last)
            self.rise(at)
            self.fall(last.heap_at)
        Py_DECREF(endpoint)
        return 0

    cdef int place(self, Py_ssize_t at, void* entry) noexcept:
        self.heap[at] = entry
        (<Endpoint>entry).heap_at = at
        return 0

    cdef int rise(self, Py_ssize_t at) noexcept:
        cdef void* entry = self.heap[at]
        cdef int64_t due = (<Endpoint>entry).due
        cdef Py_ssize_t parent
        while at > 0:
            parent = (at - 1) // 2
            if (<Endpoint>self.heap[parent]).due <= due:
                break
            self.place(at, self.heap[parent])
            at = parent
        return self.place(at, entry)

    cdef int fall(self, Py_ssize_t at) noexcept:
        cdef void* entry = self.heap[at]
        cdef int64_t due = (<Endpoint>entry).due
        cdef Py_ssize_t child
        while True:
            child = 2 * at + 1
            if child >= self.heap_n:
                break
            if child + 1 < self.heap_n and (<Endpoint>self.heap[child + 1]).due < (<Endpoint>self.heap[child]).due:
                child += 1
            if (<Endpoint>self.heap[child]).due >= due:
                break
            self.place(at, self.heap[child])
            at = child
        return self.place(at, entry)

    cdef int expire(self) except -1:
        cdef Endpoint endpoint
        while self.heap_n and not self.stopping:
            endpoint = <Endpoint>self.heap[0]
            if endpoint.due > self.now:
                break
            self.cancel(endpoint)
            endpoint.expired()
        return 0

    cdef int sweep(self) except -1:
        cdef Py_ssize_t i
        cdef Endpoint endpoint
        self.next_sweep = self.now + SWEEP
        for i in range(self.slot_count):
            if self.slots[i].endpoint:
                endpoint = <Endpoint>self.slots[i].endpoint
                endpoint.swept()
        return 0

    cdef int arm(self) except -1:
        """Gives the earliest due time to the kernel."""
        cdef itimerspec spec
        cdef int64_t due = NEVER
        if self.heap_n:
            due = (<Endpoint>self.heap[0]).due
        if due == self.armed_for or due == NEVER:
            return 0            # a timer that fires for nothing costs less than taking it back
        memset(&spec, 0, sizeof(spec))
        if due < 1:
            due = 1
        spec.it_value.tv_sec = due // 1_000_000_000
        spec.it_value.tv_nsec = due % 1_000_000_000
        if timerfd_settime(self.timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0:
            PyErr_SetFromErrno(OSError)
        self.armed_for = due
        return 0

    # --- the turn ---

    cdef int turn(self) except -1:
        cdef epoll_event[BATCH] events
        cdef int n, i
        cdef uint32_t fd
        cdef Endpoint endpoint
        self.arm()
        with nogil:
            n = epoll_wait(self.epoll_fd, events, BATCH, LONGEST_WAIT)
        if n < 0 and errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()
        self.now = read_clock()
        if self.armed_for <= self.now:
            self.armed_for = NEVER
        for i in range(n):
            fd = <uint32_t>events[i].data.u64
            if fd >= <uint32_t>self.slot_count or not self.slots[fd].endpoint:
                continue
            if self.slots[fd].serial != <uint32_t>(events[i].data.u64 >> 32):
                continue
            endpoint = <Endpoint>self.slots[fd].endpoint
            self.now = read_clock()
            endpoint.ready(events[i].events)
            if self.stopping:
                return 0
        self.expire()
        if self.now >= self.next_sweep:
            self.sweep()
        return 0
