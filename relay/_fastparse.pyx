# cython: language_level=3
# The small classes at the end hold half-read streams, which nobody pickles:
# cython: auto_pickle=False
"""The byte work of mail: lines, commands, paths, content, header section, replies.

Theory: each scanner takes a pointer and offsets and returns offsets; none owns, keeps or allocates a buffer, none does
I/O, none raises. What is wrong with the input is a value (an enum of _fastparse.pxd, which describes every function).
Three decisions are made here and nowhere else:
  - a line ends at CRLF and at nothing else (RFC 5321 2.3.8); a bare CR, a bare LF or a NUL is a fault;
  - the content ends at CRLF.CRLF and at nothing else (RFC 5321 4.1.1.4), whatever faults came before it;
  - a path is what RFC 5321 4.1.2 and RFC 6531 3.3 say, with these differences: spaces before "<" and underscores in
    domains are tolerated (both are common), numbers in IPv4 literals have no leading zeros (their meaning differs
    between readers) and the last label of a domain is not all digits (RFC 3696 2: such a name looks like an IP address).
Invariants: no octet at or beyond ``n`` (``end``) is read; a scan gives the same result however its input was cut.

Not here: what a fault is answered with (relay/smtp), limits on lines and sizes (the sessions), IDNA
(relay/mail/address.py), MIME. The ``def`` functions at the end are for Python callers off the hot path, and for the tests, which compare each
parser with a slow twin.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memchr, memcpy, memset

cdef extern from *:
    """
    #include <assert.h>
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
    # Checked in the debug build only.
    void invariant "assert"(bint statement) noexcept nogil

ctypedef const unsigned char* octets_t

# Classes of octets, one bit each (RFC 5321 4.1.2, RFC 3461 4).
cdef enum:
    LET_DIG = 1         # ALPHA / DIGIT
    ATEXT = 2
    QTEXT = 4           # qtextSMTP
    VALUE = 8           # esmtp-value
    DCONTENT = 16
    XCHAR = 32          # of xtext

cdef unsigned char CLASS[256]


cdef void _fill_classes() noexcept:
    cdef int c
    for c in range(256):
        CLASS[c] = 0
        if c in b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
            CLASS[c] |= LET_DIG | ATEXT
        elif c in b"!#$%&'*+-/=?^_`{|}~":
            CLASS[c] |= ATEXT
        if 32 <= c <= 126 and c not in b'"\\':
            CLASS[c] |= QTEXT
        if 33 <= c <= 126 and c != b"="[0]:
            CLASS[c] |= VALUE
        if 33 <= c <= 126 and c not in b"[\\]":
            CLASS[c] |= DCONTENT
        if 33 <= c <= 126 and c not in b"+=":
            CLASS[c] |= XCHAR


_fill_classes()


cdef inline unsigned char upper(unsigned char c) noexcept nogil:
    return c - 32 if c'a' <= c <= c'z' else c


cdef inline unsigned char lower(unsigned char c) noexcept nogil:
    return c + 32 if c'A' <= c <= c'Z' else c


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef inline int hex_value(unsigned char c) noexcept nogil:
    """0 to 15; -1 when ``c`` is no hexadecimal digit."""
    if is_digit(c):
        return c - c'0'
    c = lower(c)
    return c - c'a' + 10 if c'a' <= c <= c'f' else -1


