# cython: language_level=3
"""The control socket: one command line per connection, one JSON line as the answer (README.md).

Not here: what the commands do; the owner's function is called with the command and returns the answer.
"""

from libc.string cimport memchr

from benchmarks.load._listener cimport Listener
from benchmarks.load._loop cimport Loop
from benchmarks.load._stream cimport Stream

cdef enum:
    LONGEST = 1024              # octets of a command


cdef class Control(Listener):
    """``answer(command: str) -> str``, one line without its end."""
    cdef object answer

    def __init__(self, Loop loop not None, sock not None, answer not None):
        Listener.__init__(self, loop, sock)
        self.answer = answer

    cdef int accepted(self, int fd) except -1:
        cdef _Question question = _Question()
        question.control = self
        return question.take_over(self.loop, fd)


cdef class _Question(Stream):
    cdef Control control

    cdef Py_ssize_t received(self, const char* p, Py_ssize_t n) except -1:
        cdef const char* end = <const char*>memchr(p, b"\n", n)
        if end:
            command = p[:end - p].decode("utf-8", "replace").strip()
            self.put_bytes(self.control.answer(command).encode() + b"\n")
            self.flush()
        if end or n > LONGEST:
            self.close()
        return n
