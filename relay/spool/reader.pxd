# cython: language_level=3
"""C declarations of relay/spool/reader.py."""

from libc.stdint cimport int64_t

from relay.spool._record_cache cimport Remembered as _Remembered


cdef class LogReader:
    cdef object _spool_dir, _files, _on_damage, _reported, _open, _marks
    cdef _Remembered _tailed, _ahead
    cdef dict _next

    cpdef object remember(self, list records)
    cpdef object remembered(self, int64_t log, int64_t segment, int64_t offset)
    cpdef object load(self, int64_t log, int64_t segment, int64_t offset)
    cdef object _read_ahead(self, bytes octets, object identity, int64_t offset)
    cdef object _damaged(self, tuple ref, bytes octets, str reason, str queue_id)
    cdef tuple _file(self, int64_t log, int64_t segment)
    cpdef object let_go(self)
    cdef object _forget(self, tuple key)
