# cython: language_level=3
# The small classes at the end hold half-read streams, which nobody pickles:
# cython: auto_pickle=False
"""The byte work of every message: lines, commands, content, header section.

Theory: each scanner takes a pointer and offsets and returns offsets; none owns, keeps or allocates a buffer, none does
I/O, none raises. What is wrong with the input is a value (an enum of _fastparse.pxd, which describes every function).
Two decisions are made here and nowhere else:
  - a line ends at CRLF and at nothing else (RFC 5321 2.3.8); a bare CR, a bare LF or a NUL is a fault;
  - the content ends at CRLF.CRLF and at nothing else (RFC 5321 4.1.1.4), whatever faults came before it.
Invariants: no octet at or beyond ``n`` (``end``) is read; a scan gives the same result however its input was cut.

Not here: what a fault is answered with (relay/smtp), limits on lines and sizes (the sessions), and the scans that have
one user each: paths (relay/mail/_paths.pyx), parameters (relay/smtp/_parameters.pyx), replies (relay/delivery/_replies.pyx),
IMAP's tokens (relay/imap/_tokens.pyx), MIME (relay/_mime.pyx). The ``def`` functions at the end are for Python callers off the
hot path, and for the tests, which compare each scanner with a slow twin.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif

    /* One bit per octet of a block of 64: where it is CR, LF, NUL, "." or above 127. */
    typedef struct { uint64_t cr, lf, nul, dot, high; } relay_block;

    static inline void relay_classify(const unsigned char *p, relay_block *b) {
        b->cr = b->lf = b->nul = b->dot = b->high = 0;
    #if defined(__SSE2__)
        const __m128i cr = _mm_set1_epi8('\\r'), lf = _mm_set1_epi8('\\n'), dot = _mm_set1_epi8('.');
        const __m128i nul = _mm_setzero_si128();
        for (int i = 0; i < 64; i += 16) {
            const __m128i v = _mm_loadu_si128((const __m128i *)(p + i));
            b->cr |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, cr)) << i;
            b->lf |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, lf)) << i;
            b->nul |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, nul)) << i;
            b->dot |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, dot)) << i;
            b->high |= (uint64_t)(unsigned)_mm_movemask_epi8(v) << i;
        }
    #else
        for (int i = 0; i < 64; i++) {
            const uint64_t bit = (uint64_t)1 << i;
            if (p[i] == '\\r') b->cr |= bit;
            else if (p[i] == '\\n') b->lf |= bit;
            else if (p[i] == 0) b->nul |= bit;
            else if (p[i] == '.') b->dot |= bit;
            else if (p[i] > 127) b->high |= bit;
        }
    #endif
    }
    """
    ctypedef struct relay_block:
        uint64_t cr, lf, nul, dot, high
    void relay_classify(const unsigned char *p, relay_block *b) noexcept nogil
    int first_bit "__builtin_ctzll"(uint64_t bits) noexcept nogil


cdef inline unsigned char upper(unsigned char c) noexcept nogil:
    return c - 32 if c'a' <= c <= c'z' else c


# --- lines and commands ---

cdef Py_ssize_t next_line(const char* p, Py_ssize_t start, Py_ssize_t n, int* fault) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef Py_ssize_t lf = find(octets, c'\n', start, n)
    cdef Py_ssize_t last = (lf if lf >= 0 else n) - 1       # where a CR belongs to a line end, read or still to come
    cdef Py_ssize_t cr = find(octets, c'\r', start, last)
    cdef Py_ssize_t nul = find(octets, 0, start, lf if lf >= 0 else n)
    fault[0] = F_NONE
    if nul >= 0 and (cr < 0 or nul < cr):
        fault[0] = F_NUL
    elif cr >= 0:
        fault[0] = F_BARE_CR
    elif lf >= 0 and (last < start or octets[last] != c'\r'):
        fault[0] = F_BARE_LF
    return lf + 1 if lf >= 0 else -1


