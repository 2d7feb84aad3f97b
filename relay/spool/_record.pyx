# cython: language_level=3
"""The hot part of record.py: heads packed, heads checked, and runs of good records read in one call.

record.py says what the formats mean; this file only does it faster (the figures are in docs/adr/0002-spool.md). What is
not an ordinary good record is left to scan.py: a run ends in front of it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

import google_crc32c

from relay.mail._envelope cimport plain_envelope
from relay.mail._named cimport named

from relay.mail.envelope import unpack as _unpack_envelope

cdef object _crc = google_crc32c.value
cdef object _extend = google_crc32c.extend
cdef list _PADDING = [bytes(size) for size in range(8)]

cdef extern from "<endian.h>" nogil:
    uint16_t le16toh(uint16_t)
    uint32_t le32toh(uint32_t)
    uint64_t le64toh(uint64_t)
    uint16_t htole16(uint16_t)
    uint32_t htole32(uint32_t)
    uint64_t htole64(uint64_t)

# As "<8sHHIIIQIIIII" and a crc32c of it, see docs/SPOOL.md.
cdef packed struct RawHead:
    char[8] mark
    uint16_t version
    uint16_t large_size
    uint32_t log
    uint32_t segment
    uint32_t offset
    uint64_t sequence
    uint32_t batch_index
    uint32_t envelope_size
    uint32_t content_size
    uint32_t body_crc
    uint32_t reserved
    uint32_t head_crc

HEAD_SIZE = sizeof(RawHead)
cdef Py_ssize_t _CHECKED = sizeof(RawHead) - sizeof(uint32_t)
cdef Py_ssize_t _HEAD_SIZE = sizeof(RawHead)


cdef inline uint32_t _crc_of(const char* p, Py_ssize_t size) except? 0xFFFFFFFF:
    return <uint32_t>_crc(PyBytes_FromStringAndSize(p, size))


cdef int _fill_head(RawHead* head, bytes mark, int version, uint32_t log, uint32_t segment, uint32_t offset,
                    uint64_t sequence, uint32_t batch_index, uint32_t envelope_size, uint16_t large_size,
                    uint32_t content_size, uint32_t body_crc) except -1:
    memcpy(head.mark, PyBytes_AS_STRING(mark), 8)
    head.version = htole16(<uint16_t>version)
    head.large_size = htole16(large_size)
    head.log = htole32(log)
    head.segment = htole32(segment)
    head.offset = htole32(offset)
    head.sequence = htole64(sequence)
    head.batch_index = htole32(batch_index)
    head.envelope_size = htole32(envelope_size)
    head.content_size = htole32(content_size)
    head.body_crc = htole32(body_crc)
    head.reserved = 0
    head.head_crc = htole32(_crc_of(<char*>head, _CHECKED))
    return 0


def pack_head(bytes mark not None, int version, uint32_t log, uint32_t segment, uint32_t offset, uint64_t sequence,
              uint32_t batch_index, uint32_t envelope_size, uint16_t large_size, uint32_t content_size,
              uint32_t body_crc):
    """The octets of a record's head, checksum included."""
    cdef RawHead head
    if PyBytes_GET_SIZE(mark) != 8:
        raise ValueError("a mark has 8 octets")
    _fill_head(&head, mark, version, log, segment, offset, sequence, batch_index, envelope_size, large_size,
               content_size, body_crc)
    return PyBytes_FromStringAndSize(<char*>&head, _HEAD_SIZE)


cdef int _check(const char* p, Py_ssize_t left, bytes mark, int version, uint32_t log, uint32_t segment,
                uint64_t offset, RawHead* head) except -1:
    """1 when at ``p``, with ``left`` octets there, stands a good head of this place."""
    if left < _HEAD_SIZE or memcmp(p, PyBytes_AS_STRING(mark), 8) != 0:
        return 0
    memcpy(head, p, _HEAD_SIZE)
    if le32toh(head.log) != log or le32toh(head.segment) != segment or le32toh(head.offset) != offset \
            or le16toh(head.version) != version:
        return 0
    return _crc_of(p, _CHECKED) == le32toh(head.head_crc)


def unpack_head(bytes octets not None, Py_ssize_t at, bytes mark not None, int version, uint32_t log,
                uint32_t segment, uint64_t offset):
    """The fields of the head at ``octets[at:]``, in their order; None when it is not a good head of this place."""
    cdef RawHead head
    if at < 0 or not _check(PyBytes_AS_STRING(octets) + at, PyBytes_GET_SIZE(octets) - at, mark, version, log, segment,
                            offset, &head):
        return None
    return (mark, version, le16toh(head.large_size), log, segment, offset, le64toh(head.sequence),
            le32toh(head.batch_index), le32toh(head.envelope_size), le32toh(head.content_size),
            le32toh(head.body_crc), le32toh(head.reserved))


