# cython: language_level=3
"""C declarations of relay/queue/_wheels.pyx."""

cimport cython
from libc.stdint cimport int64_t

from relay.queue._entry cimport Chain, Entry, Node


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
