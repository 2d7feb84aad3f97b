# cython: language_level=3
"""A histogram of durations with a fixed relative error, like HdrHistogram: recording costs some nanoseconds,
percentiles are exact to 0.8 %.

Theory: values below 256 have a cell each; above that, every power of two is divided into 128 cells. A percentile is
given as the middle of its cell, the least and the greatest value exactly.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

cdef extern from *:
    """
    static inline int load_width(int64_t value) { return 64 - __builtin_clzll((unsigned long long)value | 1); }
    """
    int load_width(int64_t value) noexcept nogil


cdef class Histogram:

    def __cinit__(self):
        self.clear()

    def clear(self):
        memset(self.cells, 0, sizeof(self.cells))
        self.count = self.most = 0
        self.least = 0
        self.total = 0

    cdef int add(self, int64_t nanoseconds) noexcept:
        cdef int shift
        if nanoseconds < 0:
            nanoseconds = 0
        shift = load_width(nanoseconds) - 8
        if shift < 0:
            shift = 0
        self.cells[shift * 128 + (nanoseconds >> shift)] += 1
        if nanoseconds > self.most:
            self.most = nanoseconds
        if self.count == 0 or nanoseconds < self.least:
            self.least = nanoseconds
        self.count += 1
        self.total += nanoseconds
        return 0

    def record(self, int64_t nanoseconds):
        self.add(nanoseconds)

    def percentile(self, double percent):
        """In seconds; 0 when there is nothing."""
        cdef int64_t wanted = <int64_t>(self.count * percent / 100 + 0.9999999)
        cdef int64_t seen = 0
        cdef Py_ssize_t cell
        cdef int64_t middle
        cdef int shift
        if self.count == 0:
            return 0.0
        wanted = max(wanted, 1)
        for cell in range(CELLS):
            seen += self.cells[cell]
            if seen >= wanted:
                break
        shift = <int>(max(cell // 128 - 1, 0))
        middle = (<int64_t>(cell - shift * 128) << shift) + ((<int64_t>1 << shift) >> 1)
        return min(max(middle, self.least), self.most) / 1e9

    def summary(self):
        """Count, and least, mean, percentiles and greatest in seconds."""
        return {
            "count": self.count,
            "min": self.least / 1e9,
            "mean": self.total / self.count / 1e9 if self.count else 0.0,
            "p50": self.percentile(50),
            "p90": self.percentile(90),
            "p99": self.percentile(99),
            "p99.9": self.percentile(99.9),
            "max": self.most / 1e9,
        }
