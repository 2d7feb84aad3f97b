# cython: language_level=3
"""C declarations of relay/net/_poll.pyx."""

from libc.stdint cimport uint32_t

cdef enum:
    READ = 0x001        # EPOLLIN
    WRITE = 0x004       # EPOLLOUT
    BROKEN = 0x018      # EPOLLERR | EPOLLHUP: always reported


cdef class Poll:
    cdef readonly int fileno        # of the epoll; -1 once closed
    cdef readonly Py_ssize_t watched
    cdef bint is_turning
    cdef list gone                  # no longer watched, but an event of this turn may still point at them
    cdef char* buffer               # what every stream reads into: an idle one holds no memory
    cdef Py_ssize_t buffer_size

    cdef int watch(self, Watched item, int fd, uint32_t interest) except -1
    cdef int change(self, Watched item, uint32_t interest) except -1
    # Ends the watch. The descriptor stays open and is the caller's.
    cdef int forget(self, Watched item) except -1


cdef class Watched:
    """Something with a descriptor that a Poll watches, and which it keeps alive meanwhile."""
    cdef object __weakref__
    cdef readonly Poll poll
    cdef readonly int fd            # -1: not watched
    cdef uint32_t interest

    # The descriptor is ready; events as of epoll. Not called any more once forgotten.
    cdef int ready(self, uint32_t events) except -1
    # ready() has raised; must not raise.
    cdef int failed(self, object fault) except -1
