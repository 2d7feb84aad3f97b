# cython: language_level=3
"""C declarations of relay/_mime_lines.pyx."""

from libc.string cimport memchr

from relay._fastparse cimport octets_t

cdef extern from *:
    """
    #ifndef RELAY_LINES
    #define RELAY_LINES
    #include <stddef.h>
    typedef struct { size_t lf, crlf; } relay_lines;
    #endif
    """
    ctypedef struct relay_lines:
        size_t lf, crlf         # line ends counted: all, and those of them with a CR

cdef Py_ssize_t next_candidate(octets_t p, Py_ssize_t at, Py_ssize_t n, relay_lines* lines) noexcept nogil


cdef inline Py_ssize_t find_lf(octets_t p, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    """The offset of the first LF in p[at:n), ``n`` when there is none."""
    cdef const void* found = memchr(p + at, c'\n', n - at) if at < n else NULL
    return <octets_t>found - p if found != NULL else n


cdef inline Py_ssize_t line_text_end(octets_t p, Py_ssize_t start, Py_ssize_t lf, Py_ssize_t n) noexcept nogil:
    """Where the line p[start:lf] ends without its line end; ``lf`` is ``n`` when it has none."""
    return lf - 1 if start < lf < n and p[lf - 1] == c'\r' else lf


cdef inline void count_line(relay_lines* lines, Py_ssize_t end, Py_ssize_t lf, Py_ssize_t n) noexcept nogil:
    if lf < n:
        lines.lf += 1
        lines.crlf += lf > end


cdef inline bint is_hyphens(octets_t p, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    return n - at > 1 and p[at] == c'-' and p[at + 1] == c'-'
