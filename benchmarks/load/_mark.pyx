# cython: language_level=3
"""The mark of a generated message, its digest, and the reader that finds both in what a server passed on.

Theory: the first header field of a generated message is

    Message-ID: <RUN.NUMBER.RECIPIENTS.REST.SEAL@load.test>

with 16, 8, 4, 12 and 16 hexadecimal digits: which run, which message of it, for how many recipients, how many octets
follow this field, and a digest of them that is bound to run and number. Servers add header fields on top (Received,
Return-Path) and leave Message-ID alone, so everything that the generator wrote is covered, wherever the servers put
their own. The digest is a multiply-and-fold over words of eight octets: it is no defence against someone who wants to
deceive it, but no fault that a server can have gets past it, and it runs at memory speed.

The reader takes content in pieces as they come from the socket, removes the doubled dots, and keeps nothing but the
header field it is reading.

Not here: the dialogue around it (_smtp_source.pyx, _smtp_sink.pyx), the counting (_ledger.pyx).
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t load_fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    static inline uint64_t load_word(const void *p) {
        uint64_t word;
        memcpy(&word, p, 8);
        return word;            /* little-endian machines: x86-64, aarch64 */
    }
    """
    uint64_t load_fold(uint64_t a, uint64_t b) noexcept nogil
    uint64_t load_word(const void* p) noexcept nogil

cdef uint64_t SEED = 0x9e3779b97f4a7c15
cdef uint64_t FACTOR = 0xd6e8feb86659fd93
cdef uint64_t FINAL = 0xa0761d6478bd642f

cdef const char* HEAD = b"Message-ID: <"
cdef const char* TAIL = b"@load.test>\r\n"
cdef const char* DIGITS = b"0123456789abcdef"

cdef enum:
    HEAD_SIZE = 13
    TAIL_SIZE = 13

assert MARK_SIZE == HEAD_SIZE + 16 + 1 + 8 + 1 + 4 + 1 + 12 + 1 + 16 + TAIL_SIZE


# --- the digest ---

cdef void digest_begin(Digest* d) noexcept nogil:
    d.state = SEED
    d.octets = 0
    d.tail_n = 0


cdef void digest_add(Digest* d, const char* p, size_t n) noexcept nogil:
    cdef uint64_t state = d.state
    cdef size_t missing
    d.octets += n
    if d.tail_n:
        missing = min(<size_t>(8 - d.tail_n), n)
        memcpy(d.tail + d.tail_n, p, missing)
        d.tail_n += <int>missing
        p += missing
        n -= missing
        if d.tail_n < 8:
            return
        state = load_fold(state ^ load_word(d.tail), FACTOR) + SEED
        d.tail_n = 0
    while n >= 8:
        state = load_fold(state ^ load_word(p), FACTOR) + SEED
        p += 8
        n -= 8
    if n:
        memcpy(d.tail, p, n)
        d.tail_n = <int>n
    d.state = state


cdef uint64_t digest_end(Digest* d) noexcept nogil:
    cdef uint64_t word = 0
    cdef int i
    for i in range(d.tail_n):
        word |= <uint64_t>d.tail[i] << (8 * i)
    return load_fold(load_fold(d.state ^ word, FACTOR) ^ d.octets, FINAL)


cdef uint64_t seal_of(uint64_t digest, uint64_t run, uint32_t number) noexcept nogil:
    return load_fold(digest ^ run, FINAL ^ number)


cdef uint32_t address_hash(const char* p, size_t n) noexcept nogil:
    """FNV-1a over the address in lower case: sums of it tell whether two sets of recipients are the same."""
    cdef uint32_t h = 0x811c9dc5
    cdef unsigned char c
    cdef size_t i
    for i in range(n):
        c = <unsigned char>p[i]
        if 65 <= c <= 90:
            c += 32
        h = (h ^ c) * <uint32_t>0x01000193
    return h


# --- the mark ---

cdef char* write_hex(char* p, uint64_t value, int digits) noexcept nogil:
    cdef int i
    for i in range(digits):
        p[i] = DIGITS[(value >> (4 * (digits - 1 - i))) & 15]
    p[digits] = b"."
    return p + digits + 1


cdef void write_mark(char* p, const Mark* mark) noexcept nogil:
    memcpy(p, HEAD, HEAD_SIZE)
    p = write_hex(p + HEAD_SIZE, mark.run, 16)
    p = write_hex(p, mark.number, 8)
    p = write_hex(p, mark.recipients, 4)
    p = write_hex(p, mark.rest, 12)
    p = write_hex(p, mark.seal, 16)
    memcpy(p - 1, TAIL, TAIL_SIZE)


cdef const unsigned char* read_hex(const unsigned char* p, int digits, uint64_t* value) noexcept nogil:
    """NULL when it is not so many digits and one octet after them."""
    cdef uint64_t result = 0
    cdef int i
    cdef unsigned char c
    if not p:
        return NULL
    for i in range(digits):
        c = p[i]
        if 48 <= c <= 57:
            result = (result << 4) | <uint64_t>(c - 48)
        elif 97 <= c <= 102:
            result = (result << 4) | <uint64_t>(c - 87)
        else:
            return NULL
    value[0] = result
    return p + digits + 1


