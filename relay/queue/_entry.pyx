# cython: autotestdict=False
"""Entries, the lists they wait in, and the timing wheel of their times. Documented in _entry.pyi.

Memory is the reason for C here: a million deferred messages are a million entries. An entry is one object of 128
octets without a garbage collector's head, and the lists run through it (intrusive, doubly linked), so that a list,
a wheel slot or a removal costs no memory and O(1) time.

Ownership: each node that is linked owns one reference to its entry. ``queue`` links the entry into one list or the
wheel of due times; ``guard`` links it into the wheel of deadlines, from add to the end.
"""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc


cdef enum:
    SLOTS = 256
    LEVELS = 3
    DUE_SHIFT = 17          # one tick of the wheel of due times: 131 ms

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


cdef inline void _link_before(Node* node, Node* mark) noexcept:
    node.prev = mark.prev
    node.next = mark
    mark.prev.next = node
    mark.prev = node


cdef inline void _unlink(Node* node) noexcept:
    node.prev.next = node.next
    node.next.prev = node.prev
    node.prev = NULL
    node.next = NULL


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
        return _leave(self)

    def rebase(self, int64_t delta):
        _rebase(self, delta)


cdef inline void _rebase(Entry entry, int64_t delta) noexcept:
    cdef int64_t seconds = delta // 1000000
    entry.received = <uint32_t>max(0, min(<int64_t>entry.received + seconds, 0xFFFFFFFF))
    entry.deadline = <uint32_t>max(0, min(<int64_t>entry.deadline + seconds, 0xFFFFFFFF))
    if entry.due_at:
        entry.due_at = max(1, entry.due_at + delta)


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


cdef Py_ssize_t QUEUE_AT = 0
cdef Py_ssize_t GUARD_AT = 0

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


cdef inline Entry _queued(Node* node):
    return <Entry><void*>(<char*>node - QUEUE_AT)


cdef inline Entry _guarded(Node* node):
    return <Entry><void*>(<char*>node - GUARD_AT)


cdef inline bint _leave(Entry entry):
    # A module function: a cdef method would give every entry a pointer to a method table.
    if entry.queue.next == NULL:
        return False
    _unlink(&entry.queue)
    (<Chain>entry.chain).count -= 1
    entry.chain = NULL
    Py_DECREF(entry)
    return True


cpdef bint leave(Entry entry) except -1:
    return _leave(entry)


cdef inline int _enter(Chain chain, Entry entry, Node* before) except -1:
    if entry.queue.next != NULL:
        raise ValueError("the entry waits somewhere else")
    _link_before(&entry.queue, before)
    entry.chain = <void*>chain
    chain.count += 1
    Py_INCREF(entry)
    return 0


@cython.no_gc
@cython.auto_pickle(False)
cdef class EntryList(Chain):
    def __cinit__(self):
        self.head.prev = &self.head
        self.head.next = &self.head

    def __dealloc__(self):
        while self.head.next != &self.head:
            _leave(_queued(self.head.next))

    cpdef int append(self, Entry entry) except -1:
        return _enter(self, entry, &self.head)

    cpdef int appendleft(self, Entry entry) except -1:
        return _enter(self, entry, self.head.next)

    cpdef Entry popleft(self):
        if self.head.next == &self.head:
            return None
        cdef Entry entry = _queued(self.head.next)
        _leave(entry)
        return entry

    def __iter__(self):
        cdef list entries = []
        cdef Node* node = self.head.next
        while node != &self.head:
            entries.append(_queued(node))
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
            entry = _queued(node)
            node = node.next
            if group is None or entry.group is group:
                _leave(entry)
                entries.append(entry)
        return entries


