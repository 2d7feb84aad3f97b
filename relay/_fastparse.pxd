# cython: language_level=3
"""C declarations of relay/_fastparse.pyx, for the compiled sessions to cimport.

Everything takes a pointer and offsets and returns offsets: nothing here owns, allocates or keeps a buffer, except
the few functions that return ``bytes``. Offsets are always relative to ``p``; ``end`` and ``n`` are exclusive.
"""

from libc.stdint cimport int64_t
from libc.string cimport memchr

ctypedef const unsigned char* octets_t

cdef extern from "<assert.h>" nogil:
    # Checked in the debug build only.
    void invariant "assert"(bint statement) noexcept


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef inline unsigned char lower(unsigned char c) noexcept nogil:
    return c + 32 if c'A' <= c <= c'Z' else c


cdef inline int hex_value(unsigned char c) noexcept nogil:
    """0 to 15; -1 when ``c`` is no hexadecimal digit."""
    if is_digit(c):
        return c - c'0'
    c = lower(c)
    return c - c'a' + 10 if c'a' <= c <= c'f' else -1


cdef inline Py_ssize_t find(octets_t p, unsigned char c, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    """The offset of the first ``c`` in p[start:end), -1 when there is none."""
    if start >= end:
        return -1
    cdef const void* found = memchr(p + start, c, end - start)
    return <octets_t>found - p if found != NULL else -1


# --- lines and commands (RFC 5321 2.3.8, 4.1.1) ---

cdef enum Verb:
    V_NONE = 0      # not a verb that we know
    V_HELO
    V_EHLO
    V_LHLO
    V_MAIL
    V_RCPT
    V_DATA
    V_BDAT
    V_RSET
    V_NOOP
    V_VRFY
    V_EXPN
    V_HELP
    V_QUIT
    V_STARTTLS
    V_AUTH
    V_HTTP          # the request line of HTTP: a browser, or a cross-protocol attack; hang up
    V_TLS           # the first octet of a TLS handshake (0x16) on a plain port (a CRLF may never come)

cdef enum Fault:
    F_NONE = 0
    F_BARE_CR
    F_BARE_LF
    F_NUL
    F_TOO_LONG      # set by sessions, which know their limits; never set here
    F_NOT_ASCII     # set by sessions from has_eight_bit(); never set here

# The offset just past the CRLF of the line that begins at ``start``; -1 while there is none. A bare LF ends the line
# too: the offset past it is returned with F_BARE_LF or an earlier fault. ``fault`` is the first fault found so far (it
# may be set with -1); a CR that is the last octet read is not yet a fault.
# The line without its end is p[start:result-2], but p[start:result-1] after a bare LF: look at ``fault`` first.
cdef Py_ssize_t next_line(const char* p, Py_ssize_t start, Py_ssize_t n, int* fault) noexcept nogil

# Whether p[start:end) holds an octet above 127.
cdef bint has_eight_bit(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil

# Whether p[start:end) is ``upper`` (a C string in upper case), in any letter case.
cdef bint equals(const char* p, Py_ssize_t start, Py_ssize_t end, const char* upper) noexcept nogil

# The number of 1 to 20 digits in p[start:end), -1 when it is not one; INT64_MAX stands for all larger numbers.
cdef int64_t decimal(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil

# The Verb of the line p[start:end) (without its CRLF); the argument without outer spaces is p[arg_start:arg_end).
cdef int command(const char* p, Py_ssize_t start, Py_ssize_t end,
                 Py_ssize_t* arg_start, Py_ssize_t* arg_end) noexcept nogil

# --- content: end of data, dots (RFC 5321 4.1.1.4, 4.5.2) ---

cdef enum ContentState:
    C_LINE_START = 0    # after CRLF, or nothing read yet
    C_TEXT              # inside a line
    C_CR                # after a CR inside a line
    C_DOT               # after a dot at the start of a line
    C_DOT_CR            # after ".CR" at the start of a line
    C_END               # after the end of data

cdef struct ContentScan:
    int state               # ContentState
    bint dots               # a line other than the last begins with a dot as sent: the content must be unstuffed
    bint dots_left          # a line still begins with a dot once it is unstuffed (Envelope flag DOTS)
    bint eight_bit          # an octet above 127
    int fault               # the first of F_BARE_CR, F_BARE_LF, F_NUL, or F_NONE
    Py_ssize_t line_length  # octets of the unfinished line so far (without a stuffed dot)
    Py_ssize_t longest_line # octets of the longest finished line, without its CRLF and without a stuffed dot

# A fresh scan, as after "DATA CRLF".
cdef void content_scan_init(ContentScan* s) noexcept nogil

# Scans p[start:n). Returns the offset just past the end of data (CRLF.CRLF; ".CRLF" at once for empty content), or -1
# for "more". Nothing else ends the data; faults are noted and the scan goes on to the true end, so that the session
# stays in step. Feed each octet once. The content is all that came before the final ".CRLF", with its last CRLF: when
# it was one buffer, p[start:result-3), to be unstuffed only if ``dots``.
cdef Py_ssize_t scan_content(ContentScan* s, const char* p, Py_ssize_t start, Py_ssize_t n) noexcept nogil

# The same for octets of a chunk (RFC 3030): dots mean nothing and there is no end, so ``dots`` stays False, and
# ``dots_left`` says whether a line begins with a dot.
cdef void scan_chunk(ContentScan* s, const char* p, Py_ssize_t start, Py_ssize_t n) noexcept nogil

# The line that the octets so far end with is over, as after a CRLF.
cdef inline void content_line_over(ContentScan* s) noexcept nogil:
    if s.line_length > s.longest_line:
        s.longest_line = s.line_length
    s.line_length = 0
    s.state = C_LINE_START

# Unstuffs a stream: ``state`` begins as C_LINE_START; ``out`` needs room for n - start + 1 octets; returns how many
# were written. Feed what scan_content was fed, up to its result: the final ".CRLF" is dropped, also when it is split.
cdef Py_ssize_t unstuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil

# Stuffs a stream: ``state`` begins as C_LINE_START; ``out`` needs room for 2 * (n - start) octets; returns how many
# were written. The final ".CRLF" is the caller's.
cdef Py_ssize_t stuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil

# The same for a whole content (without the final ".CRLF").
cdef bytes unstuff_octets(const char* p, Py_ssize_t start, Py_ssize_t n)
cpdef bytes unstuff(bytes content)
cpdef bytes stuff(bytes content)

# --- header section (RFC 5322 2.2) ---

cdef enum HeaderFlag:
    H_DATE = 1
    H_MESSAGE_ID = 2
    H_FROM = 4
    H_TO = 8
    H_CC = 16
    H_BCC = 32
    H_SENDER = 64
    H_SUBJECT = 128
    H_RETURN_PATH = 256
    H_MIME_VERSION = 512
    H_CONTENT_TYPE = 1024

cdef struct HeaderScan:
    Py_ssize_t end          # the offset of the empty line, or of the first line that is no field
    Py_ssize_t body         # where the body begins: past the empty line; equal to ``end`` when there is none
    int fields              # how many fields
    int received            # how many of them are Received (loops: RFC 5321 6.3)
    int delivered_to        # how many are Delivered-To
    int flags               # HeaderFlag of the fields that are there
    bint malformed          # a line that is no field stands where the empty line should

cdef HeaderScan scan_header(const char* p, Py_ssize_t n) noexcept nogil