cdef bint read_mark(const unsigned char* line, Mark* mark) noexcept nogil:
    cdef uint64_t number, recipients
    cdef const unsigned char* p
    if memcmp(line, HEAD, HEAD_SIZE) != 0 or memcmp(line + MARK_SIZE - TAIL_SIZE, TAIL, TAIL_SIZE) != 0:
        return False
    p = read_hex(line + HEAD_SIZE, 16, &mark.run)
    p = read_hex(p, 8, &number)
    p = read_hex(p, 4, &recipients)
    p = read_hex(p, 12, &mark.rest)
    p = read_hex(p, 16, &mark.seal)
    if not p:
        return False
    mark.number = <uint32_t>number
    mark.recipients = <uint32_t>recipients
    return True


# --- the reader ---

cdef void content_begin(Content* c, bint is_digested) noexcept nogil:
    c.phase = LOOKING
    c.is_fresh = True
    c.is_digested = is_digested
    c.is_ended = False
    c.octets = 0
    c.rest = 0
    c.line_n = 0
    digest_begin(&c.digest)


cdef void content_add(Content* c, const char* p, size_t n) noexcept nogil:
    cdef const char* end
    cdef size_t part, kept
    c.octets += n
    while c.phase == LOOKING and n:
        end = <const char*>memchr(p, b"\n", n)
        part = end - p + 1 if end else n
        if c.line_n < MARK_SIZE:
            kept = min(part, MARK_SIZE - c.line_n)
            memcpy(c.line + c.line_n, p, kept)
        c.line_n += part
        p += part
        n -= part
        if end:
            if c.line_n == MARK_SIZE and read_mark(c.line, &c.mark):
                c.phase = MARKED
            elif c.line_n == 2 and c.line[0] == b"\r":
                c.phase = UNMARKED
            c.line_n = 0
    if c.phase == MARKED:
        c.rest += n
        if c.is_digested:
            digest_add(&c.digest, p, n)


cdef size_t content_data(Content* c, const char* p, size_t n) noexcept nogil:
    """What is left unconsumed begins with a CRLF that may be the end of data: only the first call begins a line."""
    cdef size_t at = 0          # beginning of what is not yet taken
    cdef size_t after           # just past a LF
    cdef const char* end
    if c.is_fresh:
        # The CRLF that ends the command line counts as the first of CRLF.CRLF (RFC 5321 4.1.1.4).
        if n == 0:
            return 0
        if p[0] == b".":
            if n < 3:
                return 0
            c.is_fresh = False
            if p[1] == b"\r" and p[2] == b"\n":
                c.is_ended = True
                return 3
            at = 1
        c.is_fresh = False
    after = at
    while True:
        end = <const char*>memchr(p + after, b"\n", n - after)
        if not end:
            break
        after = end - p + 1
        if after < 2 or p[after - 2] != b"\r":
            continue
        if after == n:
            content_add(c, p + at, n - 2 - at)
            return n - 2
        if p[after] != b".":
            continue
        if after + 1 == n or (p[after + 1] == b"\r" and after + 2 == n):
            content_add(c, p + at, after - 2 - at)
            return after - 2
        content_add(c, p + at, after - at)
        if p[after + 1] == b"\r" and p[after + 2] == b"\n":
            c.is_ended = True
            return after + 3
        at = after + 1
    if n > at and p[n - 1] == b"\r":
        n -= 1
    content_add(c, p + at, n - at)
    return n


cdef bint content_is_altered(Content* c) noexcept nogil:
    if not c.is_digested:
        return False
    return c.rest != c.mark.rest or c.mark.seal != seal_of(digest_end(&c.digest), c.mark.run, c.mark.number)


# --- for Python: making templates, and the tests ---

def digest(const unsigned char[::1] octets not None):
    cdef Digest d
    digest_begin(&d)
    if octets.shape[0]:
        digest_add(&d, <const char*>&octets[0], octets.shape[0])
    return digest_end(&d)


def mark(uint64_t run, uint32_t number, uint32_t recipients, bytes rest not None):
    """The header field that goes before ``rest``, the remainder of the content."""
    cdef Mark m
    cdef char[MARK_SIZE] line
    m.run, m.number, m.recipients, m.rest = run, number, recipients, len(rest)
    m.seal = seal_of(digest(rest), run, number)
    write_mark(line, &m)
    return line[:MARK_SIZE]


def hash_address(bytes address not None):
    return address_hash(address, len(address))


cdef class Reader:
    """The reader, for Python: one content, as DATA carries it, in pieces of any size."""
    cdef Content content
    cdef bytes held

    def __cinit__(self):
        content_begin(&self.content, True)
        self.held = b""

    def read(self, bytes octets not None):
        """Octets after the end of data, when it has come; else None."""
        cdef bytes all_of_it = self.held + octets
        cdef size_t used = content_data(&self.content, all_of_it, len(all_of_it))
        self.held = all_of_it[used:]
        return self.held if self.content.is_ended else None

    @property
    def octets(self):
        return self.content.octets

    @property
    def digest(self):
        """Of what came after the mark; only once, at the end."""
        return digest_end(&self.content.digest)

    @property
    def mark(self):
        """(run, number, recipients, rest, seal) or None."""
        cdef Mark* m = &self.content.mark
        if self.content.phase != MARKED:
            return None
        return m.run, m.number, m.recipients, m.rest, m.seal

    @property
    def is_altered(self):
        return self.content.phase == MARKED and content_is_altered(&self.content)
