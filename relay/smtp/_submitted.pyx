# cython: language_level=3
"""What a submission server changes in a header section: blind recipients are taken out.

Theory: whom a message goes to is in its envelope; a Bcc field that is left tells every recipient of those that were to stay
unseen (RFC 5322 3.6.3, its first way, and 3.6.6 for Resent-Bcc). Folded lines go with their field. Linear, and
nothing is copied when there is no such field.

Not here: fields that are added (_transaction.pyx), who the author may be (relay/policy).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr

from relay._fastparse cimport equals


cdef bint _is_blind(const char* p, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Whether the line at ``at`` begins a Bcc or Resent-Bcc field (RFC 5322 4.5: blanks may stand before the colon)."""
    cdef Py_ssize_t size = 3 if p[at] == c'b' or p[at] == c'B' else 10 if p[at] == c'r' or p[at] == c'R' else 0
    cdef Py_ssize_t here = at + size
    if not size or here >= end:
        return False
    if not equals(p, at, here, b"BCC" if size == 3 else b"RESENT-BCC"):
        return False
    while here < end and (p[here] == c' ' or p[here] == c'\t'):
        here += 1
    return here < end and p[here] == c':'


cpdef bytes without_blind(bytes octets, Py_ssize_t end):
    cdef const char* p = PyBytes_AS_STRING(octets)
    cdef const void* found
    cdef Py_ssize_t at = 0, next_at, kept_from = 0
    cdef bint is_out = False, is_blind
    cdef list kept = None
    if end > PyBytes_GET_SIZE(octets):
        raise ValueError("end lies outside the octets")
    while at < end:
        found = memchr(p + at, c'\n', end - at)
        next_at = end if found == NULL else <const char*>found - p + 1
        is_blind = is_out if p[at] == c' ' or p[at] == c'\t' else _is_blind(p, at, end)
        if is_blind and not is_out:
            if kept is None:
                kept = []
            kept.append(octets[kept_from:at])
        elif is_out and not is_blind:
            kept_from = at
        is_out = is_blind
        at = next_at
    if kept is None:
        return None
    if not is_out:
        kept.append(octets[kept_from:end])
    return b"".join(kept)
