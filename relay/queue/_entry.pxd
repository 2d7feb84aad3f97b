# cython: language_level=3
"""C declarations of relay/queue/_entry.pyx."""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
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


# Where the nodes of an entry are, in octets from its beginning.
cdef Py_ssize_t QUEUE_AT
cdef Py_ssize_t GUARD_AT

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


cdef inline void link_before(Node* node, Node* mark) noexcept:
    node.prev = mark.prev
    node.next = mark
    mark.prev.next = node
    mark.prev = node


cdef inline void unlink_node(Node* node) noexcept:
    node.prev.next = node.next
    node.next.prev = node.prev
    node.prev = NULL
    node.next = NULL


cdef inline Entry queued(Node* node):
    return <Entry><void*>(<char*>node - QUEUE_AT)


cdef inline Entry guarded(Node* node):
    return <Entry><void*>(<char*>node - GUARD_AT)


cdef inline bint leave_chain(Entry entry):
    # A module function: a cdef method would give every entry a pointer to a method table.
    if entry.queue.next == NULL:
        return False
    unlink_node(&entry.queue)
    (<Chain>entry.chain).count -= 1
    entry.chain = NULL
    Py_DECREF(entry)
    return True


cdef inline int enter(Chain chain, Entry entry, Node* before) except -1:
    if entry.queue.next != NULL:
        raise ValueError("the entry waits somewhere else")
    link_before(&entry.queue, before)
    entry.chain = <void*>chain
    chain.count += 1
    Py_INCREF(entry)
    return 0


cdef inline void move_instants(Entry entry, int64_t delta) noexcept:
    cdef int64_t seconds = delta // 1000000
    entry.received = <uint32_t>max(0, min(<int64_t>entry.received + seconds, 0xFFFFFFFF))
    entry.deadline = <uint32_t>max(0, min(<int64_t>entry.deadline + seconds, 0xFFFFFFFF))
    if entry.due_at:
        entry.due_at = max(1, entry.due_at + delta)
