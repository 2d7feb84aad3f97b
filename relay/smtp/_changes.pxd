# cython: language_level=3
"""C declarations of relay/smtp/_changes.pyx."""

from relay.smtp._transaction cimport Transaction

cdef int carry_out(Transaction t) except -1
