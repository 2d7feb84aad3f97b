# cython: language_level=3
"""C declarations of relay/telemetry/sink.py."""

from relay.telemetry._line_buffer cimport WaitingLines as _WaitingLines


cdef class LogSink:
    cdef object _path, _fd, _row, _lock, _wake, _closing
    cdef dict _identity
    cdef _WaitingLines _waiting
    cdef Py_ssize_t _lost, _lost_told
    cdef double _gather
    cdef bint _reopen
    cdef readonly object _thread
    cdef object __weakref__

    cpdef append(self, bytes line)
