# cython: language_level=3
"""What is known of a run of messages, gathered in one call: values of columns, and facts (message_cache.py).

Invariants: no array is held across a call that may give up the interpreter's lock, because other threads make them
longer.
"""

from cpython cimport array
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc

import google_crc32c

cdef extern from "<unistd.h>" nogil:
    ssize_t pread(int descriptor, void* octets, size_t count, int64_t offset)

cdef enum:
    HEAD = 13               # UID 4, crc32c 4, kind 1, length 4
    BLOCK = 1 << 15
    MAX_VALUE = 1 << 16

cdef object _extend = google_crc32c.extend


def gather(array.array values not None, array.array rows not None, list run not None):
    cdef list made = []
    cdef Py_ssize_t index
    cdef int64_t row
    if rows.ob_descr.typecode != b"q" or values.ob_descr.typecode not in b"qQ":
        raise TypeError("arrays of 64-bit numbers")
    for index in run:
        if not 0 <= index < len(rows):
            raise IndexError("no such message")
        row = rows.data.as_longlongs[index]
        if not 0 <= row < len(values):
            return None
        if values.ob_descr.typecode == b"q":
            made.append(values.data.as_longlongs[row])
        else:
            made.append(values.data.as_ulonglongs[row])
    return made


def places(array.array keys not None, array.array at not None, dict recent not None, list uids not None, int kind):
    cdef list made = []
    cdef unsigned long long key
    cdef Py_ssize_t low, high, middle
    if keys.ob_descr.typecode != b"Q" or at.ob_descr.typecode != b"Q" or len(keys) != len(at):
        raise TypeError("arrays of 64-bit numbers")
    for uid in uids:
        key = <unsigned long long>uid << 8 | <unsigned long long>kind
        if recent:
            place = recent.get(key)
            if place is not None:
                made.append(place)
                continue
        low, high = 0, len(keys)
        while low < high:
            middle = (low + high) // 2
            if keys.data.as_ulonglongs[middle] < key:
                low = middle + 1
            else:
                high = middle
        made.append(at.data.as_ulonglongs[low] if low < len(keys) and keys.data.as_ulonglongs[low] == key else -1)
    return made


def values(int descriptor, list places not None, list uids not None, int kind):
    cdef list made = []
    cdef char* block = <char*>malloc(HEAD + MAX_VALUE)
    cdef int64_t start = 0, place
    cdef Py_ssize_t held = 0, number, at, wanted
    if block == NULL:
        raise MemoryError
    try:
        for number in range(len(places)):
            place = places[number]
            if place < 0:
                made.append(None)
                continue
            at = place - start
            if at < 0 or at + HEAD > held or at + _size(block + at) > held:
                start, at, wanted = place, 0, BLOCK
                while True:
                    with nogil:
                        held = pread(descriptor, block, wanted, start)
                    if held < HEAD or _size(block) <= wanted:
                        break
                    wanted = _size(block)  # longer than a block
            made.append(_value(block + at, held - at, uids[number], kind))
    finally:
        free(block)
    return made


cdef Py_ssize_t _size(const char* record) noexcept:
    """Octets of the record with this head, as far as they can be."""
    return HEAD + min(_number(record + 9), <uint32_t>MAX_VALUE)


cdef object _value(const char* octets, Py_ssize_t size, object uid, int kind):
    """The value of the record that begins there; None when it is not whole, or not that of ``uid`` and ``kind``."""
    cdef bytes value
    if size < HEAD or _size(octets) > size:
        return None
    value = PyBytes_FromStringAndSize(octets + HEAD, _size(octets) - HEAD)
    return value if _extend((uid << 8 & 0xFFFFFFFF) | kind, value) == _number(octets + 4) else None


cdef uint32_t _number(const char* octets) noexcept:
    cdef const unsigned char* at = <const unsigned char*>octets
    return at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 | <uint32_t>at[3] << 24
