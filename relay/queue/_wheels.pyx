# cython: autotestdict=False
"""The timing wheels of entries: when they are due, and their deadlines. Documented in _wheels.pyi.

The wheels run through the entries themselves, like the lists (_entry.pyx): an entry in a slot costs no memory, and to
add and to remove are O(1). Each node that is linked owns one reference to its entry.
"""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from relay.queue._entry cimport (
    Chain, Entry, Node, enter, guarded, leave_chain, link_before, move_instants, queued, unlink_node,
)

cdef enum:
    SLOTS = 256
    LEVELS = 3
    DUE_SHIFT = 17          # one tick of the wheel of due times: 131 ms


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
            unlink_node(node)
            link_before(node, self.slot_of(self.tick_of(node)))

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
                unlink_node(node)
                link_before(node, &pending)
        self.current = current
        while pending.next != &pending:
            node = pending.next
            unlink_node(node)
            link_before(node, self.slot_of(self.tick_of(node)))

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
                leave_chain(queued(self.slots[i].next))
        free(self.slots)

    cdef int64_t tick_of(self, Node* node) noexcept:
        # Rounded up: never early.
        return (queued(node).due_at + (1 << DUE_SHIFT) - 1) >> DUE_SHIFT

    cpdef int add(self, Entry entry) except -1:
        return enter(self, entry, self.slot_of(self.tick_of(&entry.queue)))

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
            entry = queued(slot.next)
            leave_chain(entry)
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
                entry = guarded(self.slots[i].next)
                self.remove(entry)
        free(self.slots)

    cdef int64_t tick_of(self, Node* node) noexcept:
        return guarded(node).deadline

    cpdef int set(self, Entry entry, int64_t at) except -1:
        """Has ``entry`` expire at ``at``, rounded up to whole seconds; moves it when it is in already."""
        if entry.guard.next != NULL:
            unlink_node(&entry.guard)
        else:
            self.count += 1
            Py_INCREF(entry)
        entry.deadline = <uint32_t>min((at + 999999) // 1000000, 0xFFFFFFFF)
        link_before(&entry.guard, self.slot_of(entry.deadline))
        return 0

    cpdef int set_after(self, Entry entry, int64_t time) except -1:
        """The same for ``time`` after the entry's message was received."""
        return self.set(entry, <int64_t>entry.received * 1000000 + time)

    cpdef bint remove(self, Entry entry) except -1:
        if entry.guard.next == NULL:
            return False
        unlink_node(&entry.guard)
        self.count -= 1
        Py_DECREF(entry)
        return True

    def rebase(self, int64_t delta, int64_t now):
        cdef int i
        cdef Node* node
        for i in range(LEVELS * SLOTS):
            node = self.slots[i].next
            while node != &self.slots[i]:
                move_instants(guarded(node), delta)
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
            entry = guarded(slot.next)
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
                entry = guarded(node)
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
