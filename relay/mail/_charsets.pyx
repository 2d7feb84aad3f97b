# cython: language_level=3
"""The charsets that Python's codecs do not read as mail needs it: UTF-16, UTF-32, UTF-7, ISO-2022-JP, EUC-JP, Big5.

Theory: each reader makes one pass and writes UTF-16 code units, never more than one for each octet (one for each two
in UTF-16 and UTF-32); units that are no text are replaced while they are written, so that what Python then makes of
them cannot fail and calls no error handler: one that is called for each wrong octet costs hundreds of times what the
octet does. What is wrong becomes U+FFFD, and a wrong second octet that could begin a character is read again (Encoding
Standard 11 to 14, Unicode 15 3.9). The GIL is not held meanwhile.

Not here: which label means which charset (charsets.py), where the tables come from (charsets.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t

ctypedef const uint8_t* octets_t

cdef enum:
    WRONG = 0xFFFD
    ASCII, ROMAN, KANA, JIS_0208, JIS_0212

cdef struct Units:
    uint8_t* p      # UTF-16, low octet first
    Py_ssize_t count


cdef inline void _put(Units* out, uint32_t unit) noexcept nogil:
    out.p[2 * out.count] = unit & 255
    out.p[2 * out.count + 1] = unit >> 8
    out.count += 1


cdef inline uint32_t _entry(octets_t table, Py_ssize_t at) noexcept nogil:
    """An entry of a table of UTF-16 units, low octet first."""
    return table[2 * at] | <uint32_t>table[2 * at + 1] << 8


cdef Py_ssize_t _mend(uint8_t* p, Py_ssize_t count) noexcept nogil:
    """Replaces the surrogates that have no partner."""
    cdef Py_ssize_t at = 0
    cdef uint32_t high
    while at < count:
        high = p[2 * at + 1] & 0xFC
        if high == 0xD8 and at + 1 < count and p[2 * at + 3] & 0xFC == 0xDC:
            at += 2
            continue
        if high == 0xD8 or high == 0xDC:
            p[2 * at], p[2 * at + 1] = WRONG & 255, WRONG >> 8
        at += 1
    return count


cdef str _text(bytes units, Py_ssize_t count):
    return units[:2 * count].decode("utf-16-le")


def utf16(bytes octets, bint is_big):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(octets) // 2, at
    cdef bint is_odd = PyBytes_GET_SIZE(octets) & 1
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 2 * count + 2)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(made)
    with nogil:
        for at in range(count):
            out[2 * at] = p[2 * at + is_big]
            out[2 * at + 1] = p[2 * at + 1 - is_big]
        _mend(out, count)
        if is_odd:
            out[2 * count], out[2 * count + 1] = WRONG & 255, WRONG >> 8
    return _text(made, count + is_odd)


def utf32(bytes octets, bint is_big):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(octets) // 4, at
    cdef bint has_rest = PyBytes_GET_SIZE(octets) & 3
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 4 * count + 2)
    cdef Units out
    cdef uint32_t code
    out.p, out.count = <uint8_t*>PyBytes_AS_STRING(made), 0
    with nogil:
        for at in range(0, 4 * count, 4):
            if is_big:
                code = <uint32_t>p[at] << 24 | <uint32_t>p[at + 1] << 16 | <uint32_t>p[at + 2] << 8 | p[at + 3]
            else:
                code = <uint32_t>p[at + 3] << 24 | <uint32_t>p[at + 2] << 16 | <uint32_t>p[at + 1] << 8 | p[at]
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                code = WRONG
            if code >= 0x10000:
                _put(&out, 0xD800 + (code - 0x10000 >> 10))
                code = 0xDC00 + (code - 0x10000 & 0x3FF)
            _put(&out, code)
        if has_rest:
            _put(&out, WRONG)
    return _text(made, out.count)


cdef int _sextet(uint8_t c) noexcept nogil:
    """The value of a base64 digit; -1 for none."""
    if c'A' <= c <= c'Z': return c - c'A'
    if c'a' <= c <= c'z': return c - c'a' + 26
    if c'0' <= c <= c'9': return c - c'0' + 52
    return 62 if c == c'+' else 63 if c == c'/' else -1


def utf7(bytes octets):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), at = 0, start
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 2 * n + 2)
    cdef Units out
    cdef uint32_t bits
    cdef int have, digit
    out.p, out.count = <uint8_t*>PyBytes_AS_STRING(made), 0
    with nogil:
        while at < n:
            if p[at] != c'+':
                _put(&out, <uint32_t>p[at] if p[at] < 128 else <uint32_t>WRONG)
                at += 1
                continue
            at += 1
            start = at
            bits, have = 0, 0
            while at < n:
                digit = _sextet(p[at])
                if digit < 0:
                    break
                bits = (bits << 6 | digit) & 0xFFFFFF
                have += 6
                at += 1
                if have >= 16:
                    have -= 16
                    _put(&out, bits >> have & 0xFFFF)
            if at == start:                                 # "+-" is a plus sign; so is one that begins nothing
                _put(&out, c'+')
            elif have >= 6 or bits & ((1 << have) - 1):     # half a character
                _put(&out, WRONG)
            if at < n and p[at] == c'-':
                at += 1
        _mend(out.p, out.count)
    return _text(made, out.count)


cdef inline bint _is_94(uint8_t c) noexcept nogil:
    return 0x21 <= c <= 0x7E


cdef inline void _put_jis(Units* out, octets_t table, uint8_t row, uint8_t cell) noexcept nogil:
    cdef uint32_t unit = _entry(table, (row - 0x21) * 94 + cell - 0x21)
    _put(out, unit if unit else WRONG)


cdef Py_ssize_t _escape(octets_t p, Py_ssize_t at, Py_ssize_t end, int* state) noexcept nogil:
    """Past the escape sequence at ``at`` (RFC 1468, RFC 2237 and JIS X 0201's kana); ``at`` when it is none of them."""
    if end - at >= 3 and p[at + 1] == c'(':
        if p[at + 2] == c'B': state[0] = ASCII
        elif p[at + 2] == c'J' or p[at + 2] == c'H': state[0] = ROMAN
        elif p[at + 2] == c'I': state[0] = KANA
        else: return at
        return at + 3
    if end - at >= 3 and p[at + 1] == c'$':
        if p[at + 2] == c'@' or p[at + 2] == c'B':
            state[0] = JIS_0208
            return at + 3
        if end - at >= 4 and p[at + 2] == c'(' and (p[at + 3] == c'D' or p[at + 3] == c'@' or p[at + 3] == c'B'):
            state[0] = JIS_0212 if p[at + 3] == c'D' else JIS_0208
            return at + 4
    return at


def iso_2022_jp(bytes octets, bytes jis_0208, bytes jis_0212):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets)
    cdef octets_t table_0208 = <octets_t>PyBytes_AS_STRING(jis_0208), table_0212 = <octets_t>PyBytes_AS_STRING(jis_0212)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), at = 0, after
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 2 * n)
    cdef int state = ASCII
    cdef uint8_t c
    cdef Units out
    out.p, out.count = <uint8_t*>PyBytes_AS_STRING(made), 0
    with nogil:
        while at < n:
            c = p[at]
            if c == 0x1B:
                after = _escape(p, at, n, &state)
                if after == at:
                    _put(&out, WRONG)
                    after += 1
                at = after
            elif c == 0x0E or c == 0x0F:
                state = KANA if c == 0x0E else ASCII
                at += 1
            elif 0xA1 <= c <= 0xDF:     # kana in eight bits, as old programs wrote it
                _put(&out, 0xFF61 + c - 0xA1)
                at += 1
            elif c >= 0x80:
                _put(&out, WRONG)
                at += 1
            elif not _is_94(c):
                if c == c'\n':          # RFC 1468: a line begins in ASCII
                    state = ASCII
                _put(&out, c)
                at += 1
            elif state == JIS_0208 or state == JIS_0212:
                if at + 1 < n and _is_94(p[at + 1]):
                    _put_jis(&out, table_0208 if state == JIS_0208 else table_0212, c, p[at + 1])
                    at += 2
                else:
                    _put(&out, WRONG)
                    at += 1
            else:
                if state == KANA:
                    _put(&out, 0xFF61 + c - 0x21 if c <= 0x5F else WRONG)
                elif state == ROMAN and (c == 0x5C or c == 0x7E):
                    _put(&out, 0xA5 if c == 0x5C else 0x203E)
                else:
                    _put(&out, c)
                at += 1
    return _text(made, out.count)