@cython.auto_pickle(False)
cdef class _Slots(Chain):
    """Three levels of 256 slots. ``current`` is the next tick to expire; a level-1 slot is spread over level 0 when
    its first tick comes, a level-2 slot over level 1. Beyond 2**24 ticks an item sits in the last slot and is placed
    again."""

    def __cinit__(self, *args):
        cdef int i
        self.slots = <Node*>malloc(LEVELS * SLOTS * sizeof(Node))
        if self.slots == NULL:
            raise MemoryError
        for i in range(LEVELS * SLOTS):
            self.slots[i].prev = &self.slots[i]
            self.slots[i].next = &self.slots[i]

    cdef Node* slot_of(self, int64_t tick) noexcept:
        cdef int64_t distance
        if tick < self.current:
            tick = self.current
        distance = tick - self.current
        if distance < SLOTS:
            return &self.slots[tick & 255]
        if distance < SLOTS * SLOTS:
            return &self.slots[SLOTS + ((tick >> 8) & 255)]
        if distance >= SLOTS * SLOTS * SLOTS:
            tick = self.current + SLOTS * SLOTS * SLOTS - 1
        return &self.slots[2 * SLOTS + ((tick >> 16) & 255)]

    cdef int64_t tick_of(self, Node* node) noexcept:
        return 0

    cdef void spread(self, Node* slot) noexcept:
        cdef Node pending
        cdef Node* node
        if slot.next == slot:
            return
        # Off the slot first: an item may belong into the same slot again.
        pending.next = slot.next
        pending.prev = slot.prev
        pending.next.prev = &pending
        pending.prev.next = &pending
        slot.next = slot
        slot.prev = slot
        while pending.next != &pending:
            node = pending.next
            _unlink(node)
            _link_before(node, self.slot_of(self.tick_of(node)))

    cdef void replace_all(self, int64_t current) noexcept:
        """Sets ``current`` to any time, and puts every item where its time has it from there."""
        cdef Node pending
        cdef Node* slot
        cdef Node* node
        cdef int i
        pending.next = &pending
        pending.prev = &pending
        for i in range(LEVELS * SLOTS):
            slot = &self.slots[i]
            while slot.next != slot:
                node = slot.next
                _unlink(node)
                _link_before(node, &pending)
        self.current = current
        while pending.next != &pending:
            node = pending.next
            _unlink(node)
            _link_before(node, self.slot_of(self.tick_of(node)))

    cdef void go(self, int64_t tick) noexcept:
        """Sets ``current``; the caller has made sure that nothing is passed over."""
        self.current = tick
        if tick & 255 == 0:
            if tick & 65535 == 0:
                self.spread(&self.slots[2 * SLOTS + ((tick >> 16) & 255)])
            self.spread(&self.slots[SLOTS + ((tick >> 8) & 255)])

    cdef Node* due_slot(self, int64_t target) noexcept:
        """The slot of ``current`` while that is not past ``target`` and not empty; NULL when all up to target is
        out."""
        cdef int64_t tick
        cdef Node* slot
        while self.current <= target:
            slot = &self.slots[self.current & 255]
            if slot.next != slot:
                return slot
            tick = self.next_tick()
            self.go(target + 1 if tick < 0 or tick > target else tick)
        return NULL

    cdef int64_t next_tick(self) noexcept:
        """The tick at which the next item is due or a slot with items must be spread; -1 when empty."""
        cdef int i
        cdef int64_t best = -1, tick
        cdef Node* slot
        if self.count == 0:
            return -1
        for i in range(SLOTS):
            slot = &self.slots[(self.current + i) & 255]
            if slot.next != slot:
                best = self.current + i
                break
        for i in range(1, SLOTS + 1):
            slot = &self.slots[SLOTS + (((self.current >> 8) + i) & 255)]
            if slot.next != slot:
                tick = ((self.current >> 8) + i) << 8
                if best < 0 or tick < best:
                    best = tick
                break
        for i in range(1, SLOTS + 1):
            slot = &self.slots[2 * SLOTS + (((self.current >> 16) + i) & 255)]
            if slot.next != slot:
                tick = ((self.current >> 16) + i) << 16
                if best < 0 or tick < best:
                    best = tick
                break
        return best


