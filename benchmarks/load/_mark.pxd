# cython: language_level=3
"""C declarations of _mark.pyx: the digest, the mark in a message, the reader of a content."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    MARK_SIZE = 86              # octets of the whole field with its CRLF


cdef struct Digest:
    uint64_t state
    uint64_t octets
    unsigned char[8] tail
    int tail_n


cdef struct Mark:
    uint64_t run
    uint32_t number             # of the message in the run, from 0
    uint32_t recipients         # that the message was made for
    uint64_t rest               # octets of the content after the mark
    uint64_t seal               # digest of those, bound to run and number


cdef enum Phase:
    LOOKING                     # for the mark, in the header section
    MARKED
    UNMARKED                    # the header section is over, and there was none


cdef struct Content:
    int phase
    bint is_fresh               # nothing has been read yet
    bint is_digested            # work out the digest
    bint is_ended
    int64_t octets              # dots removed
    uint64_t rest               # octets after the mark
    size_t line_n               # of the header field being read
    unsigned char[MARK_SIZE] line
    Mark mark
    Digest digest


cdef void digest_begin(Digest* d) noexcept nogil
cdef void digest_add(Digest* d, const char* p, size_t n) noexcept nogil
cdef uint64_t digest_end(Digest* d) noexcept nogil
cdef uint64_t seal_of(uint64_t digest, uint64_t run, uint32_t number) noexcept nogil
cdef uint32_t address_hash(const char* p, size_t n) noexcept nogil

# Writes MARK_SIZE octets.
cdef void write_mark(char* p, const Mark* mark) noexcept nogil
# Whether the line (MARK_SIZE octets) is a mark; then *mark is filled.
cdef bint read_mark(const unsigned char* line, Mark* mark) noexcept nogil

cdef void content_begin(Content* c, bint is_digested) noexcept nogil
# Content as DATA carries it: dots doubled, ended by CRLF.CRLF. Returns how much is consumed; is_ended tells whether
# that was all of it.
cdef size_t content_data(Content* c, const char* p, size_t n) noexcept nogil
# Content as BDAT carries it.
cdef void content_add(Content* c, const char* p, size_t n) noexcept nogil
# Whether digest or length are not what the mark says. Always false without is_digested.
cdef bint content_is_altered(Content* c) noexcept nogil
