# cython: language_level=3
"""Where the value of a header field begins, and the structured values of MIME: media type, encoding, parameters, boundary
(RFC 2045 5.1, 6.1, RFC 2231).

Theory: as in relay/_fastparse.pyx, a reader takes a pointer and offsets, owns nothing and raises nothing. White space, folds
and comments are skipped wherever the grammar has tokens, and a value without quotes may hold what a token may not: many do.
Invariants: no octet at or beyond ``end`` is read; all calls for one value look at each octet a bounded number of times.

Not here: which fields a part has (_mime.pyx), charsets and languages of RFC 2231 values but for boundaries.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t

from relay._fastparse cimport equals, hex_value, octets_t

cdef enum:
    SECTION_LIMIT = 10          # sections of one RFC 2231 boundary
    PARAMETERS_LIMIT = 1000     # parameters of one value that are told: what they take is many times their octets

cdef bint IS_TOKEN[256]         # RFC 2045 5.1: any CHAR but SPACE, CTLs and tspecials
IS_TOKEN[:] = [33 <= c <= 126 and c not in b"()<>@,;:\\\"/[]?=" for c in range(256)]


cdef Py_ssize_t field_colon(octets_t p, Py_ssize_t at, Py_ssize_t end, Py_ssize_t* name_end) noexcept nogil:
    """The offset of the colon of the field in the line p[at:end), -1 when the line is no field (RFC 5322 3.6.8, 4.5)."""
    cdef Py_ssize_t colon = at
    while colon < end and 33 <= p[colon] <= 126 and p[colon] != c':':
        colon += 1
    name_end[0] = colon
    while colon < end and (p[colon] == c' ' or p[colon] == c'\t'):
        colon += 1
    return colon if colon < end and p[colon] == c':' and name_end[0] > at else -1


cdef Py_ssize_t _skip_comment(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Past the comment that begins at ``at``; ``end`` when it is not closed (RFC 5322 3.2.2)."""
    cdef Py_ssize_t depth = 0
    while at < end:
        if p[at] == c'\\':
            at += 1
        elif p[at] == c'(':
            depth += 1
        elif p[at] == c')':
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return end


