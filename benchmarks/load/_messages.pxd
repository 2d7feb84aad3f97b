# cython: language_level=3
"""C declarations of _messages.pyx: what the message of a number is, and whom it goes to."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from benchmarks.load._mark cimport MARK_SIZE

cdef enum:
    ADDRESS_ROOM = 320


cdef struct Template:
    const char* plain
    size_t plain_n
    const char* stuffed
    size_t stuffed_n
    uint64_t digest


cdef struct Size:
    uint64_t up_to          # of 2^32: the share of this size and of those before it
    Template* templates
    int variants


cdef struct Part:
    int kind                # 0: octets, else the variable's letter
    const char* p
    size_t n
    uint64_t modulus


cdef class Address:
    cdef object source      # keeps the octets of the parts
    cdef Part* parts
    cdef int part_n
    # Writes the address (ADDRESS_ROOM octets at most) and returns its length.
    cdef size_t write(self, char* p, uint64_t number, uint64_t recipient) noexcept


cdef class Messages:
    cdef object texts       # keeps the octets of the templates
    cdef Size* sizes
    cdef int size_n
    cdef tuple addresses
    cdef list groups        # per address template: its RCPT commands, or None where they differ from message to message
    cdef list hashes        # per address template: bytes of uint32, or None
    cdef readonly uint64_t run
    cdef readonly uint32_t recipients

    cdef Template* template(self, uint32_t number) noexcept
    cdef void write_mark(self, char* p, uint32_t number, const Template* template) noexcept
    # The RCPT commands of a message, when they are the same for every message of its address template.
    cdef bytes group(self, uint32_t number)
    # Writes one RCPT command; ADDRESS_ROOM octets are enough.
    cdef size_t write_recipient(self, char* p, uint32_t number, uint32_t recipient) noexcept
    cdef uint32_t recipient_hash(self, uint32_t number, uint32_t recipient) noexcept


cdef size_t write_decimal(char* p, uint64_t value) noexcept nogil
