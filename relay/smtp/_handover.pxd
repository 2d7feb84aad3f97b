# cython: language_level=3
"""C declarations of relay/smtp/_handover.pyx."""

from relay.smtp._speaker cimport Speaker

cdef class Handover(Speaker):
    cdef int submit(self) except -1
    cdef int append(self, list parts, object large) except -1
    cdef int settle(self, object error) except -1
    cdef int refuse_content(self, str stage, object reply, str reason) except -1
