# cython: language_level=3
"""C declarations of relay/net/_stream.pyx."""

from libc.stdint cimport uint32_t

from relay.net._poll cimport Poll, Watched


cdef class Stream(Watched):
    """A connected socket. A subclass says what becomes of what is read."""
    cdef list unsent                # what the kernel has not taken yet, or None
    cdef Py_ssize_t unsent_at       # octets of the first that are sent
    cdef readonly bint is_connecting    # the peer has not accepted yet
    cdef bint is_paused             # not read from, because somebody asked for that
    cdef readonly bint has_ended    # the peer sends no more
    cdef readonly bint is_shut      # we send no more, once what was written is sent
    cdef readonly bint is_closing   # to be closed once what was written is sent

    # The socket `fd`, non-blocking, is ours from now on; `is_connecting`: connect() has said EINPROGRESS.
    cdef int attach(self, Poll poll, int fd, bint is_connecting=*) except -1
    cdef inline bint is_choked(self) noexcept:
        """The kernel takes no more for now; drained() follows."""
        return self.unsent is not None

    cdef int write(self, bytes octets, bint is_last=*) except -1
    cdef int write_parts(self, list parts) except -1
    cdef Py_ssize_t count_unsent(self) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef int shut(self) except -1
    cdef int close(self) except -1
    cdef int abort(self) except -1

    # What a subclass is called for. Any of them may call any of the above.
    cdef int connected(self) except -1      # the peer has accepted; lost() when it has not
    cdef int received(self, bytes octets) except -1
    cdef int ended(self) except -1          # the peer sends no more
    cdef int drained(self) except -1        # all that was written is sent
    cdef int lost(self, int error) except -1    # once, the socket is closed; 0, or why (errno)

    cdef int read(self) except -1
    cdef int send_rest(self) except -1
    cdef int keep(self, list parts, Py_ssize_t sent) except -1
    cdef int send_parts(self, list parts, Py_ssize_t* at) except -1
    cdef int end_connecting(self) except -1
    cdef int socket_error(self) noexcept
    cdef int release(self, int error) except -1
    cdef int adjust(self) except -1