cpdef Py_ssize_t record_size(bytes envelope, bytes large, object content) except -1:
    """Octets that the record takes in a segment."""
    cdef Py_ssize_t size = _HEAD_SIZE + PyBytes_GET_SIZE(envelope) + PyBytes_GET_SIZE(large)
    for part in content:
        size += len(part)
    return (size + 7) & -8


def pack_run(items, bytes mark not None, int version, uint32_t log, uint32_t segment, uint64_t offset,
             uint64_t sequence):
    """The octets of ``items`` (relay.spool.log.Item) as records one after the other, in pieces for one writev."""
    cdef list parts = []
    cdef bytes envelope, large, start
    cdef uint32_t index = 0
    cdef Py_ssize_t size, content_size, envelope_size, large_size
    cdef char* p
    if PyBytes_GET_SIZE(mark) != 8:
        raise ValueError("a mark has 8 octets")
    for envelope, content, large, size, _ in items:
        envelope_size = PyBytes_GET_SIZE(envelope)
        large_size = PyBytes_GET_SIZE(large)
        start = PyBytes_FromStringAndSize(NULL, _HEAD_SIZE + envelope_size + large_size)
        p = PyBytes_AS_STRING(start)
        memcpy(p + _HEAD_SIZE, PyBytes_AS_STRING(envelope), envelope_size)
        memcpy(p + _HEAD_SIZE + envelope_size, PyBytes_AS_STRING(large), large_size)
        crc = _crc(envelope)
        if large_size:
            crc = _extend(crc, large)
        parts.append(start)
        content_size = 0
        for part in content:
            content_size += len(part)
            crc = _extend(crc, part)
            parts.append(part)
        _fill_head(<RawHead*>p, mark, version, log, segment, <uint32_t>offset, sequence + index, index,
                   <uint32_t>envelope_size, <uint16_t>large_size, <uint32_t>content_size, crc)
        size -= _HEAD_SIZE + envelope_size + large_size + content_size
        if size:
            parts.append(_PADDING[size])
        index += 1
        offset += _HEAD_SIZE + envelope_size + large_size + content_size + size
    return parts


def read_run(type kind not None, bytes octets not None, Py_ssize_t base, Py_ssize_t end, bytes mark not None, int version,
             uint32_t log, uint32_t segment, Py_ssize_t keep, Py_ssize_t most):
    """The ordinary good records from the beginning of ``octets`` (offset ``base`` of the segment) up to ``end``.

    Ordinary: whole within ``octets``, right in both checksums, without a large file, its content not more than ``most``
    octets. Each is given as the named tuple
    ``kind`` (log, segment, offset, sequence, envelope, content offset, content size, None, content), with the content
    when it has at most ``keep`` octets, else None. Returns the list, where in ``octets`` the run ends, the sequence
    after the last one, the first sequence that is not known to be synced (0 and 0 for an empty run), and how many are without
    their content.
    """
    cdef RawHead head
    cdef const char* p = PyBytes_AS_STRING(octets)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(octets), at = 0, start, size, content_size, envelope_size
    cdef uint64_t sequence, after = 0, synced = 0
    cdef Py_ssize_t bare = 0
    cdef list records = []
    cdef bytes content
    while at < n:
        if not _check(p + at, n - at, mark, version, log, segment, <uint64_t>(base + at), &head):
            break
        envelope_size = le32toh(head.envelope_size)
        content_size = le32toh(head.content_size)
        start = at + _HEAD_SIZE
        if head.large_size != 0 or content_size > most or start + envelope_size + content_size > n \
                or base + start > end:
            break
        size = (_HEAD_SIZE + envelope_size + content_size + 7) & -8
        if base + at + size > end or _crc_of(p + start, envelope_size + content_size) != le32toh(head.body_crc):
            break
        envelope = plain_envelope(p + start, envelope_size)
        if envelope is None:
            try:
                envelope = _unpack_envelope(PyBytes_FromStringAndSize(p + start, envelope_size))
            except ValueError:
                break
        content = None
        start += envelope_size
        if content_size <= keep:
            content = PyBytes_FromStringAndSize(p + start, content_size)
        else:
            bare += 1
        sequence = le64toh(head.sequence)
        records.append(
            named(kind, (log, segment, base + at, sequence, envelope, base + start, content_size, None, content)))
        after = sequence + 1
        if sequence - le32toh(head.batch_index) > synced:
            synced = sequence - le32toh(head.batch_index)
        at += size
    return records, at, after, synced, bare