cdef bint has_eight_bit(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(start, end):
        if <unsigned char>p[at] > 127:
            return True
    return False


cdef bint equals(const char* p, Py_ssize_t start, Py_ssize_t end, const char* upper_text) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(end - start):
        if upper_text[i] == 0 or upper(p[start + i]) != <unsigned char>upper_text[i]:
            return False
    return upper_text[end - start if end > start else 0] == 0


cdef int64_t decimal(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef int64_t number = 0
    cdef Py_ssize_t at
    if not 1 <= end - start <= 20:
        return -1
    for at in range(start, end):
        if not is_digit(p[at]):
            return -1
        if number > (INT64_MAX - (p[at] - c'0')) // 10:
            number = INT64_MAX
        else:
            number = number * 10 + (p[at] - c'0')
    return number


cdef inline unsigned int four(const char* p) noexcept nogil:
    """Four octets as a number; letters in upper case. No octet but a letter becomes one: 0xDF only clears bit 5."""
    return ((<unsigned int>(<unsigned char>p[0] & 0xDF) << 24) | ((<unsigned char>p[1] & 0xDF) << 16)
            | ((<unsigned char>p[2] & 0xDF) << 8) | (<unsigned char>p[3] & 0xDF))


cdef int _verb(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef unsigned int name
    if end - start == 8 and equals(p, start, end, b"STARTTLS"):
        return V_STARTTLS
    if end - start != 4:
        return V_NONE
    name = four(p + start)
    if name == four(b"MAIL"): return V_MAIL
    if name == four(b"RCPT"): return V_RCPT
    if name == four(b"DATA"): return V_DATA
    if name == four(b"EHLO"): return V_EHLO
    if name == four(b"QUIT"): return V_QUIT
    if name == four(b"RSET"): return V_RSET
    if name == four(b"NOOP"): return V_NOOP
    if name == four(b"HELO"): return V_HELO
    if name == four(b"LHLO"): return V_LHLO
    if name == four(b"BDAT"): return V_BDAT
    if name == four(b"AUTH"): return V_AUTH
    if name == four(b"VRFY"): return V_VRFY
    if name == four(b"EXPN"): return V_EXPN
    if name == four(b"HELP"): return V_HELP
    return V_NONE


cdef bint _is_http_method(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    """Whether the word is a method of RFC 9110 9 or PATCH or PRI (RFC 9113 3.4); these are case-sensitive."""
    cdef Py_ssize_t at
    for at in range(start, end):
        if not c'A' <= p[at] <= c'Z':
            return False
    return (equals(p, start, end, b"GET") or equals(p, start, end, b"POST") or equals(p, start, end, b"PUT")
            or equals(p, start, end, b"HEAD") or equals(p, start, end, b"OPTIONS") or equals(p, start, end, b"CONNECT")
            or equals(p, start, end, b"DELETE") or equals(p, start, end, b"PATCH") or equals(p, start, end, b"TRACE")
            or equals(p, start, end, b"PRI"))


cdef int command(const char* p, Py_ssize_t start, Py_ssize_t end,
                 Py_ssize_t* arg_start, Py_ssize_t* arg_end) noexcept nogil:
    cdef Py_ssize_t space = find(<octets_t>p, c' ', start, end)
    cdef Py_ssize_t stop
    cdef int verb
    while end > start and (p[end - 1] == c' ' or p[end - 1] == c'\t'):
        end -= 1
    stop = space if 0 <= space < end else end
    verb = _verb(p, start, stop)
    if verb == V_NONE and stop > start:
        if p[start] == 0x16:
            verb = V_TLS
        elif space >= 0 and _is_http_method(p, start, stop):
            verb = V_HTTP
    while stop < end and (p[stop] == c' ' or p[stop] == c'\t'):
        stop += 1
    arg_start[0] = stop
    arg_end[0] = end
    return verb


# --- content ---

cdef void content_scan_init(ContentScan* s) noexcept nogil:
    memset(s, 0, sizeof(ContentScan))


cdef inline void note(ContentScan* s, int fault) noexcept nogil:
    if s.fault == F_NONE:
        s.fault = fault


cdef Py_ssize_t _scan_octets(ContentScan* s, octets_t p, Py_ssize_t start, Py_ssize_t n, bint is_chunk) noexcept nogil:
    """scan_content and scan_chunk, an octet at a time: the whole truth about the states."""
    cdef Py_ssize_t at
    cdef unsigned char c
    for at in range(start, n):
        c = p[at]
        if c == c'\n':
            if s.state == C_DOT_CR:
                s.state = C_END
                s.line_length = 0
                return at + 1
            if s.state == C_CR:
                if s.line_length - 1 > s.longest_line:
                    s.longest_line = s.line_length - 1
                s.line_length = 0
                s.state = C_LINE_START
                continue
            note(s, F_BARE_LF)
        elif s.state == C_CR:
            note(s, F_BARE_CR)
        elif s.state == C_DOT_CR:
            note(s, F_BARE_CR)
            s.dots = True
        if c == 0:
            note(s, F_NUL)
        elif c > 127:
            s.eight_bit = True
        elif c == c'.' and s.state == C_LINE_START:
            if not is_chunk:
                s.state = C_DOT
                continue
            s.dots_left = True
        s.line_length += 1
        if s.state == C_DOT:
            if c == c'\r':
                s.state = C_DOT_CR
                continue
            s.dots = True
            s.dots_left = s.dots_left or c == c'.'
        s.state = C_CR if c == c'\r' else C_TEXT
    return -1


cdef inline bint _scan_block(ContentScan* s, octets_t p, int length, bint is_chunk) noexcept nogil:
    """Scans 1 to 64 octets of p[0:64) at once; False, with nothing done, when they hold more than ordinary lines."""
    cdef relay_block b
    cdef uint64_t valid = ~<uint64_t>0 >> (64 - length)
    cdef uint64_t bits
    cdef int begin = 0, lf
    if s.state > C_CR:
        return False
    relay_classify(p, &b)
    # Each LF follows a CR and each CR is followed by an LF; no NUL; no dot after an LF.
    if (((b.cr << 1 | <uint64_t>(s.state == C_CR)) ^ b.lf) & valid
            | b.nul | (0 if is_chunk and s.dots_left else b.dot & (b.lf << 1 | <uint64_t>(s.state == C_LINE_START)))):
        return False
    bits = b.lf
    while bits:
        lf = first_bit(bits)
        bits &= bits - 1
        s.line_length += lf - begin - 1
        if s.line_length > s.longest_line:
            s.longest_line = s.line_length
        s.line_length = 0
        begin = lf + 1
    s.line_length += length - begin
    s.eight_bit = s.eight_bit or b.high != 0
    if b.lf >> (length - 1) & 1:
        s.state = C_LINE_START
    else:
        s.state = C_CR if b.cr >> (length - 1) & 1 else C_TEXT
    return True


cdef inline Py_ssize_t _scan(ContentScan* s, octets_t octets, Py_ssize_t start, Py_ssize_t n, bint is_chunk) noexcept nogil:
    cdef unsigned char tail[64]
    cdef Py_ssize_t at = start, result
    cdef int length
    while n - at >= 64:
        if not _scan_block(s, octets + at, 64, is_chunk):
            result = _scan_octets(s, octets, at, at + 64, is_chunk)
            if result >= 0:
                return result
        at += 64
    if at < n:
        length = <int>(n - at)
        memset(tail, c'x', sizeof(tail))
        memcpy(tail, octets + at, length)
        if not _scan_block(s, tail, length, is_chunk):
            return _scan_octets(s, octets, at, n, is_chunk)
    return -1


cdef Py_ssize_t scan_content(ContentScan* s, const char* p, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    return _scan(s, <octets_t>p, start, n, False)


cdef void scan_chunk(ContentScan* s, const char* p, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    _scan(s, <octets_t>p, start, n, True)


cdef inline Py_ssize_t _copy(octets_t p, Py_ssize_t start, Py_ssize_t end, char* out) noexcept nogil:
    memcpy(out, p + start, end - start)
    return end - start


cdef Py_ssize_t _copy_line(int* state, octets_t p, Py_ssize_t* at, Py_ssize_t n, char* out) noexcept nogil:
    """Copies from inside a line (C_TEXT, or C_CR: after its CR) to its end or to ``n``; returns the octets written."""
    cdef Py_ssize_t start = at[0]
    cdef Py_ssize_t lf = find(p, c'\n', start, n)
    cdef bint after_cr
    at[0] = lf + 1 if lf >= 0 else n
    if lf >= 0:
        after_cr = p[lf - 1] == c'\r' if lf > start else state[0] == C_CR
        state[0] = C_LINE_START if after_cr else C_TEXT
    else:
        state[0] = C_CR if p[n - 1] == c'\r' else C_TEXT
    return _copy(p, start, at[0], out)


cdef Py_ssize_t _unstuff(int* state, octets_t p, Py_ssize_t start, Py_ssize_t n, char* out,
                         bint is_whole) noexcept nogil:
    """unstuff_into; with ``is_whole`` a line of one dot is a line like others, not the end."""
    cdef Py_ssize_t at = start, written = 0
    while at < n and state[0] != C_END:
        if state[0] == C_LINE_START:
            if p[at] == c'.':
                state[0] = C_DOT
                at += 1
            else:
                state[0] = C_TEXT
        elif state[0] == C_DOT:
            if p[at] == c'\r' and not is_whole:
                state[0] = C_DOT_CR
                at += 1
            else:
                state[0] = C_TEXT
        elif state[0] == C_DOT_CR:
            if p[at] == c'\n':
                state[0] = C_END
            else:
                out[written] = c'\r'
                written += 1
                state[0] = C_CR
        else:
            written += _copy_line(state, p, &at, n, out + written)
    invariant(written <= n - start + 1)
    return written


cdef Py_ssize_t unstuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil:
    return _unstuff(state, <octets_t>p, start, n, out, False)


cdef Py_ssize_t stuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil:
    cdef Py_ssize_t at = start, written = 0
    while at < n:
        if state[0] == C_LINE_START:
            if p[at] == c'.':
                out[written] = c'.'
                written += 1
            state[0] = C_TEXT
        written += _copy_line(state, <octets_t>p, &at, n, out + written)
    invariant(written <= 2 * (n - start))
    return written


cdef bytes unstuff_octets(const char* p, Py_ssize_t start, Py_ssize_t n):
    cdef int state = C_LINE_START
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n - start + 1)
    return out[:_unstuff(&state, <octets_t>p, start, n, PyBytes_AS_STRING(out), True)]


cpdef bytes unstuff(bytes content):
    return unstuff_octets(PyBytes_AS_STRING(content), 0, PyBytes_GET_SIZE(content))


cpdef bytes stuff(bytes content):
    cdef int state = C_LINE_START
    cdef bytes out = PyBytes_FromStringAndSize(NULL, 2 * PyBytes_GET_SIZE(content))
    return out[:stuff_into(&state, PyBytes_AS_STRING(content), 0, PyBytes_GET_SIZE(content), PyBytes_AS_STRING(out))]


# --- header section ---

cdef Py_ssize_t _line_end(octets_t p, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    """The offset past the CRLF of the line at ``at``; ``n`` when it has none."""
    cdef Py_ssize_t lf = find(p, c'\n', at, n)
    while lf >= 0 and (lf == at or p[lf - 1] != c'\r'):
        lf = find(p, c'\n', lf + 1, n)
    return lf + 1 if lf >= 0 else n


cdef void _note_field(HeaderScan* h, const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    h.fields += 1
    if equals(p, start, end, b"RECEIVED"): h.received += 1
    elif equals(p, start, end, b"DELIVERED-TO"): h.delivered_to += 1
    elif equals(p, start, end, b"DATE"): h.flags |= H_DATE
    elif equals(p, start, end, b"MESSAGE-ID"): h.flags |= H_MESSAGE_ID
    elif equals(p, start, end, b"FROM"): h.flags |= H_FROM
    elif equals(p, start, end, b"TO"): h.flags |= H_TO
    elif equals(p, start, end, b"CC"): h.flags |= H_CC
    elif equals(p, start, end, b"BCC"): h.flags |= H_BCC
    elif equals(p, start, end, b"SENDER"): h.flags |= H_SENDER
    elif equals(p, start, end, b"SUBJECT"): h.flags |= H_SUBJECT
    elif equals(p, start, end, b"RETURN-PATH"): h.flags |= H_RETURN_PATH
    elif equals(p, start, end, b"MIME-VERSION"): h.flags |= H_MIME_VERSION
    elif equals(p, start, end, b"CONTENT-TYPE"): h.flags |= H_CONTENT_TYPE


cdef HeaderScan scan_header(const char* p, Py_ssize_t n) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef HeaderScan h
    cdef Py_ssize_t at = 0, name_end, colon
    memset(&h, 0, sizeof(h))
    while at < n:
        if octets[at] == c'\r' and at + 1 < n and octets[at + 1] == c'\n':
            h.end = at
            h.body = at + 2
            return h
        if (octets[at] == c' ' or octets[at] == c'\t') and h.fields:
            at = _line_end(octets, at, n)
            continue
        name_end = at
        while name_end < n and 33 <= octets[name_end] <= 126 and octets[name_end] != c':':
            name_end += 1
        colon = name_end        # spaces before the colon: RFC 5322 4.5
        while colon < n and (octets[colon] == c' ' or octets[colon] == c'\t'):
            colon += 1
        if name_end == at or colon == n or octets[colon] != c':':
            h.malformed = True
            break
        _note_field(&h, p, at, name_end)
        at = _line_end(octets, colon, n)
    h.end = h.body = at
    return h


# --- for Python callers and the tests; documented in _fastparse.pyi ---

VERBS = ("", "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT",
         "STARTTLS", "AUTH", "HTTP", "TLS")
FAULTS = ("", "bare-cr", "bare-lf", "nul", "too-long", "not-ascii")
HEADER_FLAGS = ("date", "message-id", "from", "to", "cc", "bcc", "sender", "subject", "return-path", "mime-version",
                "content-type")


cdef frozenset _names(int flags, tuple names):
    return frozenset([name for bit, name in enumerate(names) if flags >> bit & 1])


def split_line(bytes octets, Py_ssize_t start=0):
    cdef int fault = F_NONE
    if not 0 <= start <= len(octets):
        raise ValueError("start lies outside the octets")
    cdef Py_ssize_t after = next_line(octets, start, len(octets), &fault)
    return after, FAULTS[fault]


def parse_command(bytes line):
    cdef Py_ssize_t start = 0, end = 0
    cdef int verb = command(line, 0, len(line), &start, &end)
    return VERBS[verb], line[start:end]


def parse_decimal(bytes octets):
    return decimal(octets, 0, len(octets))


@cython.final
cdef class ContentScanner:
    cdef ContentScan scan

    def __cinit__(self):
        content_scan_init(&self.scan)

    def feed(self, bytes octets):
        if self.scan.state == C_END:
            raise ValueError("the end of data has been found already")
        return scan_content(&self.scan, octets, 0, len(octets))

    def feed_chunk(self, bytes octets):
        scan_chunk(&self.scan, octets, 0, len(octets))

    def result(self):
        return (self.scan.state == C_END, bool(self.scan.dots), bool(self.scan.dots_left), bool(self.scan.eight_bit),
                FAULTS[self.scan.fault], self.scan.line_length, self.scan.longest_line)


@cython.final
cdef class Unstuffer:
    cdef int state

    def feed(self, bytes octets):
        cdef bytes out = PyBytes_FromStringAndSize(NULL, len(octets) + 1)
        return out[:unstuff_into(&self.state, octets, 0, len(octets), PyBytes_AS_STRING(out))]


@cython.final
cdef class Stuffer:
    cdef int state

    def feed(self, bytes octets):
        cdef bytes out = PyBytes_FromStringAndSize(NULL, 2 * len(octets))
        return out[:stuff_into(&self.state, octets, 0, len(octets), PyBytes_AS_STRING(out))]


def parse_header(bytes content):
    cdef HeaderScan h = scan_header(content, len(content))
    return h.end, h.body, h.fields, h.received, h.delivered_to, _names(h.flags, HEADER_FLAGS), bool(h.malformed)
