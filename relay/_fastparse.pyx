# cython: language_level=3

cdef Py_ssize_t next_line(const char* p, Py_ssize_t start, Py_ssize_t n, int* fault) noexcept nogil:
    return 0

cdef bint has_eight_bit(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    return 0

cdef int command(const char* p, Py_ssize_t start, Py_ssize_t end,
                 Py_ssize_t* arg_start, Py_ssize_t* arg_end) noexcept nogil:
    return 0

cdef int path_argument(const char* p, Py_ssize_t start, Py_ssize_t end, int verb, PathArgument* out) noexcept nogil:
    return 0

cdef int mailbox(const char* p, Py_ssize_t start, Py_ssize_t end, PathArgument* out) noexcept nogil:
    return 0

cdef bytes path_address(const char* p, const PathArgument* path):
    return b""

cdef int host_kind(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    return 0

cdef int next_param(const char* p, Py_ssize_t* at, Py_ssize_t end, Param* out) noexcept nogil:
    return 0

cdef int64_t decimal(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    return 0

cdef bint equals(const char* p, Py_ssize_t start, Py_ssize_t end, const char* upper) noexcept nogil:
    return 0

cdef bytes xtext_octets(const char* p, Py_ssize_t start, Py_ssize_t end):
    return b""

cpdef bytes xtext(bytes octets):
    return b""

cdef void content_scan_init(ContentScan* s) noexcept nogil:
    s.state = 0

cdef Py_ssize_t scan_content(ContentScan* s, const char* p, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    return 0

cdef Py_ssize_t unstuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil:
    return 0

cdef Py_ssize_t stuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil:
    return 0

cpdef bytes unstuff(bytes content):
    return b""

cpdef bytes stuff(bytes content):
    return b""

cdef HeaderScan scan_header(const char* p, Py_ssize_t n) noexcept nogil:
    cdef HeaderScan found
    found.end = n
    return found

cdef Py_ssize_t scan_reply(const char* p, Py_ssize_t start, Py_ssize_t n, ReplyScan* out) noexcept nogil:
    return 0

cdef Py_ssize_t next_reply_line(const char* p, Py_ssize_t at, Py_ssize_t end,
                                Py_ssize_t* text_start, Py_ssize_t* text_end) noexcept nogil:
    return 0

cdef bytes reply_text(const char* p, Py_ssize_t start, Py_ssize_t end):
    return b""

cdef Py_ssize_t json_escape_into(const char* p, Py_ssize_t n, char* out) noexcept nogil:
    return 0

cpdef bytes json_escape(bytes octets):
    return b""

