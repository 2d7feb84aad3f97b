# cython: language_level=3
"""Folds and encoded words of header fields (RFC 5322 2.2.3, RFC 2047), base64 and quoted-printable (RFC 2045 6.7, 6.8).

Theory: one pass each, into a buffer that is no longer than what came in. Where an encoded word may begin, the search for
its parts ends at the next question mark (and after ``LABEL_LIMIT`` octets for the label), so that no octet is looked
at more than a few times, however many beginnings without an end there are.

Not here: charsets (charsets.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memcpy

from relay._fastparse cimport hex_value, lower

ctypedef const uint8_t* octets_t

cdef enum:
    LABEL_LIMIT = 64    # octets of a charset's label with its language

cdef struct Word:
    Py_ssize_t label_start, label_end       # without the language of RFC 2231 5
    Py_ssize_t text_start, text_end, end
    bint is_base64

cdef signed char SEXTET[256]     # the values of base64's digits; -1 for what is none
_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
SEXTET[:] = [_DIGITS.find(bytes((octet,))) for octet in range(256)]


cdef inline bint _is_blank(uint8_t c) noexcept nogil:
    return c == c' ' or c == c'\t' or c == c'\r' or c == c'\n'


cdef Py_ssize_t _base64(octets_t p, Py_ssize_t at, Py_ssize_t end, uint8_t* out) noexcept nogil:
    """Decodes; what is no digit is passed over, and ``=`` ends a quantum, so that pieces may follow each other."""
    cdef uint32_t bits = 0
    cdef int have = 0, digit
    cdef Py_ssize_t written = 0
    while at < end:
        digit = SEXTET[p[at]]
        if digit >= 0:
            bits = (bits << 6 | digit) & 0xFFFFFF
            have += 6
            if have >= 8:
                have -= 8
                out[written] = bits >> have & 255
                written += 1
        elif p[at] == c'=':
            bits, have = 0, 0
        at += 1
    return written


cdef Py_ssize_t _q(octets_t p, Py_ssize_t at, Py_ssize_t end, uint8_t* out) noexcept nogil:
    """Decodes the Q encoding of RFC 2047 4.2."""
    cdef Py_ssize_t written = 0
    cdef int high, low
    while at < end:
        high = hex_value(p[at + 1]) if p[at] == c'=' and end - at > 2 else -1
        low = hex_value(p[at + 2]) if high >= 0 else -1
        out[written] = <uint8_t>(high << 4 | low) if low >= 0 else c' ' if p[at] == c'_' else p[at]
        written += 1
        at += 3 if low >= 0 else 1
    return written


cdef bint _word(octets_t p, Py_ssize_t at, Py_ssize_t end, Word* word) noexcept nogil:
    """Whether an encoded word begins at ``at``, where ``=?`` is. Blanks in its text are allowed: many write them."""
    cdef Py_ssize_t stop = min(end, at + 2 + LABEL_LIMIT)
    cdef const void* found
    cdef uint8_t kind
    word.label_start = at + 2
    word.label_end = -1
    at += 2
    while at < stop and p[at] != c'?' and p[at] > c' ' and p[at] < 127:
        if p[at] == c'*' and word.label_end < 0:
            word.label_end = at
        at += 1
    if word.label_end < 0:
        word.label_end = at
    if at >= stop or p[at] != c'?' or word.label_end == word.label_start or end - at < 5 or p[at + 2] != c'?':
        return False
    kind = p[at + 1] | 32
    if kind != c'b' and kind != c'q':
        return False
    word.is_base64 = kind == c'b'
    word.text_start = at + 3
    found = memchr(p + word.text_start, c'?', end - word.text_start)
    if found == NULL:
        return False
    word.text_end = <octets_t>found - p
    word.end = word.text_end + 2
    return word.end <= end and p[word.end - 1] == c'='


cdef bint _is_same(octets_t p, const Word* one, const Word* other) noexcept nogil:
    """Whether two words name one charset in the same way."""
    cdef Py_ssize_t at, length = one.label_end - one.label_start
    if other.label_end - other.label_start != length:
        return False
    for at in range(length):
        if lower(p[one.label_start + at]) != lower(p[other.label_start + at]):
            return False
    return True


def runs(bytes value):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(value)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(value), at = 0, text_start = 0, blank, written = 0
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, n)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(buffer)
    cdef const void* found
    cdef Word word, last
    cdef bint has_last = False
    cdef list made = []
    last.label_start = last.label_end = 0
    while at < n:
        found = memchr(p + at, c'=', n - at)
        if found == NULL:
            break
        at = <octets_t>found - p
        if n - at < 2 or p[at + 1] != c'?' or not _word(p, at, n, &word):
            at += 1
            continue
        blank = text_start
        while has_last and blank < at and _is_blank(p[blank]):
            blank += 1
        # White space between two encoded words is no text (RFC 2047 6.2).
        if has_last and (blank < at or not _is_same(p, &last, &word)):
            made.append((out[:written], value[last.label_start:last.label_end]))
            written = 0
        if not (has_last and blank == at) and text_start < at:
            made.append((value[text_start:at], None))
        if word.is_base64:
            written += _base64(p, word.text_start, word.text_end, out + written)
        else:
            written += _q(p, word.text_start, word.text_end, out + written)
        last, has_last = word, True
        at = text_start = word.end
    if has_last:
        made.append((out[:written], value[last.label_start:last.label_end]))
    if text_start < n:
        made.append((value[text_start:], None))
    return made


def unfold(bytes value):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(value)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(value), at = 0, line_end, written = 0, length
    cdef const void* found
    if memchr(p, c'\n', n) == NULL:
        return value
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, n)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(buffer)
    with nogil:
        while at < n:
            found = memchr(p + at, c'\n', n - at)
            line_end = <octets_t>found - p if found != NULL else n
            length = line_end - at
            if line_end + 1 < n and (p[line_end + 1] == c' ' or p[line_end + 1] == c'\t'):
                if length and p[line_end - 1] == c'\r':
                    length -= 1
                memcpy(out + written, p + at, length)
                written += length
                out[written] = c' '     # a tab that begins a folded line stood for a space before somebody folded it
                written += 1
                at = line_end + 2
            else:
                length += line_end < n
                memcpy(out + written, p + at, length)
                written += length
                at = line_end + 1
    return buffer[:written]


def from_base64(bytes octets):
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), written
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets)
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, n // 4 * 3 + 3)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(buffer)
    with nogil:
        written = _base64(p, 0, n, out)
    return buffer[:written]


cdef Py_ssize_t _quoted_printable(octets_t p, Py_ssize_t n, uint8_t* out) noexcept nogil:
    cdef Py_ssize_t at = 0, line_end, end, following, escape, written = 0
    cdef int high, low
    cdef const void* found
    while at < n:
        found = memchr(p + at, c'\n', n - at)
        following = <octets_t>found - p + 1 if found != NULL else n
        line_end = following - (found != NULL)
        if found != NULL and line_end > at and p[line_end - 1] == c'\r':
            line_end -= 1
        end = line_end
        while end > at and (p[end - 1] == c' ' or p[end - 1] == c'\t'):     # RFC 2045 6.7, rule 3
            end -= 1
        if end > at and p[end - 1] == c'=':     # rule 5: this line goes on in the next
            end -= 1
            line_end = following
        while at < end:
            found = memchr(p + at, c'=', end - at)
            escape = <octets_t>found - p if found != NULL else end
            memcpy(out + written, p + at, escape - at)
            written += escape - at
            at = escape
            if at < end:
                high = hex_value(p[at + 1]) if end - at > 2 else -1
                low = hex_value(p[at + 2]) if high >= 0 else -1
                out[written] = <uint8_t>(high << 4 | low) if low >= 0 else p[at]
                written += 1
                at += 3 if low >= 0 else 1
        memcpy(out + written, p + line_end, following - line_end)
        written += following - line_end
        at = following
    return written


def from_quoted_printable(bytes octets):
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), written
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets)
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, n)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(buffer)
    with nogil:
        written = _quoted_printable(p, n, out)
    return buffer[:written]
