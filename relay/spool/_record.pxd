# cython: language_level=3
"""C declarations of relay/spool/_record.pyx."""

cpdef Py_ssize_t record_size(bytes envelope, bytes large, object content) except -1
