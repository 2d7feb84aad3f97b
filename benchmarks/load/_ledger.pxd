# cython: language_level=3
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MOST_NUMBERS = 1 << 25


cdef struct Entry:
    uint32_t sum            # of the recipients' address hashes
    uint16_t recipients
    uint8_t state           # a State (sent), or whether it was altered (received)
    uint8_t copies          # received: in how many transactions


cdef enum State:
    UNTOLD                  # not offered, or not yet decided
    ACCEPTED
    REFUSED                 # the server said so
    UNSURE                  # the connection broke after the content was begun
    BROKEN                  # the connection broke before


cdef class Ledger:
    cdef readonly uint64_t run
    cdef Entry* entries
    cdef Py_ssize_t n, cap      # n: one past the highest number

    # The entry of a message, zeroes at first; NULL: the number is beyond MOST_NUMBERS.
    cdef Entry* entry(self, uint32_t number) except? NULL
