# cython: language_level=3
"""C declarations of relay/smtp/_parameters.pyx. Offsets are relative to ``p``; ``end`` is exclusive."""

cdef enum Keyword:
    K_OTHER = 0
    K_SIZE          # RFC 1870
    K_BODY          # RFC 6152
    K_SMTPUTF8      # RFC 6531
    K_RET           # RFC 3461
    K_ENVID
    K_NOTIFY
    K_ORCPT
    K_AUTH          # RFC 4954 5
    K_BY            # RFC 2852
    K_MT_PRIORITY   # RFC 6710
    K_REQUIRETLS    # RFC 8689

cdef struct Param:
    int keyword                 # a Keyword
    Py_ssize_t keyword_start
    Py_ssize_t keyword_end
    Py_ssize_t value_start      # -1 when there is no "="
    Py_ssize_t value_end

# The next parameter KEY or KEY=VALUE of p[*at:end). 1: found, *at moves behind it; 0: no more; -1: malformed.
cdef int next_param(const char* p, Py_ssize_t* at, Py_ssize_t end, Param* out) noexcept nogil

# Whether p[start:end) is xtext (RFC 3461 4).
cdef bint is_xtext(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil
