# cython: language_level=3
"""C declarations of relay/delivery/_replies.pyx. Offsets are relative to ``p``; ``end`` and ``n`` are exclusive."""

from libc.stdint cimport int64_t


cdef enum ReplyFault:
    R_NONE = 0
    R_SYNTAX            # not three digits, 200 to 599, and a space, a hyphen or the end of the line
    R_CODE_CHANGED      # a line with another code than the first
    R_BARE_LF           # an LF without CR, or a NUL
    R_TOO_LONG          # over REPLY_LIMIT octets

cdef enum:
    REPLY_LIMIT = 32768

cdef struct ReplyScan:
    int code
    int lines
    int fault               # ReplyFault
    int status_class        # the enhanced status of the last line (else of the first), whatever its class; 0: there is none
    int status_subject
    int status_detail
    Py_ssize_t text_start   # the text of the last line without code and status (but with 4.0.0 and 5.0.0)
    Py_ssize_t text_end

# What EHLO or LHLO is answered with.
cdef struct Extensions:
    bint pipelining
    bint chunking
    bint eight_bit_mime
    bint smtputf8
    bint has_size
    int64_t size_limit      # 0: none is known

# Reads one whole reply from p[start:n). Returns the offset past it; -1 for "more"; -2 for malformed (``fault`` says why).
cdef Py_ssize_t scan_reply(const char* p, Py_ssize_t start, Py_ssize_t n, ReplyScan* out) noexcept nogil

# Walks the lines of a whole reply p[at:end): sets the text of the line at ``at`` (after "250-", status not removed) and
# returns the offset of the next line; -1 when ``at`` is ``end``.
cdef Py_ssize_t next_reply_line(const char* p, Py_ssize_t at, Py_ssize_t end,
                                Py_ssize_t* text_start, Py_ssize_t* text_end) noexcept nogil

# The texts of all lines of the whole reply p[start:end), statuses removed, joined with one space.
cdef bytes reply_text(const char* p, Py_ssize_t start, Py_ssize_t end)

# Reads a whole positive reply p[at:end) to EHLO or LHLO (RFC 5321 4.1.1.1); sets what it offers, and nothing else.
cdef void read_extensions(const char* p, Py_ssize_t at, Py_ssize_t end, Extensions* offered) noexcept
