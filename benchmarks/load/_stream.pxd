# cython: language_level=3
"""C declarations of _stream.pyx, for protocol machines to build upon."""

from libc.stdint cimport int64_t, uint32_t

from benchmarks.load._loop cimport Endpoint, Loop

cdef enum:
    PIECES = 64


cdef struct Piece:
    const char* p           # NULL: in the stream's own output
    size_t offset
    size_t n


# Where to connect: a socket address as the kernel takes it.
cdef struct Target:
    int family
    int size
    char[128] address


cdef Target target_of(tuple server) except *


cdef class Stream(Endpoint):
    cdef object channel         # tls.Channel, or None
    cdef bint is_connecting
    cdef bint is_paused         # reads nothing
    cdef char* held             # input that the machine has not consumed
    cdef size_t held_n, held_cap
    cdef char* out
    cdef size_t out_n, out_cap
    cdef Piece[PIECES] pieces
    cdef int first_piece, piece_n
    cdef bytes sealed           # encrypted octets that the kernel did not take yet
    cdef size_t sealed_at

    # --- for the machine to say ---
    cdef int connect(self, Loop loop, Target* target) except -1
    cdef int take_over(self, Loop loop, int fd) except -1
    # Adds to the output; nothing is sent before flush(). refer() keeps the pointer: it must stay valid during the run.
    cdef int put(self, const char* p, size_t n) except -1
    cdef int put_bytes(self, bytes octets) except -1
    cdef int refer(self, const char* p, size_t n) except -1
    cdef int flush(self) except -1
    cdef int start_tls(self, object channel) except -1
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    # Closes at once, and quietly: lost() is not called.
    cdef int close(self) except -1

    # --- for the machine to define ---
    cdef int connected(self) except -1
    # All unconsumed input; how much of it is consumed. The rest comes again with what follows it.
    cdef Py_ssize_t received(self, const char* p, Py_ssize_t n) except -1
    cdef int secured(self) except -1
    # All output has been given to the kernel.
    cdef int drained(self) except -1
    # The connection is gone; cause: "closed" or the name of an errno, or "tls".
    cdef int lost(self, str cause) except -1

    cdef int reset(self) except -1
    cdef int forget_output(self) except -1
    cdef bint has_output(self) noexcept
    cdef int give_up(self, str cause) except -1
    cdef int established(self) except -1
    cdef int fill(self) except -1
    cdef int fill_secured(self, Py_ssize_t n) except -1
    cdef int deliver(self, Py_ssize_t n) except -1
    cdef int keep(self, const char* p, size_t n) except -1
    cdef int seal(self) except -1
    cdef int send_pieces(self) except -1
    cdef int send_sealed(self) except -1
    cdef int update_interest(self) except -1
