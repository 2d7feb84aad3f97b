# cython: language_level=3, auto_pickle=False, autotestdict=False
"""Ordinary envelopes unpacked in C: a third of what a record costs its reader. Documented in _envelope.pyi.

Theory: nearly every envelope has the same nine fields (it is not held), and its client is that of the record before, whose octets are
compared before anything is made of them. Whatever is not ordinary is left to relay/mail/envelope.py, so this file has no
errors of its own.

Invariants: nothing is read beyond ``size``; an envelope ends where its octets end.

Not here: what the fields mean, and packing (envelope.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from relay.mail._named cimport named

from relay.mail.envelope import Client as _Client, Envelope as _Envelope

cdef enum:                      # the first octet of what msgpack calls ...
    FIXARRAY = 0x90
    FIXSTR = 0xA0
    NIL = 0xC0
    BIN8 = 0xC4
    BIN16 = 0xC5
    UINT8 = 0xCC
    UINT64 = 0xCF
    STR8 = 0xD9
    STR16 = 0xDA
    ARRAY16 = 0xDC

cdef enum:
    FIELDS = 9
    CLIENT_FIELDS = 6

cdef struct Cursor:
    const uint8_t* p
    Py_ssize_t at
    Py_ssize_t size

cdef bytes _client_octets = b""
cdef object _client = None      # what _client_octets say


cdef inline Py_ssize_t _big_endian(Cursor* cursor, int width) noexcept:
    # An unsigned number of 1 or 2 octets; -1 when they are not there.
    cdef Py_ssize_t number = 0
    if cursor.size - cursor.at < width:
        return -1
    for _ in range(width):
        number = number << 8 | cursor.p[cursor.at]
        cursor.at += 1
    return number


cdef inline int _first(Cursor* cursor) noexcept:
    # The octet that says what follows, 0xC1 (which msgpack never uses) at the end.
    if cursor.at >= cursor.size:
        return 0xC1
    cursor.at += 1
    return cursor.p[cursor.at - 1]


cdef Py_ssize_t _text(Cursor* cursor) noexcept:
    # Octets of the str that begins here; the cursor then stands at them. -1 when there is none, or not all of it.
    cdef int first = _first(cursor)
    cdef Py_ssize_t length = -1
    if first & 0xE0 == FIXSTR:
        length = first & 0x1F
    elif first == STR8:
        length = _big_endian(cursor, 1)
    elif first == STR16:
        length = _big_endian(cursor, 2)
    return length if length <= cursor.size - cursor.at else -1


cdef Py_ssize_t _octets(Cursor* cursor) noexcept:
    # The same for a bin.
    cdef int first = _first(cursor)
    cdef Py_ssize_t length = -1
    if first == BIN8:
        length = _big_endian(cursor, 1)
    elif first == BIN16:
        length = _big_endian(cursor, 2)
    return length if length <= cursor.size - cursor.at else -1


cdef Py_ssize_t _array(Cursor* cursor) noexcept:
    # Items of the array that begins here, or -1.
    cdef int first = _first(cursor)
    if first & 0xF0 == FIXARRAY:
        return first & 0x0F
    return _big_endian(cursor, 2) if first == ARRAY16 else -1


cdef object _number(Cursor* cursor):
    # An unsigned number, or None.
    cdef int first = _first(cursor), width
    cdef uint64_t number = 0
    if first < 0x80:
        return first
    if not UINT8 <= first <= UINT64:
        return None
    width = 1 << (first - UINT8)
    if cursor.size - cursor.at < width:
        return None
    for _ in range(width):
        number = number << 8 | cursor.p[cursor.at]
        cursor.at += 1
    return number


cdef str _str(Cursor* cursor):
    # A str, or None; UnicodeDecodeError when it is not UTF-8.
    cdef Py_ssize_t length = _text(cursor)
    if length < 0:
        return None
    cursor.at += length
    return (<const char*>cursor.p)[cursor.at - length:cursor.at].decode("utf-8")


cdef bytes _bytes(Cursor* cursor):
    # The octets of a bin, or None.
    cdef Py_ssize_t length = _octets(cursor)
    if length < 0:
        return None
    cursor.at += length
    return PyBytes_FromStringAndSize(<const char*>cursor.p + cursor.at - length, length)


cdef tuple _recipients(Cursor* cursor):
    cdef Py_ssize_t count = _array(cursor)
    cdef list found = []
    cdef bytes recipient
    if count < 0:
        return None
    for _ in range(count):
        recipient = _bytes(cursor)
        if recipient is None:
            return None
        found.append(recipient)
    return tuple(found)


cdef object _client_of(Cursor* cursor):
    # The client, or None.
    global _client, _client_octets
    cdef Py_ssize_t start = cursor.at, known = PyBytes_GET_SIZE(_client_octets)
    cdef list found = []
    cdef str text
    if (_client is not None and cursor.size - start >= known
            and memcmp(cursor.p + start, PyBytes_AS_STRING(_client_octets), known) == 0):
        cursor.at += known
        return _client
    if _array(cursor) != CLIENT_FIELDS:
        return None
    for _ in range(CLIENT_FIELDS):
        text = _str(cursor)
        if text is None:
            return None
        found.append(text)
    _client_octets = PyBytes_FromStringAndSize(<const char*>cursor.p + start, cursor.at - start)
    _client = named(_Client, tuple(found))
    return _client


cdef object _envelope(Cursor* cursor):
    if _array(cursor) != FIELDS:
        return None
    queue_id = _str(cursor)
    received_at = _number(cursor)
    reverse_path = _bytes(cursor)
    if queue_id is None or received_at is None or reverse_path is None:
        return None
    recipients = _recipients(cursor)
    flags = _number(cursor)
    size = _number(cursor)
    session_id = _str(cursor)
    if recipients is None or flags is None or size is None or session_id is None:
        return None
    client = _client_of(cursor)
    if client is None or _first(cursor) != NIL or cursor.at != cursor.size:
        return None
    return named(_Envelope, (queue_id, received_at, reverse_path, recipients, flags, size, session_id, client, None, ""))


cdef object plain_envelope(const char* octets, Py_ssize_t size):
    cdef Cursor cursor
    cursor.p, cursor.at, cursor.size = <const uint8_t*>octets, 0, size
    try:
        return _envelope(&cursor)
    except UnicodeDecodeError:
        return None


def unpack_plain(bytes octets not None):
    return plain_envelope(PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))
