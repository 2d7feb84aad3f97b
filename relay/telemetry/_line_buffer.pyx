# cython: language_level=3
# Nothing in here is pickled, and there are no doctests:
# cython: auto_pickle=False, autotestdict=False
"""Log lines that wait to be written, as octets one after the other in one bounded buffer.

Theory: a line is appended for every message, and taken by another thread some hundred at a time. A list of them under a
lock costs an object and a lock each; here a line is one copy. The interpreter's lock is the only one: no method gives it
up, so each is one step to all threads.

Invariants: what take() returns are whole lines, in the order of put(); ``octets`` never grows beyond ``limit``.

Not here: who writes them, who reports those that are lost (sink.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memchr, memcpy, memmove

cdef extern from "<string.h>" nogil:
    void* memrchr(const void* octets, int octet, size_t size)

cdef enum:
    LEAST = 65536               # octets of room that are kept when nothing waits
    LF = 10


def count_lines(bytes octets not None):
    return _count_lines(PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))


cdef Py_ssize_t _count_lines(const char* p, Py_ssize_t size) noexcept:
    # Octets of log lines go from one LF to the next much faster than one by one.
    cdef const char* end = p + size
    cdef Py_ssize_t lines = 0
    while p < end:
        p = <const char*>memchr(p, LF, end - p)
        if p == NULL:
            break
        lines += 1
        p += 1
    return lines


cdef class WaitingLines:

    def __cinit__(self, Py_ssize_t limit):
        self.limit = limit

    def __dealloc__(self):
        PyMem_Free(self.p)

    @property
    def octets(self):
        """Octets that wait here, and those that were taken and are not settled."""
        return self.end - self.start + self.taken

    cpdef int put(self, bytes line) noexcept:
        """Takes a whole line (a missing LF is added), or several. 0: dropped, because too much waits, there is no memory
        or this is closed; 1: taken; 2: taken, and nothing else waits here."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(line)
        cdef bint has_end = size > 0 and PyBytes_AS_STRING(line)[size - 1] == LF
        cdef Py_ssize_t more = size if has_end else size + 1
        cdef bint is_only = self.start == self.end
        if self.is_closed or self.end - self.start + self.taken + more > self.limit or not self.make_room(more):
            return 0
        memcpy(self.p + self.end, PyBytes_AS_STRING(line), size)
        self.end += more
        if not has_end:
            self.p[self.end - 1] = LF
        return 2 if is_only else 1

    cdef bint make_room(self, Py_ssize_t more) noexcept:
        cdef Py_ssize_t used = self.end - self.start, size = self.size
        cdef char* p
        if self.end + more <= size:
            return True
        if self.start:
            memmove(self.p, self.p + self.start, used)
            self.start, self.end = 0, used
        if used + more <= size:
            return True
        size = max(size, <Py_ssize_t>LEAST)
        while size < used + more:
            size *= 2
        p = <char*>PyMem_Realloc(self.p, size)
        if p == NULL:
            return False
        self.p, self.size = p, size
        return True

    def take(self, Py_ssize_t about):
        """The oldest lines, up to ``about`` octets but at least one line; ``b""`` when none waits. They count as
        waiting until settle() or forget()."""
        cdef Py_ssize_t size = self.end - self.start
        cdef char* first = self.p + self.start
        cdef char* last
        cdef bytes lines
        if size > about:
            last = <char*>memrchr(first, LF, max(about, <Py_ssize_t>0))
            if last == NULL:
                last = <char*>memchr(first, LF, size)
            size = last - first + 1
        lines = PyBytes_FromStringAndSize(first, size)
        self.start += size
        self.taken += size
        if self.start == self.end:
            self.empty()
        return lines

    def settle(self, Py_ssize_t octets):
        """``octets`` of what was taken do not wait any more."""
        self.taken -= octets

    def forget(self):
        """Nothing of what was taken waits any more."""
        self.taken = 0

    def drop(self):
        """Drops all that waits here; returns how many lines these were."""
        cdef Py_ssize_t lines = _count_lines(self.p + self.start, self.end - self.start)
        self.empty()
        return lines

    def close(self):
        """Nothing is taken from now on."""
        self.is_closed = True

    cdef void empty(self) noexcept:
        self.start = self.end = 0
        if self.size > LEAST:
            PyMem_Free(self.p)
            self.p = NULL
            self.size = 0