cdef inline Py_ssize_t find(octets_t p, unsigned char c, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    """The offset of the first ``c`` in p[start:end), -1 when there is none."""
    if start >= end:
        return -1
    cdef const void* found = memchr(p + start, c, end - start)
    return <octets_t>found - p if found != NULL else -1


cdef int utf8_length(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Octets of the well-formed UTF-8 character above U+007F at ``at`` (2 to 4), 0 when there is none (RFC 3629 4)."""
    cdef unsigned char first = p[at]
    cdef unsigned char low = 0x80, high = 0xBF
    cdef int length, i
    if first < 0xC2 or first > 0xF4:
        return 0
    if first < 0xE0:
        length = 2
    elif first < 0xF0:
        length = 3
        if first == 0xE0:
            low = 0xA0          # overlong
        elif first == 0xED:
            high = 0x9F         # surrogates
    else:
        length = 4
        if first == 0xF0:
            low = 0x90          # overlong
        elif first == 0xF4:
            high = 0x8F         # above U+10FFFF
    if end - at < length or p[at + 1] < low or p[at + 1] > high:
        return 0
    for i in range(2, length):
        if p[at + i] & 0xC0 != 0x80:
            return 0
    return length


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


# --- paths ---
# Each reader moves *at over what it accepts and returns a PathError; on an error *at is where it was noticed.

cdef int _read_dot_string(octets_t p, Py_ssize_t* at, Py_ssize_t end, int* flags) noexcept nogil:
    """Dot-string = Atom *("." Atom), atoms with UTF-8 (RFC 6531 3.3)."""
    cdef Py_ssize_t i = at[0]
    cdef bint in_atom = False
    cdef int length
    while i < end:
        at[0] = i
        if CLASS[p[i]] & ATEXT:
            i += 1
            in_atom = True
        elif p[i] == c'.':
            if not in_atom:
                return P_LOCAL
            i += 1
            in_atom = False
        elif p[i] > 127:
            length = utf8_length(p, i, end)
            if length == 0:
                return P_UTF8
            flags[0] |= PATH_UTF8
            i += length
            in_atom = True
        else:
            break
    at[0] = i
    return P_NONE if in_atom else P_LOCAL


cdef int _read_quoted_string(octets_t p, Py_ssize_t* at, Py_ssize_t end, int* flags) noexcept nogil:
    """Quoted-string = DQUOTE *QcontentSMTP DQUOTE; at its first quote."""
    cdef Py_ssize_t i = at[0] + 1
    cdef int length
    flags[0] |= PATH_QUOTED
    while i < end:
        at[0] = i
        if CLASS[p[i]] & QTEXT:
            i += 1
        elif p[i] == c'"':
            at[0] = i + 1
            return P_NONE
        elif p[i] == c'\\':
            if i + 1 < end and not 32 <= p[i + 1] <= 126:
                return P_QUOTED
            i += 2
        elif p[i] > 127:
            length = utf8_length(p, i, end)
            if length == 0:
                return P_UTF8
            flags[0] |= PATH_UTF8
            i += length
        else:
            return P_QUOTED
    at[0] = end
    return P_QUOTED


cdef int _read_domain(octets_t p, Py_ssize_t* at, Py_ssize_t end, int* flags, bint* long_label) noexcept nogil:
    """Domain = sub-domain *("." sub-domain), stops at the first octet that cannot belong to one."""
    cdef Py_ssize_t i = at[0], label = i
    cdef bint all_digits = True, ascii = True
    cdef int length
    while True:
        at[0] = i
        if i < end and (CLASS[p[i]] & LET_DIG or p[i] == c'_' or p[i] == c'-' and i > label):
            all_digits = all_digits and is_digit(p[i])
            i += 1
        elif i < end and p[i] > 127:
            length = utf8_length(p, i, end)
            if length == 0:
                return P_UTF8
            flags[0] |= PATH_UTF8
            all_digits = ascii = False
            i += length
        else:
            if i == label or p[i - 1] == c'-':
                return P_DOMAIN
            # A U-label is bounded by the length of its A-label, which routing makes.
            long_label[0] = long_label[0] or (ascii and i - label > 63)
            if i == end or p[i] != c'.':
                return P_DOMAIN if all_digits else P_NONE
            i += 1
            label = i
            all_digits = ascii = True


cdef bint _is_ipv4(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """IPv4-address-literal = Snum 3("." Snum), without leading zeros."""
    cdef Py_ssize_t begin
    cdef int number, count
    for count in range(4):
        begin = at
        number = 0
        while at < end and is_digit(p[at]) and at - begin < 3:
            number = number * 10 + p[at] - c'0'
            at += 1
        if at == begin or number > 255 or (p[begin] == c'0' and at - begin > 1):
            return False
        if count == 3:
            return at == end
        if at == end or p[at] != c'.':
            return False
        at += 1
    return False


cdef bint _is_ipv6(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """IPv6-addr; "::" stands for at least two groups (RFC 5321 4.1.3)."""
    cdef Py_ssize_t stop
    cdef int groups = 0
    cdef bint compressed = False
    if end - at >= 2 and p[at] == c':' and p[at + 1] == c':':
        compressed = True
        at += 2
        if at == end:
            return True
    while True:
        stop = at
        while stop < end and hex_value(p[stop]) >= 0 and stop - at < 5:
            stop += 1
        if stop < end and p[stop] == c'.':
            if not _is_ipv4(p, at, end):
                return False
            groups += 2
            break
        if not 1 <= stop - at <= 4:
            return False
        groups += 1
        if stop == end:
            break
        if p[stop] != c':' or stop + 1 == end:
            return False
        at = stop + 1
        if p[at] == c':':
            if compressed:
                return False
            compressed = True
            at += 1
            if at == end:
                break
        if groups > 8:
            return False
    return groups <= 6 if compressed else groups == 8


cdef bint _is_general_literal(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """General-address-literal = Ldh-str ":" 1*dcontent; that all is dcontent is known already."""
    cdef Py_ssize_t colon = find(p, c':', at, end), i
    if colon <= at or colon + 1 == end or p[colon - 1] == c'-':
        return False
    for i in range(at, colon):
        if not CLASS[p[i]] & LET_DIG and p[i] != c'-':
            return False
    return True


cdef int _read_literal(octets_t p, Py_ssize_t* at, Py_ssize_t end) noexcept nogil:
    """address-literal (RFC 5321 4.1.3); at its "["."""
    cdef Py_ssize_t start = at[0] + 1, stop = start
    cdef bint is_one
    while stop < end and CLASS[p[stop]] & DCONTENT:
        stop += 1
    if stop == end or p[stop] != c']':
        at[0] = stop
        return P_LITERAL
    if stop - start > 5 and equals(<const char*>p, start, start + 5, b"IPV6:"):
        is_one = _is_ipv6(p, start + 5, stop)
    else:
        is_one = _is_ipv4(p, start, stop) or _is_general_literal(p, start, stop)
    if not is_one:
        return P_LITERAL
    at[0] = stop + 1
    return P_NONE


cdef int _read_route(octets_t p, Py_ssize_t* at, Py_ssize_t end, int* flags, bint* long_label) noexcept nogil:
    """A-d-l ":" = At-domain *("," At-domain) ":"; at its first "@"."""
    cdef Py_ssize_t i = at[0]
    cdef int error
    flags[0] |= PATH_ROUTED
    while i < end and p[i] == c'@':
        i += 1
        error = _read_domain(p, &i, end, flags, long_label)
        at[0] = i
        if error:
            return P_ROUTE if error == P_DOMAIN else error
        if i < end and p[i] == c':':
            at[0] = i + 1
            return P_NONE
        if i == end or p[i] != c',':
            return P_ROUTE
        i += 1
    at[0] = i
    return P_ROUTE


cdef int _read_mailbox(octets_t p, Py_ssize_t* at, Py_ssize_t end, PathArgument* out, bint* long_label) noexcept nogil:
    """Mailbox = Local-part "@" (Domain / address-literal), or a local part alone: then *at is not past an "@"."""
    cdef int error
    out.local_start = at[0]
    if at[0] < end and p[at[0]] == c'"':
        error = _read_quoted_string(p, at, end, &out.flags)
    else:
        error = _read_dot_string(p, at, end, &out.flags)
    if error:
        return error
    out.local_end = out.domain_start = out.domain_end = at[0]
    if at[0] == end or p[at[0]] != c'@':
        return P_NONE
    at[0] += 1
    out.domain_start = at[0]
    if at[0] < end and p[at[0]] == c'[':
        out.flags |= PATH_LITERAL
        error = _read_literal(p, at, end)
    else:
        error = _read_domain(p, at, end, &out.flags, long_label)
    out.domain_end = at[0]
    return error


cdef int _judge_lengths(const PathArgument* out, bint long_label, Py_ssize_t path_length) noexcept nogil:
    """RFC 5321 4.5.3.1; for a path whose syntax is right."""
    if out.local_end - out.local_start > 64:
        return P_LOCAL_TOO_LONG
    if long_label:
        return P_LABEL_TOO_LONG
    if out.domain_end - out.domain_start > 255:
        return P_DOMAIN_TOO_LONG
    return P_PATH_TOO_LONG if path_length > 256 else P_NONE


cdef int _read_path(octets_t p, Py_ssize_t* at, Py_ssize_t end, int verb, PathArgument* out) noexcept nogil:
    """Reverse-path or Forward-path at its "<"; a fault by the end of the line is P_UNCLOSED."""
    cdef Py_ssize_t start = at[0]
    cdef bint long_label = False
    cdef int error
    at[0] += 1
    if at[0] < end and p[at[0]] == c'>':
        at[0] += 1
        out.flags |= PATH_NULL
        out.local_start = out.local_end = out.domain_start = out.domain_end = at[0] - 1
        return P_NONE if verb == V_MAIL else P_NULL
    if at[0] < end and p[at[0]] == c'@':
        error = _read_route(p, at, end, &out.flags, &long_label)
        if error:
            return P_UNCLOSED if at[0] == end else error
    error = _read_mailbox(p, at, end, out, &long_label)
    if at[0] == end:
        return P_UNCLOSED
    if error:
        return error
    if out.domain_start == out.local_end:
        if p[at[0]] != c'>':
            return P_LOCAL
        if verb == V_MAIL or out.flags or not equals(<const char*>p, out.local_start, out.local_end, b"POSTMASTER"):
            return P_NO_DOMAIN
        out.flags |= PATH_POSTMASTER
    elif p[at[0]] != c'>':
        return P_DOMAIN
    at[0] += 1
    return _judge_lengths(out, long_label, at[0] - start)


cdef int path_argument(const char* p, Py_ssize_t start, Py_ssize_t end, int verb, PathArgument* out) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef Py_ssize_t at = start
    cdef int error
    memset(out, 0, sizeof(PathArgument))
    out.fault_at = start
    at += 5 if verb == V_MAIL else 3
    if at > end or not equals(p, start, at, b"FROM:" if verb == V_MAIL else b"TO:"):
        return P_KEYWORD
    while at < end and p[at] == c' ':
        at += 1
    out.fault_at = at
    if at == end or p[at] != c'<':
        return P_NO_ANGLE
    error = _read_path(octets, &at, end, verb, out)
    out.fault_at = at
    invariant(start <= at <= end)
    if error:
        return error
    if at < end and p[at] != c' ':
        return P_AFTER_PATH
    while at < end and p[at] == c' ':
        at += 1
    while end > at and p[end - 1] == c' ':
        end -= 1
    out.params_start = at
    out.params_end = end
    return P_NONE


cdef int mailbox(const char* p, Py_ssize_t start, Py_ssize_t end, PathArgument* out) noexcept nogil:
    cdef bint long_label = False
    cdef int error
    cdef Py_ssize_t at = start
    memset(out, 0, sizeof(PathArgument))
    error = P_LOCAL if start >= end else _read_mailbox(<octets_t>p, &at, end, out, &long_label)
    out.fault_at = at
    out.params_start = out.params_end = end
    if error:
        return error
    if out.domain_start == out.local_end:
        return P_NO_DOMAIN if at == end else P_LOCAL
    if at != end:
        return P_DOMAIN
    return _judge_lengths(out, long_label, end - start + 2)


cdef Py_ssize_t _plain_local(octets_t p, Py_ssize_t start, Py_ssize_t end, unsigned char* out) noexcept nogil:
    """Writes the quoted string p[start:end) with the fewest quotes and escapes; returns the octets written."""
    cdef Py_ssize_t at = start + 1, n = 0
    cdef Py_ssize_t parsed = 0
    cdef int flags = 0
    while at < end - 1:
        if p[at] == c'\\':
            at += 1
        out[n] = p[at]
        n += 1
        at += 1
    if _read_dot_string(out, &parsed, n, &flags) == P_NONE and parsed == n:
        return n
    at = start + 1
    out[0] = c'"'
    n = 1
    while at < end - 1:
        if p[at] == c'\\':
            at += 1
        if p[at] == c'"' or p[at] == c'\\':
            out[n] = c'\\'
            n += 1
        out[n] = p[at]
        n += 1
        at += 1
    out[n] = c'"'
    return n + 1


cdef bytes path_address(const char* p, const PathArgument* path):
    cdef unsigned char buffer[512]
    cdef Py_ssize_t at, n
    if path.domain_end - path.local_start > 256:
        raise ValueError("not a path that was found to be right")
    n = path.local_end - path.local_start
    if path.flags & PATH_QUOTED:
        n = _plain_local(<octets_t>p, path.local_start, path.local_end, buffer)
    elif n:
        memcpy(buffer, p + path.local_start, n)
    if path.domain_end > path.domain_start:
        buffer[n] = c'@'
        n += 1
        for at in range(path.domain_start, path.domain_end):
            buffer[n] = lower(p[at])
            n += 1
    return PyBytes_FromStringAndSize(<const char*>buffer, n)


cdef int host_kind(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef Py_ssize_t at = start
    cdef int flags = 0
    cdef bint long_label = False
    if start >= end or end - start > 255:
        return HOST_NONE
    if p[start] == c'[':
        return HOST_LITERAL if _read_literal(<octets_t>p, &at, end) == P_NONE and at == end else HOST_NONE
    if _read_domain(<octets_t>p, &at, end, &flags, &long_label) == P_NONE and at == end and not long_label:
        return HOST_DOMAIN
    return HOST_NONE


# --- parameters ---

cdef int _keyword(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    if equals(p, start, end, b"SIZE"): return K_SIZE
    if equals(p, start, end, b"BODY"): return K_BODY
    if equals(p, start, end, b"SMTPUTF8"): return K_SMTPUTF8
    if equals(p, start, end, b"RET"): return K_RET
    if equals(p, start, end, b"ENVID"): return K_ENVID
    if equals(p, start, end, b"NOTIFY"): return K_NOTIFY
    if equals(p, start, end, b"ORCPT"): return K_ORCPT
    if equals(p, start, end, b"AUTH"): return K_AUTH
    if equals(p, start, end, b"BY"): return K_BY
    if equals(p, start, end, b"MT-PRIORITY"): return K_MT_PRIORITY
    if equals(p, start, end, b"REQUIRETLS"): return K_REQUIRETLS
    return K_OTHER


cdef int next_param(const char* p, Py_ssize_t* at, Py_ssize_t end, Param* out) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef Py_ssize_t i = at[0]
    cdef int length
    while i < end and octets[i] == c' ':
        i += 1
    if i >= end:
        return 0
    out.keyword_start = i
    while i < end and (CLASS[octets[i]] & LET_DIG or octets[i] == c'-' and i > out.keyword_start):
        i += 1
    out.keyword_end = i
    out.value_start = out.value_end = -1
    if i == out.keyword_start:
        return -1
    if i < end and octets[i] == c'=':
        i += 1
        out.value_start = i
        while i < end:
            if CLASS[octets[i]] & VALUE:
                i += 1
                continue
            length = utf8_length(octets, i, end)        # RFC 6531 3.4
            if length == 0:
                break
            i += length
        out.value_end = i
        if i == out.value_start:
            return -1
    if i < end and octets[i] != c' ':
        return -1
    out.keyword = _keyword(p, out.keyword_start, out.keyword_end)
    at[0] = i
    return 1


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


cdef bytes xtext_octets(const char* p, Py_ssize_t start, Py_ssize_t end):
    cdef octets_t octets = <octets_t>p
    cdef Py_ssize_t at = start
    cdef bytearray out = bytearray()
    while at < end:
        if CLASS[octets[at]] & XCHAR:
            out.append(octets[at])
            at += 1
            continue
        if octets[at] != c'+' or end - at < 3:
            return None
        # Only upper-case digits (RFC 3461 4).
        if hex_value(octets[at + 1]) < 0 or hex_value(octets[at + 2]) < 0 \
                or octets[at + 1] >= c'a' or octets[at + 2] >= c'a':
            return None
        out.append(hex_value(octets[at + 1]) * 16 + hex_value(octets[at + 2]))
        at += 3
    return bytes(out)


cpdef bytes xtext(bytes octets):
    cdef unsigned char c
    cdef bytearray out = bytearray()
    for c in octets:
        if CLASS[c] & XCHAR:
            out.append(c)
        else:
            out += b"+%02X" % c
    return bytes(out)


# --- content ---

cdef void content_scan_init(ContentScan* s) noexcept nogil:
    memset(s, 0, sizeof(ContentScan))


cdef inline void note(ContentScan* s, int fault) noexcept nogil:
    if s.fault == F_NONE:
        s.fault = fault


cdef Py_ssize_t _scan_octets(ContentScan* s, octets_t p, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """scan_content, an octet at a time: the whole truth about the states."""
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
            s.state = C_DOT
            continue
        s.line_length += 1
        if s.state == C_DOT:
            if c == c'\r':
                s.state = C_DOT_CR
                continue
            s.dots = True
            s.dots_left = s.dots_left or c == c'.'
        s.state = C_CR if c == c'\r' else C_TEXT
    return -1


cdef inline bint _scan_block(ContentScan* s, octets_t p, int length) noexcept nogil:
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
            | b.nul | b.dot & (b.lf << 1 | <uint64_t>(s.state == C_LINE_START))):
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


cdef Py_ssize_t scan_content(ContentScan* s, const char* p, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef unsigned char tail[64]
    cdef Py_ssize_t at = start, result
    cdef int length
    while n - at >= 64:
        if not _scan_block(s, octets + at, 64):
            result = _scan_octets(s, octets, at, at + 64)
            if result >= 0:
                return result
        at += 64
    if at < n:
        length = <int>(n - at)
        memset(tail, c'x', sizeof(tail))
        memcpy(tail, octets + at, length)
        if not _scan_block(s, tail, length):
            return _scan_octets(s, octets, at, n)
    return -1


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


# --- replies ---

cdef Py_ssize_t _read_number(octets_t p, Py_ssize_t at, Py_ssize_t end, int* number) noexcept nogil:
    """Reads 1 to 3 digits; returns the offset past them, -1 when there are none or more."""
    cdef Py_ssize_t start = at
    number[0] = 0
    while at < end and is_digit(p[at]) and at - start < 4:
        number[0] = number[0] * 10 + p[at] - c'0'
        at += 1
    return at if 1 <= at - start <= 3 else -1


cdef Py_ssize_t _read_status(octets_t p, Py_ssize_t at, Py_ssize_t end, int code,
                             int* subject, int* detail) noexcept nogil:
    """Reads the enhanced status (RFC 2034 4) at the start of a reply text; returns where the text goes on, -1 without.

    Its class must be the code's, and 2, 4 or 5.
    """
    if end - at < 5 or p[at] - c'0' != code // 100 or code // 100 == 3 or p[at + 1] != c'.':
        return -1
    at = _read_number(p, at + 2, end, subject)
    if at < 0 or at == end or p[at] != c'.':
        return -1
    at = _read_number(p, at + 1, end, detail)
    if at < 0 or at < end and p[at] != c' ':
        return -1
    return at + 1 if at < end else at


cdef int _judge_reply_line(octets_t p, Py_ssize_t at, Py_ssize_t lf, int code) noexcept nogil:
    """What is wrong with the reply line p[at:lf]; ``code`` is the first line's, or 0 for the first line."""
    if lf == at or p[lf - 1] != c'\r' or find(p, 0, at, lf) >= 0:
        return R_BARE_LF
    if (lf - 1 - at < 3 or not c'2' <= p[at] <= c'5' or not is_digit(p[at + 1]) or not is_digit(p[at + 2])
            or lf - 1 - at > 3 and p[at + 3] != c' ' and p[at + 3] != c'-'):
        return R_SYNTAX
    if code and code != (p[at] - c'0') * 100 + (p[at + 1] - c'0') * 10 + p[at + 2] - c'0':
        return R_CODE_CHANGED
    return R_NONE


cdef Py_ssize_t scan_reply(const char* p, Py_ssize_t start, Py_ssize_t n, ReplyScan* out) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef Py_ssize_t at = start, lf, text, after_status
    cdef int subject = 0, detail = 0
    memset(out, 0, sizeof(ReplyScan))
    while True:
        lf = find(octets, c'\n', at, n)
        if (lf if lf >= 0 else n - 1) + 1 - start > REPLY_LIMIT:
            out.fault = R_TOO_LONG
            return -2
        if lf < 0:
            return -1
        out.fault = _judge_reply_line(octets, at, lf, out.code)
        if out.fault:
            return -2
        out.code = (p[at] - c'0') * 100 + (p[at + 1] - c'0') * 10 + p[at + 2] - c'0'
        out.lines += 1
        text = at + 4 if lf - 1 - at > 3 else lf - 1
        after_status = _read_status(octets, text, lf - 1, out.code, &subject, &detail)
        if lf - 1 - at > 3 and p[at + 3] == c'-':
            if after_status >= 0 and out.lines == 1:
                out.status_class, out.status_subject, out.status_detail = out.code // 100, subject, detail
            at = lf + 1
            continue
        if after_status >= 0:
            out.status_class, out.status_subject, out.status_detail = out.code // 100, subject, detail
        out.text_start = after_status if after_status >= 0 else text
        out.text_end = lf - 1
        invariant(start <= out.text_start <= out.text_end < lf < n)
        return lf + 1


cdef Py_ssize_t next_reply_line(const char* p, Py_ssize_t at, Py_ssize_t end,
                                Py_ssize_t* text_start, Py_ssize_t* text_end) noexcept nogil:
    cdef Py_ssize_t lf = find(<octets_t>p, c'\n', at, end)
    if lf < at + 4:
        return -1
    text_start[0] = at + 4 if lf - 1 - at > 3 else lf - 1
    text_end[0] = lf - 1
    return lf + 1


cdef bytes reply_text(const char* p, Py_ssize_t start, Py_ssize_t end):
    cdef Py_ssize_t at = start, text_start = 0, text_end = 0, after_status
    cdef int code = 0, subject = 0, detail = 0
    cdef list texts = []
    while at < end:
        code = (p[at] - c'0') * 100
        at = next_reply_line(p, at, end, &text_start, &text_end)
        if at < 0:
            break
        after_status = _read_status(<octets_t>p, text_start, text_end, code, &subject, &detail)
        if after_status >= 0:
            text_start = after_status
        if text_end > text_start:
            texts.append(PyBytes_FromStringAndSize(p + text_start, text_end - text_start))
    return b" ".join(texts)


# --- for Python callers and the tests; documented in _fastparse.pyi ---

VERBS = ("", "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT",
         "STARTTLS", "AUTH", "HTTP", "TLS")
FAULTS = ("", "bare-cr", "bare-lf", "nul", "too-long", "not-ascii")
PATH_ERRORS = ("", "keyword", "no-angle", "unclosed", "after-path", "null", "local", "quoted", "no-domain", "domain",
               "literal", "route", "utf8", "local-too-long", "label-too-long", "domain-too-long", "path-too-long")
PATH_FLAGS = ("null", "postmaster", "quoted", "literal", "utf8", "routed")
HOST_KINDS = ("", "domain", "literal")
KEYWORDS = ("", "SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "NOTIFY", "ORCPT", "AUTH", "BY", "MT-PRIORITY",
            "REQUIRETLS")
HEADER_FLAGS = ("date", "message-id", "from", "to", "cc", "bcc", "sender", "subject", "return-path", "mime-version",
                "content-type")
REPLY_FAULTS = ("", "syntax", "code-changed", "bare-lf", "too-long")


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


cdef tuple _path_tuple(bytes octets, int error, PathArgument* path):
    if error:
        return PATH_ERRORS[error], frozenset(), b"", b"", b"", b"", path.fault_at
    return ("", _names(path.flags, PATH_FLAGS), octets[path.local_start:path.local_end],
            octets[path.domain_start:path.domain_end], path_address(octets, path),
            octets[path.params_start:path.params_end], path.fault_at)


def parse_path(str verb, bytes argument):
    cdef PathArgument path
    if verb not in ("MAIL", "RCPT"):
        raise ValueError("only MAIL and RCPT have a path")
    cdef int error = path_argument(argument, 0, len(argument), V_MAIL if verb == "MAIL" else V_RCPT, &path)
    return _path_tuple(argument, error, &path)


def parse_mailbox(bytes octets):
    cdef PathArgument path
    cdef int error = mailbox(octets, 0, len(octets), &path)
    return _path_tuple(octets, error, &path)


def parse_host(bytes octets):
    return HOST_KINDS[host_kind(octets, 0, len(octets))]


def parse_params(bytes octets):
    cdef Param param
    cdef Py_ssize_t at = 0
    cdef int found
    cdef list params = []
    while True:
        found = next_param(octets, &at, len(octets), &param)
        if found <= 0:
            return params if found == 0 else None
        params.append((KEYWORDS[param.keyword], octets[param.keyword_start:param.keyword_end],
                       octets[param.value_start:param.value_end] if param.value_start >= 0 else None))


def parse_decimal(bytes octets):
    return decimal(octets, 0, len(octets))


def parse_xtext(bytes octets):
    return xtext_octets(octets, 0, len(octets))


@cython.final
cdef class ContentScanner:
    cdef ContentScan scan

    def __cinit__(self):
        content_scan_init(&self.scan)

    def feed(self, bytes octets):
        if self.scan.state == C_END:
            raise ValueError("the end of data has been found already")
        return scan_content(&self.scan, octets, 0, len(octets))

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


def parse_reply(bytes octets, Py_ssize_t start=0):
    cdef ReplyScan r
    if not 0 <= start <= len(octets):
        raise ValueError("start lies outside the octets")
    cdef Py_ssize_t after = scan_reply(octets, start, len(octets), &r)
    if after < 0:
        return after, REPLY_FAULTS[r.fault], 0, "", b"", b""
    status = f"{r.status_class}.{r.status_subject}.{r.status_detail}" if r.status_class else ""
    return after, "", r.code, status, octets[r.text_start:r.text_end], reply_text(octets, start, after)


def reply_lines(bytes reply):
    cdef Py_ssize_t at = 0, start = 0, end = 0
    cdef list lines = []
    while True:
        at = next_reply_line(reply, at, len(reply), &start, &end)
        if at < 0:
            return lines
        lines.append(reply[start:end])