cdef Py_ssize_t _skip_space(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Past white space, folds and comments."""
    while at < end:
        if is_space(p[at]):
            at += 1
        elif p[at] == c'(':
            at = _skip_comment(p, at, end)
        else:
            break
    return at


cdef Py_ssize_t _skip_token(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    while at < end and IS_TOKEN[p[at]]:
        at += 1
    return at


cdef Py_ssize_t _read_value(octets_t p, Py_ssize_t at, Py_ssize_t end, Parameter* out) noexcept nogil:
    """The value of a parameter, at its first octet. Without quotes it may hold what a token may not: many do."""
    out.is_quoted = at < end and p[at] == c'"'
    if not out.is_quoted:
        out.value_start = at
        while at < end and p[at] != c';' and not is_space(p[at]):
            at += 1
        out.value_end = at
        return at
    at += 1
    out.value_start = at
    while at < end and p[at] != c'"':
        at += 2 if p[at] == c'\\' else 1
    out.value_end = at if at < end else end
    return at + 1 if at < end else end


cdef Py_ssize_t next_parameter(const char* p, Py_ssize_t at, Py_ssize_t end, Parameter* out) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    while True:
        while at < end and octets[at] != c';':      # what is left of the one before
            at = _skip_comment(octets, at, end) if octets[at] == c'(' else at + 1
        if at >= end:
            return -1
        out.name_start = _skip_space(octets, at + 1, end)
        out.name_end = _skip_token(octets, out.name_start, end)
        at = _skip_space(octets, out.name_end, end)
        if at < end and octets[at] == c'=' and out.name_end > out.name_start:
            return _read_value(octets, _skip_space(octets, at + 1, end), end, out)


cdef Py_ssize_t unquote(const char* p, const Parameter* parameter, char* out) noexcept nogil:
    cdef Py_ssize_t at = parameter.value_start, written = 0
    while at < parameter.value_end:
        if parameter.is_quoted:
            if p[at] == c'\\' and at + 1 < parameter.value_end:
                at += 1
            elif p[at] == c'\r' or p[at] == c'\n':
                at += 1
                continue
        out[written] = p[at]
        written += 1
        at += 1
    return written


cdef bint media_type(octets_t p, Slice value, Slice* type, Slice* subtype) noexcept nogil:
    cdef Py_ssize_t start = _skip_space(p, value.start, value.end)
    cdef Py_ssize_t stop = _skip_token(p, start, value.end)
    cdef Py_ssize_t slash = _skip_space(p, stop, value.end)
    cdef Py_ssize_t sub_start, sub_stop
    if stop == start or slash == value.end or p[slash] != c'/':
        return False
    sub_start = _skip_space(p, slash + 1, value.end)
    sub_stop = _skip_token(p, sub_start, value.end)
    if sub_stop == sub_start:
        return False
    type.start, type.end = <uint32_t>start, <uint32_t>stop
    subtype.start, subtype.end = <uint32_t>sub_start, <uint32_t>sub_stop
    return True


cdef int transfer_encoding(octets_t p, Slice value) noexcept nogil:
    cdef Slice word
    word.start = <uint32_t>_skip_space(p, value.start, value.end)
    word.end = <uint32_t>_skip_token(p, word.start, value.end)
    if word.start == word.end or equals(<const char*>p, word.start, word.end, b"7BIT"): return ENCODING_7BIT
    if equals(<const char*>p, word.start, word.end, b"BASE64"): return ENCODING_BASE64
    if equals(<const char*>p, word.start, word.end, b"QUOTED-PRINTABLE"): return ENCODING_QUOTED_PRINTABLE
    if equals(<const char*>p, word.start, word.end, b"8BIT"): return ENCODING_8BIT
    if equals(<const char*>p, word.start, word.end, b"BINARY"): return ENCODING_BINARY
    return ENCODING_OTHER


# --- boundaries ---

cdef int _section(octets_t p, const Parameter* parameter, bint* is_encoded) noexcept nogil:
    """Which section of an RFC 2231 boundary the parameter is: 0 to SECTION_LIMIT-1; -1 for none of them.

    ``boundary*0*``, ``boundary*0`` and ``boundary*`` are its first.
    """
    cdef Py_ssize_t star = parameter.name_start + 8, end = parameter.name_end
    if end <= star or p[star] != c'*' or not equals(<const char*>p, parameter.name_start, star, b"BOUNDARY"):
        return -1
    is_encoded[0] = p[end - 1] == c'*'
    if end - star == 1:
        return 0
    if c'0' <= p[star + 1] <= c'9' and end - star == 2 + is_encoded[0]:
        return p[star + 1] - c'0'
    return -1


cdef Py_ssize_t _percent_decode(char* text, Py_ssize_t length, bint has_charset) noexcept nogil:
    """Decodes an extended value in place (RFC 2231 4); with ``has_charset`` charset'language' stands before it."""
    cdef Py_ssize_t at = 0, written = 0
    cdef int quotes = 0, high, low
    if has_charset:
        while at < length and quotes < 2:
            quotes += text[at] == c"'"
            at += 1
        if quotes < 2:
            at = 0
    while at < length:
        high = hex_value(text[at + 1]) if text[at] == c'%' and length - at > 2 else -1
        low = hex_value(text[at + 2]) if high >= 0 else -1
        text[written] = <char>(high << 4 | low) if low >= 0 else text[at]
        written += 1
        at += 3 if low >= 0 else 1
    return written


cdef Py_ssize_t _put_section(octets_t p, const Parameter* parameter, char* out, Py_ssize_t room,
                             bint is_encoded, bint is_first) noexcept nogil:
    """Writes one section; returns the octets written, -1 when there is no room for them as they stand."""
    if parameter.value_end - parameter.value_start > room:
        return -1
    cdef Py_ssize_t length = unquote(<const char*>p, parameter, out)
    return _percent_decode(out, length, is_first) if is_encoded else length


cdef int read_boundary(octets_t p, Slice value, char* out) noexcept nogil:
    cdef Parameter parameter
    cdef Parameter sections[SECTION_LIMIT]
    cdef bint encoded[SECTION_LIMIT]
    cdef bint is_encoded = False
    cdef int seen = 0, section
    cdef Py_ssize_t length = 0, more, at = next_parameter(<const char*>p, value.start, value.end, &parameter)
    while at >= 0:
        if equals(<const char*>p, parameter.name_start, parameter.name_end, b"BOUNDARY"):
            sections[0] = parameter
            encoded[0] = False
            seen = 1
            break
        section = _section(p, &parameter, &is_encoded)
        if section >= 0 and not seen & 1 << section:
            sections[section] = parameter
            encoded[section] = is_encoded
            seen |= 1 << section
        at = next_parameter(<const char*>p, at, value.end, &parameter)
    section = 0
    while seen & 1 << section:
        more = _put_section(p, &sections[section], out + length, BOUNDARY_LIMIT - length, encoded[section],
                            is_first=section == 0)
        if more < 0:
            return 0
        length += more
        section += 1
    while length and (out[length - 1] == c' ' or out[length - 1] == c'\t'):     # no delimiter line could end with them
        length -= 1
    return <int>length


# --- for Python callers; documented in _mime_values.pyi ---

def parse_value(bytes value):
    cdef const char* p = PyBytes_AS_STRING(value)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(value)
    cdef Py_ssize_t start = _skip_space(<octets_t>p, 0, end), stop = _skip_token(<octets_t>p, start, end), at
    cdef Slice whole, type, subtype
    cdef Parameter parameter
    cdef bytes text
    cdef list found = []
    whole.start, whole.end = 0, <uint32_t>end
    word = value[start:stop].lower()
    if media_type(<octets_t>p, whole, &type, &subtype):
        word = (value[type.start:type.end] + b"/" + value[subtype.start:subtype.end]).lower()
    at = next_parameter(p, 0, end, &parameter)
    while at >= 0 and len(found) < PARAMETERS_LIMIT:
        text = PyBytes_FromStringAndSize(NULL, parameter.value_end - parameter.value_start)
        stop = unquote(p, &parameter, PyBytes_AS_STRING(text))
        found.append((value[parameter.name_start:parameter.name_end].lower(), text[:stop]))
        at = next_parameter(p, at, end, &parameter)
    return word, found
