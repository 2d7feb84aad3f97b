# cython: language_level=3
"""C declarations of _loop.pyx, for the streams and the listeners."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    READ = 0x001        # EPOLLIN
    WRITE = 0x004       # EPOLLOUT
    BROKEN = 0x018      # EPOLLERR | EPOLLHUP

# Monotonic nanoseconds.
cdef int64_t read_clock() noexcept nogil


cdef class Endpoint:
    """Something the loop wakes: because of its descriptor, its timer (it has one), or both."""
    cdef readonly int fd            # -1: none
    cdef readonly Loop loop
    cdef uint32_t interest          # READ, WRITE: what epoll watches the descriptor for
    cdef int64_t due                # of the timer
    cdef Py_ssize_t heap_at         # where in the loop's heap; -1: not armed

    # The descriptor is ready; events as of epoll.
    cdef int ready(self, uint32_t events) except -1
    # The timer has come due; it is no longer armed.
    cdef int expired(self) except -1
    # Four times a second, for deadlines that need not be exact.
    cdef int swept(self) except -1


cdef struct Slot:
    void* endpoint          # an owned reference; NULL: the descriptor is not watched
    uint32_t serial         # an event for an earlier user of the same descriptor number shows by it


cdef class Loop:
    cdef int epoll_fd
    cdef int timer_fd
    cdef int64_t armed_for
    cdef readonly int64_t now       # nanoseconds, read when the loop wakes and before every endpoint is called
    cdef int64_t next_sweep
    cdef Slot* slots
    cdef Py_ssize_t slot_count
    cdef void** heap                # owned references
    cdef Py_ssize_t heap_n, heap_cap
    cdef uint32_t serial
    cdef readonly Py_ssize_t watched
    cdef bint stopping
    cdef char* buffer               # every stream reads into this one: an idle stream holds no memory
    cdef Py_ssize_t buffer_size

    cdef int watch(self, Endpoint endpoint, int fd, uint32_t interest) except -1
    cdef int change(self, Endpoint endpoint, uint32_t interest) except -1
    # Ends the watch; the descriptor stays open and is the caller's.
    cdef int forget(self, Endpoint endpoint) except -1
    cdef int call_at(self, Endpoint endpoint, int64_t due) except -1
    cdef int cancel(self, Endpoint endpoint) except -1

    cdef int place(self, Py_ssize_t at, void* entry) noexcept
    cdef int rise(self, Py_ssize_t at) noexcept
    cdef int fall(self, Py_ssize_t at) noexcept
    cdef int expire(self) except -1
    cdef int sweep(self) except -1
    cdef int arm(self) except -1
    cdef int turn(self) except -1
