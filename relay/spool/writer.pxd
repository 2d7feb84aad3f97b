# cython: language_level=3
"""C declarations of relay/spool/writer.py."""

from libc.stdint cimport int64_t

from relay.spool._record cimport record_size
from relay.spool.log cimport Log as _Log


cdef class _State:
    cdef public int64_t end, told_end
    cdef public bint is_closed
    cdef public Py_ssize_t records, told_records
    cdef public list large


cdef class LogWriter:
    cdef readonly object number
    cdef readonly _Log _log
    cdef readonly object _room, _waiting, _is_preparing_failed
    cdef object _large_folder, _files, _segment_size, _loop, _on_committed, _on_sync, _on_event, _reports, _links
    cdef object _executor, _large, _writing, _told, _drained, _last_segment, _syncer, _tasks, _tending
    cdef dict _segments
    cdef list _batch
    cdef bint _is_begun, _needs_segment, _is_patient, _is_open, _is_accepting
    cdef double _told_at
    cdef object __weakref__

    cpdef append(self, bytes envelope, object content, object waiter, object large=*)
    cdef object _committed(self, list items, object commit, object seconds)
    cdef object _notify(self, object segment, _State state)
    cpdef object _answer(self, list waiters, object error)
    cdef bint _gather(self) except -1
    cdef object _tell_all(self)
    cdef object _ended(self, object commit, object seconds)
