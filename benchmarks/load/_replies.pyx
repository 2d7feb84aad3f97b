# cython: language_level=3
"""Replies of SMTP by stage and code: reading them, and counting them on both sides."""

from libc.stdint cimport int64_t
from libc.string cimport memset

cdef tuple _NAMES = ("greeting", "helo", "tls", "auth", "mail", "rcpt", "data", "content", "rset", "quit")
assert len(_NAMES) == STAGES


cdef str stage_name(int stage):
    return _NAMES[stage]


def stage_number(str name not None):
    """ValueError for an unknown name."""
    return _NAMES.index(name)


cdef int reply_code(const char* p, Py_ssize_t n, bint* goes_on) noexcept nogil:
    if n < 4 or not (50 <= p[0] <= 53 and 48 <= p[1] <= 57 and 48 <= p[2] <= 57):
        return -1
    goes_on[0] = p[3] == b"-"
    if not goes_on[0] and p[3] != b" " and p[3] != b"\r" and p[3] != b"\n":
        return -1
    return (p[0] - 48) * 100 + (p[1] - 48) * 10 + p[2] - 48


cdef class Replies:

    def clear(self):
        memset(self.counts, 0, sizeof(self.counts))

    cdef int count(self, int stage, int code) noexcept:
        self.counts[stage][code - 200] += 1
        return 0

    def by_stage(self):
        """{"mail": {"250": 17}, ...}: what happened at all."""
        cdef int stage, code
        found = {}
        for stage in range(<int>STAGES):
            codes = {str(code + 200): self.counts[stage][code] for code in range(CODES) if self.counts[stage][code]}
            if codes:
                found[_NAMES[stage]] = codes
        return found