def euc_jp(bytes octets, bytes jis_0208, bytes jis_0212):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets)
    cdef octets_t table_0208 = <octets_t>PyBytes_AS_STRING(jis_0208), table_0212 = <octets_t>PyBytes_AS_STRING(jis_0212)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), at = 0
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 2 * n)
    cdef uint8_t c
    cdef Units out
    out.p, out.count = <uint8_t*>PyBytes_AS_STRING(made), 0
    with nogil:
        while at < n:
            c = p[at]
            if c < 0x80:
                _put(&out, c)
                at += 1
            elif c == 0x8E and at + 1 < n and 0xA1 <= p[at + 1] <= 0xDF:
                _put(&out, 0xFF61 + p[at + 1] - 0xA1)
                at += 2
            elif c == 0x8F and at + 2 < n and 0xA1 <= p[at + 1] <= 0xFE and 0xA1 <= p[at + 2] <= 0xFE:
                _put_jis(&out, table_0212, p[at + 1] - 0x80, p[at + 2] - 0x80)
                at += 3
            elif 0xA1 <= c <= 0xFE and at + 1 < n and 0xA1 <= p[at + 1] <= 0xFE:
                _put_jis(&out, table_0208, c - 0x80, p[at + 1] - 0x80)
                at += 2
            else:
                _put(&out, WRONG)
                at += 1
    return _text(made, out.count)


def big5(bytes octets, bytes table):
    cdef octets_t p = <octets_t>PyBytes_AS_STRING(octets), entries = <octets_t>PyBytes_AS_STRING(table)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), at = 0, entry
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 2 * n)
    cdef uint32_t first
    cdef uint8_t c, trail
    cdef Units out
    out.p, out.count = <uint8_t*>PyBytes_AS_STRING(made), 0
    with nogil:
        while at < n:
            c = p[at]
            trail = p[at + 1] if at + 1 < n else 0
            if c < 0x80:
                _put(&out, c)
                at += 1
                continue
            first = 0
            entry = 0
            if 0x81 <= c <= 0xFE and 0x40 <= trail <= 0xFE:
                entry = 2 * ((c - 0x81) * 191 + trail - 0x40)
                first = _entry(entries, entry)
            if first:
                _put(&out, first)
                if _entry(entries, entry + 1):
                    _put(&out, _entry(entries, entry + 1))
                at += 2
            else:
                _put(&out, WRONG)
                at += 2 if trail >= 0x80 and c != 0x80 and c != 0xFF else 1
    return _text(made, out.count)
