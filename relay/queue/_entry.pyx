# cython: autotestdict=False
"""Entries, and the lists they wait in. Documented in _entry.pyi.

Memory is the reason for C here: a million deferred messages are a million entries. An entry is one object of 128
octets without a garbage collector's head, and the lists run through it (intrusive, doubly linked), so that a list,
a wheel slot or a removal costs no memory and O(1) time.

Ownership: each node that is linked owns one reference to its entry. ``queue`` links the entry into one list or the
wheel of due times; ``guard`` links it into the wheel of deadlines, from add to the end.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    S_NEW = 0
    S_READY
    S_ACTIVE
    S_DEFERRED
    S_HELD
    S_COPYING
    S_GONE

NEW = S_NEW
READY = S_READY
ACTIVE = S_ACTIVE
DEFERRED = S_DEFERRED
HELD = S_HELD
COPYING = S_COPYING
GONE = S_GONE

cdef char* ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
cdef signed char[128] VALUES

cdef void _fill_values() noexcept:
    cdef int i
    for i in range(128):
        VALUES[i] = -1
    for i in range(32):
        VALUES[<int>ALPHABET[i]] = <signed char>i

_fill_values()


cdef uint64_t _number(str queue_id) except? 0:
    cdef bytes octets = queue_id.encode("ascii", "replace")
    cdef const char* p = octets
    cdef uint64_t number = 0
    cdef int i, value
    if len(octets) != 13:
        raise ValueError(f"not a queue id: {queue_id!r}")
    for i in range(13):
        value = VALUES[p[i] & 127] if not p[i] & 128 else -1
        if value < 0 or (i == 0 and value > 15):
            raise ValueError(f"not a queue id: {queue_id!r}")
        number = (number << 5) | <uint64_t>value
    return number


def queue_number(str queue_id not None):
    return _number(queue_id)


@cython.no_gc
@cython.auto_pickle(False)
cdef class Entry:
    def __init__(self, uint32_t log, uint32_t segment, uint32_t offset, uint32_t size, str queue_id not None,
                  int64_t received_at, object group, object indexes, uint32_t count, int flags=0, int attempts=0,
                  int64_t due_at=0, object reason=None):
        _fill(self, log, segment, offset, size, queue_id, received_at, group, indexes, count, flags)
        self.attempts = <uint16_t>min(attempts, 65535)
        self.due_at = due_at
        self.reason = reason

    @property
    def ref(self):
        return (self.log, self.segment, self.offset)

    @property
    def queue_id(self):
        cdef char[13] text
        cdef int i
        for i in range(13):
            text[i] = ALPHABET[(self.number >> (60 - 5 * i)) & 31]
        return text[:13].decode("ascii")

    @property
    def received_at(self):
        return <int64_t>self.received * 1000000

    @property
    def is_queued(self):
        return self.queue.next != NULL

    def __repr__(self):
        return f"<Entry {self.queue_id} {self.ref} indexes={self.indexes} state={self.state} attempts={self.attempts}>"

    def unlink(self):
        return leave_chain(self)

    def rebase(self, int64_t delta):
        move_instants(self, delta)


cdef int _fill(Entry entry, uint32_t log, uint32_t segment, uint32_t offset, uint32_t size, str queue_id,
               int64_t received_at, object group, object indexes, uint32_t count, int flags) except -1:
    entry.number = _number(queue_id)
    entry.log = log
    entry.segment = segment
    entry.offset = offset
    entry.size = size
    entry.received = <uint32_t>(received_at // 1000000) if received_at > 0 else 0
    entry.group = group
    entry.indexes = indexes
    entry.count = count
    entry.flags = <uint8_t>flags
    entry.state = S_NEW
    return 0


cpdef Entry new_entry(uint32_t log, uint32_t segment, uint32_t offset, uint32_t size, str queue_id,
                      int64_t received_at, object group, object indexes, uint32_t count, int flags):
    cdef Entry entry = Entry.__new__(Entry)
    _fill(entry, log, segment, offset, size, queue_id, received_at, group, indexes, count, flags)
    return entry


cdef void _measure():
    cdef Entry sample = Entry(0, 0, 0, 0, "0000000000000", 0, None, None, 0)
    global QUEUE_AT, GUARD_AT
    QUEUE_AT = <char*>&sample.queue - <char*><void*>sample
    GUARD_AT = <char*>&sample.guard - <char*><void*>sample


@cython.auto_pickle(False)
cdef class Chain:
    """What entries can be in: counts them."""

    def __len__(self):
        return self.count


_measure()


cpdef bint leave(Entry entry) except -1:
    return leave_chain(entry)


@cython.no_gc
@cython.auto_pickle(False)
cdef class EntryList(Chain):
    def __cinit__(self):
        self.head.prev = &self.head
        self.head.next = &self.head

    def __dealloc__(self):
        while self.head.next != &self.head:
            leave_chain(queued(self.head.next))

    cpdef int append(self, Entry entry) except -1:
        return enter(self, entry, &self.head)

    cpdef int appendleft(self, Entry entry) except -1:
        return enter(self, entry, self.head.next)

    cpdef Entry popleft(self):
        if self.head.next == &self.head:
            return None
        cdef Entry entry = queued(self.head.next)
        leave_chain(entry)
        return entry

    def __iter__(self):
        cdef list entries = []
        cdef Node* node = self.head.next
        while node != &self.head:
            entries.append(queued(node))
            node = node.next
        return iter(entries)

    def is_among_first(self, Entry entry, Py_ssize_t count):
        cdef Node* node = self.head.next
        while count > 0 and node != &self.head:
            if node == &entry.queue:
                return True
            node = node.next
            count -= 1
        return False

    def take(self, object group, Py_ssize_t limit):
        cdef list entries = []
        cdef Node* node = self.head.next
        cdef Entry entry
        while node != &self.head and len(entries) < limit:
            entry = queued(node)
            node = node.next
            if group is None or entry.group is group:
                leave_chain(entry)
                entries.append(entry)
        return entries
