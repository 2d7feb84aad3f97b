# cython: language_level=3
from benchmarks.load._loop cimport Endpoint


cdef class Listener(Endpoint):
    cdef object socket
    # Accepts what waits and hands each descriptor to the machine.
    cdef int accepted(self, int fd) except -1
