# cython: language_level=3
"""C declarations of relay/queue/_entry.pyx."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef struct Node:
    Node* prev
    Node* next


@cython.final
cdef class Entry:
    cdef Node queue
    cdef Node guard
    # The Chain the queue node is in, borrowed: a chain empties itself before it goes.
    cdef void* chain
    cdef public object group
    cdef public object indexes
    cdef public object reason
    cdef readonly uint64_t number
    cdef public int64_t due_at
    cdef public uint32_t log
    cdef public uint32_t segment
    cdef public uint32_t offset
    cdef public uint32_t size
    cdef uint32_t received
    cdef uint32_t deadline
    cdef public uint32_t count
    cdef public uint16_t attempts
    cdef public uint8_t flags
    cdef public uint8_t state


cpdef bint leave(Entry entry) except -1
cpdef Entry new_entry(uint32_t log, uint32_t segment, uint32_t offset, uint32_t size, str queue_id,
                      int64_t received_at, object group, object indexes, uint32_t count, int flags)


cdef class Chain:
    cdef Py_ssize_t count


@cython.final
cdef class EntryList(Chain):
    cdef Node head

    cpdef int append(self, Entry entry) except -1
    cpdef int appendleft(self, Entry entry) except -1
    cpdef Entry popleft(self)


cdef class _Slots(Chain):
    cdef Node* slots
    cdef int64_t current

    cdef Node* slot_of(self, int64_t tick) noexcept
    cdef int64_t tick_of(self, Node* node) noexcept
    cdef void spread(self, Node* slot) noexcept
    cdef void replace_all(self, int64_t current) noexcept
    cdef void go(self, int64_t tick) noexcept
    cdef Node* due_slot(self, int64_t target) noexcept
    cdef int64_t next_tick(self) noexcept


@cython.final
cdef class DueWheel(_Slots):
    cpdef int add(self, Entry entry) except -1


@cython.final
cdef class DeadlineWheel(_Slots):
    cpdef int set(self, Entry entry, int64_t at) except -1
    cpdef int set_after(self, Entry entry, int64_t time) except -1
    cpdef bint remove(self, Entry entry) except -1