@cython.no_gc
@cython.auto_pickle(False)
cdef class DueWheel(_Slots):
    def __cinit__(self, int64_t now):
        self.current = now >> DUE_SHIFT

    def __dealloc__(self):
        cdef int i
        if self.slots == NULL:
            return
        for i in range(LEVELS * SLOTS):
            while self.slots[i].next != &self.slots[i]:
                _leave(_queued(self.slots[i].next))
        free(self.slots)

    cdef int64_t tick_of(self, Node* node) noexcept:
        # Rounded up: never early.
        return (_queued(node).due_at + (1 << DUE_SHIFT) - 1) >> DUE_SHIFT

    cpdef int add(self, Entry entry) except -1:
        return _enter(self, entry, self.slot_of(self.tick_of(&entry.queue)))

    def rebase(self, int64_t now):
        self.replace_all(now >> DUE_SHIFT)

    def expire(self, int64_t now, Py_ssize_t limit):
        cdef list out = []
        cdef int64_t target = now >> DUE_SHIFT
        cdef Node* slot
        cdef Entry entry
        while len(out) < limit:
            slot = self.due_slot(target)
            if slot == NULL:
                break
            entry = _queued(slot.next)
            _leave(entry)
            out.append(entry)
        return out

    def next_at(self):
        cdef int64_t tick = self.next_tick()
        return None if tick < 0 else tick << DUE_SHIFT


@cython.no_gc
@cython.auto_pickle(False)
cdef class DeadlineWheel(_Slots):
    def __cinit__(self, int64_t now):
        self.current = now // 1000000

    def __dealloc__(self):
        cdef int i
        cdef Entry entry
        if self.slots == NULL:
            return
        for i in range(LEVELS * SLOTS):
            while self.slots[i].next != &self.slots[i]:
                entry = _guarded(self.slots[i].next)
                self.remove(entry)
        free(self.slots)

    cdef int64_t tick_of(self, Node* node) noexcept:
        return _guarded(node).deadline

    cpdef int set(self, Entry entry, int64_t at) except -1:
        """Has ``entry`` expire at ``at``, rounded up to whole seconds; moves it when it is in already."""
        if entry.guard.next != NULL:
            _unlink(&entry.guard)
        else:
            self.count += 1
            Py_INCREF(entry)
        entry.deadline = <uint32_t>min((at + 999999) // 1000000, 0xFFFFFFFF)
        _link_before(&entry.guard, self.slot_of(entry.deadline))
        return 0

    cpdef int set_after(self, Entry entry, int64_t time) except -1:
        """The same for ``time`` after the entry's message was received."""
        return self.set(entry, <int64_t>entry.received * 1000000 + time)

    cpdef bint remove(self, Entry entry) except -1:
        if entry.guard.next == NULL:
            return False
        _unlink(&entry.guard)
        self.count -= 1
        Py_DECREF(entry)
        return True

    def rebase(self, int64_t delta, int64_t now):
        cdef int i
        cdef Node* node
        for i in range(LEVELS * SLOTS):
            node = self.slots[i].next
            while node != &self.slots[i]:
                _rebase(_guarded(node), delta)
                node = node.next
        self.replace_all(now // 1000000)

    def expire(self, int64_t now, Py_ssize_t limit):
        cdef list out = []
        cdef int64_t target = now // 1000000
        cdef Node* slot
        cdef Entry entry
        while len(out) < limit:
            slot = self.due_slot(target)
            if slot == NULL:
                break
            entry = _guarded(slot.next)
            self.remove(entry)
            out.append(entry)
        return out

    def next_at(self):
        cdef int64_t tick = self.next_tick()
        return None if tick < 0 else tick * 1000000

    def find(self, uint64_t number=0, object group=None, int64_t received_before=0, int64_t log=-1,
             int64_t segment=-1, Py_ssize_t limit=0x7FFFFFFF):
        cdef list out = []
        cdef int i
        cdef Node* node
        cdef Entry entry
        cdef uint32_t before = <uint32_t>(received_before // 1000000)
        for i in range(LEVELS * SLOTS):
            node = self.slots[i].next
            while node != &self.slots[i]:
                entry = _guarded(node)
                node = node.next
                if number and entry.number != number:
                    continue
                if received_before and entry.received >= before:
                    continue
                if segment >= 0 and (entry.segment != segment or entry.log != log):
                    continue
                if group is not None and entry.group is not group:
                    continue
                out.append(entry)
                if len(out) >= limit:
                    return out
        return out
