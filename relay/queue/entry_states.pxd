# cython: language_level=3
"""C declarations of relay/queue/entry_states.py."""

cimport cython
from libc.stdint cimport int64_t

from relay.queue._entry cimport Entry as _Entry
from relay.queue._entry cimport EntryList as _EntryList
from relay.queue._entry cimport leave
from relay.queue._wheels cimport DeadlineWheel as _DeadlineWheel
from relay.queue._wheels cimport DueWheel as _DueWheel
from relay.queue.group cimport Group as _Group
from relay.queue.group cimport Target as _Target
from relay.queue.ledger cimport Ledger
from relay.queue.connection_pool cimport Pool


cdef class Places:
    cdef readonly _DueWheel due
    cdef readonly _DeadlineWheel deadlines
    cdef readonly _EntryList held
    cdef public Py_ssize_t active
    cdef int64_t _lifetime, _first_deadline
    cdef Pool _pool
    cdef object _domains
    cdef Ledger _ledger

    @cython.locals(target=_Target)
    cpdef object enter(self, _Entry entry, int64_t now)
    cpdef object place(self, _Entry entry, int64_t now)
    cdef object _guard(self, _Entry entry)
    @cython.locals(group=_Group)
    cpdef object ready(self, _Entry entry, int64_t now)
    cpdef object forget(self, _Entry entry, int64_t now)
    cpdef object delivered(self, _Entry entry, int64_t now)
    @cython.locals(target=_Target)
    cdef object _leave(self, _Entry entry)
