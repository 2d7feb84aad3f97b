# cython: language_level=3, auto_pickle=False
"""An epoll of our own inside the loop's: many descriptors, and one callback of the loop for all that are ready.

Theory: to asyncio, and to uvloop too, a connection is a transport with a protocol, several Python objects and calls per
event; that costs more than all that SMTP does with what was read (docs/adr/0006-sockets.md has the figures). An epoll
descriptor is itself readable when something that it watches is ready. So the worker's loop watches one descriptor, this
one, and whoever is ready is called by a C method. All else of the loop (timers, futures, threads, sockets of other
kinds) stays as it is.

    poll = Poll()
    loop.add_reader(poll.fileno, poll.turn)

Invariants: what is watched is kept alive; an event is never delivered to somebody who was forgotten, not even in the
turn in which that happened; a fault of one does not keep the others from being called; a turn serves at most BATCH
descriptors, so the rest of the loop gets its turn too, and level-triggering brings the others back.

Not here: reading and writing (_stream.pyx), accepting (_acceptor.pyx), time.
"""

from cpython.exc cimport PyErr_SetFromErrno
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from posix.unistd cimport close

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event* event)
    int epoll_wait(int epfd, epoll_event* events, int maxevents, int timeout)

cdef enum:
    BATCH = 128                 # descriptors served in one turn
    BUFFER = 256 * 1024         # octets read at once


cdef class Watched:

    def __cinit__(self, *args, **named):
        self.fd = -1

    cdef int ready(self, uint32_t events) except -1:
        return 0

    cdef int failed(self, object fault) except -1:
        return 0


cdef class Poll:

    def __cinit__(self):
        self.gone = []
        self.fileno = epoll_create1(EPOLL_CLOEXEC)
        if self.fileno < 0:
            PyErr_SetFromErrno(OSError)
        self.buffer_size = BUFFER
        self.buffer = <char*>malloc(BUFFER)
        if self.buffer == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.buffer)
        if self.fileno >= 0:
            close(self.fileno)

    def close(self):
        if self.watched:
            raise RuntimeError(f"{self.watched} descriptors are still watched")
        if self.fileno >= 0:
            close(self.fileno)
            self.fileno = -1

    def turn(self):
        cdef epoll_event[BATCH] events
        cdef int count = epoll_wait(self.fileno, events, BATCH, 0)
        cdef int index
        cdef Watched item
        if count < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            return
        self.is_turning = True
        for index in range(count):
            item = <Watched>events[index].data.ptr
            if item.fd < 0:
                continue            # forgotten earlier in this turn
            try:
                item.ready(events[index].events)
            except Exception as fault:
                item.failed(fault)
        self.is_turning = False
        if self.gone:
            self.gone.clear()

    cdef int watch(self, Watched item, int fd, uint32_t interest) except -1:
        cdef epoll_event event
        event.events = interest
        event.data.ptr = <void*>item
        if epoll_ctl(self.fileno, EPOLL_CTL_ADD, fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        Py_INCREF(item)
        item.poll = self
        item.fd = fd
        item.interest = interest
        self.watched += 1
        return 0

    cdef int change(self, Watched item, uint32_t interest) except -1:
        cdef epoll_event event
        if interest == item.interest or item.fd < 0:
            return 0
        event.events = interest
        event.data.ptr = <void*>item
        if epoll_ctl(self.fileno, EPOLL_CTL_MOD, item.fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        item.interest = interest
        return 0

    cdef int forget(self, Watched item) except -1:
        cdef epoll_event event
        if item.fd < 0:
            return 0
        epoll_ctl(self.fileno, EPOLL_CTL_DEL, item.fd, &event)
        item.fd = -1
        self.watched -= 1
        if self.is_turning:
            self.gone.append(item)
        Py_DECREF(item)
        return 0
