# cython: language_level=3, auto_pickle=False, autotestdict=False
# (a session is not for pickling; the stub describes the module, and neither directive leaves names in it)
"""A delivery: one content for one or more recipients at one next hop, as a session takes it from its owner.

Not here: how it is sent (_machine.pyx), where it comes from (relay/dispatch).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr

from relay._fastparse cimport has_eight_bit

from relay.delivery.international import has_utf8_header as _has_utf8_header
from relay.mail.address import ascii_form as _ascii_form
from relay.mail.envelope import BODY_8BIT as _BODY_8BIT, DOTS as _DOTS, SMTPUTF8 as _SMTPUTF8
from relay.mail.outcome import DEFERRED as _DEFERRED, FAILED as _FAILED

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
    """Why ``delivery`` cannot be sent to a peer with these extensions, as (kind, status, text); or None. To a peer without
    SMTPUTF8 it goes in its ASCII form, and ``refused`` has those of its recipients that have none."""
    cdef tuple refusal
    cdef bint is_one_line = _is_one_line(delivery.reverse_path)
    cdef bint needs_utf8 = _has_eight_bit(delivery.reverse_path)
    cdef bytes address
    for address in delivery.recipients:
        is_one_line = is_one_line and _is_one_line(address)
        needs_utf8 = needs_utf8 or _has_eight_bit(address)
    if not is_one_line:
        return _FAILED, "5.1.3", "an address holds a line break"
    if delivery.flags & SMTPUTF8 and not needs_utf8 and not delivery.flags & BODY_8BIT:
        delivery.flags &= ~SMTPUTF8     # all of it is ASCII: whoever comes next need not offer it
    if (needs_utf8 or delivery.flags & SMTPUTF8) and not smtputf8:
        refusal = _without_utf8(delivery)
        if refusal is not None:
            return refusal
    if delivery.flags & BODY_8BIT and not eight_bit_mime:
        return _FAILED, "5.6.3", "the next hop does not offer 8BITMIME, and this message has 8-bit content"
    if size_limit and delivery.size > size_limit:
        return (_FAILED, "5.3.4",
                f"the next hop takes messages of up to {size_limit} octets, and this one has {delivery.size}")
    return None


cdef tuple _without_utf8(Delivery delivery):
    """Brings ``delivery`` into its ASCII form (RFC 6531 3.2); or why it has none. A rare way, so it may cost something."""
    cdef bytes address, reverse_path
    cdef Py_ssize_t index
    cdef list recipients = []
    cdef dict refused = {}
    try:
        if delivery.flags & SMTPUTF8 and delivery.flags & BODY_8BIT and _has_utf8_header(delivery.content, delivery.path):
            return (_FAILED, "5.6.7",
                    "the next hop does not offer SMTPUTF8, and this message has non-ASCII characters in its header section")
    except OSError as fault:
        return _DEFERRED, "4.3.0", f"the stored content cannot be read ({fault.strerror})"
    reverse_path = _ascii_form(delivery.reverse_path)
    if reverse_path is None:
        return _FAILED, "5.6.7", _not_ascii(delivery.reverse_path)
    for index, address in enumerate(delivery.recipients):
        address = _ascii_form(address)
        if address is None:
            refused[index] = _FAILED, "5.6.7", _not_ascii(delivery.recipients[index])
        else:
            recipients.append(address)
    delivery.original = delivery.reverse_path, delivery.recipients, delivery.flags
    delivery.reverse_path, delivery.recipients, delivery.flags = reverse_path, tuple(recipients), delivery.flags & ~SMTPUTF8
    delivery.refused = refused
    return None


cdef str _not_ascii(bytes address):
    shown = address.decode("utf-8", "backslashreplace")
    return f"the next hop does not offer SMTPUTF8, and the address <{shown}> has non-ASCII characters"


cdef list restore(Delivery delivery, list outcomes):
    """``delivery`` as it was taken; the outcomes of all its recipients."""
    cdef list all_outcomes = []
    cdef object sent = iter(outcomes)
    delivery.reverse_path, delivery.recipients, delivery.flags = delivery.original
    for index in range(len(delivery.recipients)):
        all_outcomes.append(delivery.refused[index] if index in delivery.refused else next(sent))
    delivery.original = delivery.refused = None
    return all_outcomes


cdef inline bint _has_eight_bit(bytes octets) noexcept:
    return has_eight_bit(PyBytes_AS_STRING(octets), 0, PyBytes_GET_SIZE(octets))


cdef bint _is_one_line(bytes octets) noexcept:
    cdef const char* p = PyBytes_AS_STRING(octets)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets)
    return n == 0 or (memchr(p, 0x0a, n) == NULL and memchr(p, 0x0d, n) == NULL and memchr(p, 0, n) == NULL)
