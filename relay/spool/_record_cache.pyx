# cython: language_level=3, auto_pickle=False, autotestdict=False
"""Records that were read and will be asked for soon. Documented in _record_cache.pyi.

Theory: nearly every record is delivered soon after a tail has read it, so it is on the way of every message. Two halves
bound the memory without an order to be kept: when the young one is full, the old one goes.

Not here: what reads records (reader.py, scan.py).
"""

from cpython.bytes cimport PyBytes_FromStringAndSize

cdef enum:                      # places in a Record
    LOG = 0
    SEGMENT
    OFFSET
    CONTENT_SIZE = 6
    CONTENT = 8


cdef struct Reference:
    unsigned int log
    unsigned int segment
    unsigned int offset


cdef inline bytes _key(unsigned int log, unsigned int segment, unsigned int offset):
    cdef Reference reference
    reference.log, reference.segment, reference.offset = log, segment, offset
    return PyBytes_FromStringAndSize(<char*>&reference, sizeof(reference))


cdef class Remembered:

    def __init__(self, Py_ssize_t limit):
        self.limit = limit
        self.young, self.old = {}, {}

    cpdef int put(self, list records) except -1:
        cdef tuple fields
        cdef object record
        for record in records:
            fields = <tuple>record
            if fields[CONTENT] is not None:
                self.young[_key(fields[LOG], fields[SEGMENT], fields[OFFSET])] = record
                self.octets += <Py_ssize_t>fields[CONTENT_SIZE]
        if self.octets > self.limit // 2:
            self.old, self.young, self.octets = self.young, {}, 0
        return 0

    cpdef object take(self, unsigned int log, unsigned int segment, unsigned int offset):
        cdef bytes key = _key(log, segment, offset)
        cdef object record = self.young.pop(key, None)
        return self.old.pop(key, None) if record is None and self.old else record
