# cython: language_level=3, auto_pickle=False, autotestdict=False
# (a session is not for pickling; the stub describes the module, and neither directive leaves names in it)
"""A delivery: one content for one or more recipients at one next hop, as a session takes it from its owner.

Not here: how it is sent (_machine.pyx), where it comes from (relay/workers).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr

from relay._fastparse cimport has_eight_bit

from relay.mail.envelope import BODY_8BIT as _BODY_8BIT, DOTS as _DOTS, SMTPUTF8 as _SMTPUTF8

BODY_8BIT = _BODY_8BIT
SMTPUTF8 = _SMTPUTF8
DOTS = _DOTS


@cython.freelist(64)
cdef class Delivery:
    """One content for one or more recipients at one next hop; see the stub."""

    def __init__(self, bytes reverse_path not None, tuple recipients not None, int flags, Py_ssize_t size,
                 content=None, str path=None, tag=None):
        if not recipients:
            raise ValueError("a delivery without recipients")
        if content is None and path is None:
            raise ValueError("a delivery has a content, the path of one, or its beginning and the path of the rest")
        self.reverse_path = reverse_path
        self.recipients = recipients
        self.flags = flags
        self.size = size
        self.content = content
        self.path = path
        self.tag = tag
        self.taken_at = self.content_at = self.finished_at = 0.0


cdef tuple objection(Delivery delivery, bint smtputf8, bint eight_bit_mime, int64_t size_limit):
    """Why ``delivery`` can never be sent to a peer with these extensions, as (status, text); or None."""
    cdef bint is_one_line = _is_one_line(delivery.reverse_path)
    cdef bint needs_utf8 = delivery.flags & SMTPUTF8 != 0 or _has_eight_bit(delivery.reverse_path)
    cdef bytes address
    for address in delivery.recipients:
        is_one_line = is_one_line and _is_one_line(address)
        needs_utf8 = needs_utf8 or _has_eight_bit(address)
    if not is_one_line:
        return "5.1.3", "an address holds a line break"
    if needs_utf8 and not smtputf8:
        return "5.6.7", "the next hop does not offer SMTPUTF8, which this message needs"
    if delivery.flags & BODY_8BIT and not eight_bit_mime:
        return "5.6.3", "the next hop does not offer 8BITMIME, which this message needs"
    if size_limit and delivery.size > size_limit:
        return "5.3.4", f"the message has {delivery.size} octets, the next hop takes {size_limit}"
    return None


cdef inline bint _has_eight_bit(bytes octets) noexcept:
    return has_eight_bit(PyBytes_AS_STRING(octets), 0, PyBytes_GET_SIZE(octets))


cdef bint _is_one_line(bytes octets) noexcept:
    cdef const char* p = PyBytes_AS_STRING(octets)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets)
    return n == 0 or (memchr(p, 0x0a, n) == NULL and memchr(p, 0x0d, n) == NULL and memchr(p, 0, n) == NULL)
