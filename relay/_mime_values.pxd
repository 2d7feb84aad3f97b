# cython: language_level=3
"""C declarations of relay/_mime_values.pyx. Offsets are relative to ``p``; ends are exclusive."""

from libc.stdint cimport uint32_t

from relay._fastparse cimport octets_t

cdef enum:
    BOUNDARY_LIMIT = 250    # octets; RFC 2046 5.1.1 allows 70


cdef inline bint is_space(unsigned char c) noexcept nogil:
    return c == c' ' or c == c'\t' or c == c'\r' or c == c'\n'


cdef enum Encoding:         # RFC 2045 6.1; without the field it is 7bit
    ENCODING_7BIT = 0
    ENCODING_8BIT
    ENCODING_BINARY
    ENCODING_BASE64
    ENCODING_QUOTED_PRINTABLE
    ENCODING_OTHER

cdef struct Slice:
    uint32_t start
    uint32_t end

# One parameter of a structured field value (RFC 2045 5.1, RFC 2183 2).
cdef struct Parameter:
    Py_ssize_t name_start
    Py_ssize_t name_end
    Py_ssize_t value_start  # inside the quotes
    Py_ssize_t value_end
    bint is_quoted          # unquote() is needed

# The offset of the colon of the field in the line p[at:end), where ``name_end`` says where its name ends; -1 when the line
# is no field (RFC 5322 3.6.8, 4.5).
cdef Py_ssize_t field_colon(octets_t p, Py_ssize_t at, Py_ssize_t end, Py_ssize_t* name_end) noexcept nogil

# The next parameter of the value p[start:end), searched from ``at`` (begin with the value's start). Returns where to go
# on, -1 when there is none. All calls for one value together look at each octet a bounded number of times.
cdef Py_ssize_t next_parameter(const char* p, Py_ssize_t at, Py_ssize_t end, Parameter* out) noexcept nogil

# Copies the value without escapes and folds to ``out``, which has room for value_end - value_start octets; returns how
# many were written.
cdef Py_ssize_t unquote(const char* p, const Parameter* parameter, char* out) noexcept nogil

# Reads ``type "/" subtype`` at the start of a Content-Type; False, and both slices untouched, when it is malformed.
cdef bint media_type(octets_t p, Slice value, Slice* type, Slice* subtype) noexcept nogil

# The Encoding that a Content-Transfer-Encoding names.
cdef int transfer_encoding(octets_t p, Slice value) noexcept nogil

# Writes the boundary of a Content-Type to ``out`` (BOUNDARY_LIMIT octets); its length, 0 when none can be used.
# A plain parameter counts before an RFC 2231 one, the first one of a name before others.
cdef int read_boundary(octets_t p, Slice value, char* out) noexcept nogil
