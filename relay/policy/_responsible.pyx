# cython: language_level=3
"""Finds the fields of a header section that say who is responsible for the message.

Theory: whoever puts a message into transport again writes Resent- fields on top of it (RFC 5322 3.6.6). So the first of them,
down to the first trace field or to the second field of one name, are the newest resending; when they name somebody, From and
Sender are history. One pass over the lines, which looks at the names that can matter and no others.

Not here: what stands in those fields (authors.py), whose they may be (senders.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr

from relay._fastparse cimport equals


cdef Py_ssize_t _next_line(const char* p, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    cdef const void* found = memchr(p + at, c'\n', n - at)
    return n if found == NULL else <const char*>found - p + 1


cdef bytes _value(bytes header, Py_ssize_t at, Py_ssize_t colon, Py_ssize_t longest):
    """The value behind ``colon``, folds included, without its line end."""
    cdef const char* p = PyBytes_AS_STRING(header)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(header)
    cdef Py_ssize_t end = _next_line(p, at, n)
    while end < n and end - colon <= longest and (p[end] == c' ' or p[end] == c'\t'):
        end = _next_line(p, end, n)
    while end > colon + 1 and (p[end - 1] == c'\n' or p[end - 1] == c'\r'):
        end -= 1
    return header[colon + 1:min(end, colon + 1 + longest)]


def find_responsible(bytes header not None, Py_ssize_t longest):
    cdef const char* p = PyBytes_AS_STRING(header)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(header), at = 0, end, name_end, colon
    cdef bint may_be_resent = True, is_from, is_resent
    cdef list authors = [], senders = [], of
    cdef dict resent = {}
    cdef bytes name
    while at < n:
        end = _next_line(p, at, n)
        if p[at] | 0x20 not in b"frs":
            at = end
            continue
        name_end = at
        while name_end < end and 33 <= p[name_end] <= 126 and p[name_end] != c':':
            name_end += 1
        colon = name_end
        while colon < end and (p[colon] == c' ' or p[colon] == c'\t'):
            colon += 1
        if colon < end and p[colon] == c':':
            is_from = equals(p, at, name_end, b"FROM")
            if is_from or equals(p, at, name_end, b"SENDER"):
                of = authors if is_from else senders
                if len(of) < 2:
                    of.append(_value(header, at, colon, longest))
            elif may_be_resent:
                is_resent = name_end - at > 7 and equals(p, at, at + 7, b"RESENT-")
                if is_resent:
                    name = header[at:name_end].lower()
                    may_be_resent = name not in resent
                    if may_be_resent:
                        resent[name] = (
                            _value(header, at, colon, longest) if name in (b"resent-from", b"resent-sender") else None)
                elif equals(p, at, name_end, b"RECEIVED") or equals(p, at, name_end, b"RETURN-PATH"):
                    may_be_resent = False
        at = end
    author = resent.get(b"resent-from")
    sender = resent.get(b"resent-sender")
    if author is None and sender is None:
        return False, bool(authors), tuple(authors), tuple(senders)
    return (True, bool(authors), () if author is None else (author,), () if sender is None else (sender,))
