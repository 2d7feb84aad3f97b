# cython: language_level=3, auto_pickle=False, autotestdict=False
"""The hot part of frames.py: the entries of one batch packed as msgpack does. Documented in _entries.pyi.

Theory: nearly every entry says that a record is finished, all of its recipients: five items, which are written here. All
others are left to msgpack.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

import msgpack as _msgpack

cdef object _pack = _msgpack.Packer(use_bin_type=True).pack
cdef str FINISHED = "finished"

cdef enum:
    HEAD = 5                    # octets of an array's head, at most
    MOST = 10 + 3 * 9 + 1       # octets of an entry that is written here, at most


def pack_entries(list entries not None):
    cdef Py_ssize_t count = len(entries)
    cdef bytes octets = PyBytes_FromStringAndSize(NULL, HEAD + MOST * count)
    cdef char* start = PyBytes_AS_STRING(octets)
    cdef char* at = _put_array(start, count)
    cdef char* after
    cdef list parts = None
    cdef tuple entry
    for entry in entries:
        after = _put_finished(at, entry) if _is_plain(entry) else NULL
        if after != NULL:
            at = after
            continue
        if parts is None:
            parts = []
        parts.append(start[:at - start])
        parts.append(_pack(entry))
        at = start
    if parts is None:
        return start[:at - start]
    parts.append(start[:at - start])
    return b"".join(parts)


cdef inline bint _is_plain(tuple entry):
    return len(entry) == 5 and entry[0] == FINISHED and entry[4] is None


cdef char* _put_finished(char* at, tuple entry):
    """Past the entry; NULL when its numbers are none that are written here."""
    cdef Py_ssize_t item
    memcpy(at, b"\x95\xa8finished", 10)
    at += 10
    for item in range(1, 4):
        number = entry[item]
        if type(number) is not int or not 0 <= number < 1 << 64:
            return NULL
        at = _put_number(at, number)
    at[0] = <char>0xC0
    return at + 1


cdef inline char* _put_big_endian(char* at, uint64_t number, int width) noexcept:
    cdef int place
    for place in range(width):
        at[place] = <char>(number >> 8 * (width - 1 - place))
    return at + width


cdef char* _put_number(char* at, uint64_t number) noexcept:
    """An unsigned number in its shortest form."""
    if number < 0x80:
        at[0] = <char>number
        return at + 1
    cdef int power = 0 if number < 1 << 8 else 1 if number < 1 << 16 else 2 if number >> 32 == 0 else 3
    at[0] = <char>(0xCC + power)
    return _put_big_endian(at + 1, number, 1 << power)


cdef char* _put_array(char* at, Py_ssize_t count) noexcept:
    if count < 16:
        at[0] = <char>(0x90 | count)
        return at + 1
    at[0] = <char>(0xDC if count < 1 << 16 else 0xDD)
    return _put_big_endian(at + 1, count, 2 if count < 1 << 16 else 4)
