# cython: language_level=3
"""The parameters of MAIL and RCPT (RFC 5321 4.1.2), and the xtext in some of them (RFC 3461 4).

Theory: as in relay/_fastparse.pyx, a reader takes a pointer and offsets, owns nothing and raises nothing.
Invariant: no octet at or beyond ``end`` is read.

Not here: which parameters a command may have and what they mean (_commands.pyx). The ``def`` functions are for the
tests, which compare each reader with a slow twin.
"""

from relay._fastparse cimport equals, hex_value, is_digit, lower, octets_t
from relay.mail._paths cimport utf8_length


cdef inline bint is_let_dig(unsigned char c) noexcept nogil:
    return is_digit(c) or c'a' <= lower(c) <= c'z'


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
    while i < end and (is_let_dig(octets[i]) or octets[i] == c'-' and i > out.keyword_start):
        i += 1
    out.keyword_end = i
    out.value_start = out.value_end = -1
    if i == out.keyword_start:
        return -1
    if i < end and octets[i] == c'=':
        i += 1
        out.value_start = i
        while i < end:
            if 33 <= octets[i] <= 126 and octets[i] != c'=':
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


cdef bint is_xtext(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef Py_ssize_t at = start
    cdef int i
    while at < end:
        if octets[at] == c'+':
            if end - at < 3:
                return False
            for i in range(1, 3):       # only upper-case digits
                if hex_value(octets[at + i]) < 0 or octets[at + i] >= c'a':
                    return False
            at += 2
        elif not 33 <= octets[at] <= 126 or octets[at] == c'=':
            return False
        at += 1
    return True


# --- for the tests; documented in _parameters.pyi ---

KEYWORDS = ("", "SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "NOTIFY", "ORCPT", "AUTH", "BY", "MT-PRIORITY",
            "REQUIRETLS")


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


def has_only_xtext(bytes octets):
    return bool(is_xtext(octets, 0, len(octets)))
