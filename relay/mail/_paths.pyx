# cython: language_level=3
"""Paths of MAIL and RCPT, mailboxes, host names: the grammar of addresses (RFC 5321 4.1.2, RFC 6531 3.3).

Theory: as in relay/_fastparse.pyx, a reader takes a pointer and offsets, owns nothing and raises nothing; what is wrong is a
value. A path is what the RFCs say, with these differences: spaces before "<" and underscores in domains are tolerated
(both are common), and where the caller is lenient ``a..b@c``, ``a.@c`` and ``a@c.`` (mailboxes of that kind exist at large
providers), numbers in IPv4 literals have no leading zeros (their meaning differs between readers) and the last
label of a domain is not all digits (RFC 3696 2: such a name looks like an IP address).
Invariant: no octet at or beyond ``end`` is read.

Not here: what a fault is answered with (relay/smtp), the parameters behind a path (relay/smtp/_parameters.pyx), a person's input and IDNA (address.py). The ``def`` functions at
the end are for Python callers off the hot path, and for the tests, which compare each parser with a slow twin.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from relay._fastparse cimport V_MAIL, V_RCPT, equals, find, hex_value, invariant, is_digit, lower, octets_t

# Classes of octets, one bit each (RFC 5321 4.1.2).
cdef enum:
    LET_DIG = 1         # ALPHA / DIGIT
    ATEXT = 2
    QTEXT = 4           # qtextSMTP
    DCONTENT = 8

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
        if 33 <= c <= 126 and c not in b"[\\]":
            CLASS[c] |= DCONTENT


_fill_classes()


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


# Each reader moves *at over what it accepts and returns a PathError; on an error *at is where it was noticed.

cdef int _read_dot_string(octets_t p, Py_ssize_t* at, Py_ssize_t end, int* flags) noexcept nogil:
    """Dot-string = Atom *("." Atom), atoms with UTF-8 (RFC 6531 3.3); leniently, atoms and dots with an atom in it."""
    cdef Py_ssize_t i = at[0]
    cdef bint in_atom = False, has_atom = False, lenient = flags[0] & PATH_LENIENT
    cdef int length
    while i < end:
        at[0] = i
        if CLASS[p[i]] & ATEXT:
            i += 1
            in_atom = has_atom = True
        elif p[i] == c'.':
            if not in_atom and not lenient:
                return P_LOCAL
            i += 1
            in_atom = False
        elif p[i] > 127:
            length = utf8_length(p, i, end)
            if length == 0:
                return P_UTF8
            flags[0] |= PATH_UTF8
            i += length
            in_atom = has_atom = True
        else:
            break
    at[0] = i
    return P_NONE if in_atom or lenient and has_atom else P_LOCAL


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
    """Domain = sub-domain *("." sub-domain), stops at the first octet that cannot belong to one; leniently, a dot may
    follow."""
    cdef Py_ssize_t i = at[0], label = i, first = i
    cdef bint all_digits = True, ascii = True, was_digits = False
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
            if i == label and i > first and flags[0] & PATH_LENIENT:
                return P_DOMAIN if was_digits else P_NONE
            if i == label or p[i - 1] == c'-':
                return P_DOMAIN
            # A U-label is bounded by the length of its A-label, which routing makes.
            long_label[0] = long_label[0] or (ascii and i - label > 63)
            if i == end or p[i] != c'.':
                return P_DOMAIN if all_digits else P_NONE
            i += 1
            label = i
            was_digits = all_digits
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
        if verb == V_MAIL or out.flags & ~PATH_LENIENT or not equals(<const char*>p, out.local_start, out.local_end, b"POSTMASTER"):
            return P_NO_DOMAIN
        out.flags |= PATH_POSTMASTER
    elif p[at[0]] != c'>':
        return P_DOMAIN
    at[0] += 1
    return _judge_lengths(out, long_label, at[0] - start)


cdef int path_argument(
        const char* p, Py_ssize_t start, Py_ssize_t end, int verb, bint lenient, PathArgument* out) noexcept nogil:
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
    if lenient:
        out.flags = PATH_LENIENT
    error = _read_path(octets, &at, end, verb, out)
    out.flags &= ~PATH_LENIENT
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


# --- for Python callers and the tests; documented in _paths.pyi ---

PATH_ERRORS = ("", "keyword", "no-angle", "unclosed", "after-path", "null", "local", "quoted", "no-domain", "domain",
               "literal", "route", "utf8", "local-too-long", "label-too-long", "domain-too-long", "path-too-long")
PATH_FLAGS = ("null", "postmaster", "quoted", "literal", "utf8", "routed")
HOST_KINDS = ("", "domain", "literal")


cdef tuple _path_tuple(bytes octets, int error, PathArgument* path):
    if error:
        return PATH_ERRORS[error], frozenset(), b"", b"", b"", b"", path.fault_at
    return ("", frozenset([name for bit, name in enumerate(PATH_FLAGS) if path.flags >> bit & 1]), octets[path.local_start:path.local_end],
            octets[path.domain_start:path.domain_end], path_address(octets, path),
            octets[path.params_start:path.params_end], path.fault_at)


def parse_path(str verb, bytes argument, bint lenient=False):
    cdef PathArgument path
    if verb not in ("MAIL", "RCPT"):
        raise ValueError("only MAIL and RCPT have a path")
    cdef int error = path_argument(argument, 0, len(argument), V_MAIL if verb == "MAIL" else V_RCPT, lenient, &path)
    return _path_tuple(argument, error, &path)


def parse_mailbox(bytes octets):
    cdef PathArgument path
    cdef int error = mailbox(octets, 0, len(octets), &path)
    return _path_tuple(octets, error, &path)


def parse_host(bytes octets):
    return HOST_KINDS[host_kind(octets, 0, len(octets))]
