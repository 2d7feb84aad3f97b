# cython: language_level=3
# Counting in compiled code. Nothing to build and nothing imported at run time but the table of metrics:
#
#     from relay.telemetry.cells cimport Histogram, find_histogram, observe, row_pointer
#     from libc.stdint cimport uint64_t
#
#     cdef uint64_t* row = row_pointer(context.row)          # keep context.row alive as long as the pointer
#     cdef Py_ssize_t replies = metrics.index("relay_smtp_replies_total", "250")
#     cdef Histogram wait
#     find_histogram(&wait, "relay_spool_sync_seconds")      # once, at start; more label values follow the name
#     row[replies] += 1
#     observe(row, &wait, microseconds)
#
# A row has one writing process, which writes holding the GIL.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint64_t

cdef struct Histogram:
    Py_ssize_t first          # index of the first bucket in a row
    int count                 # bounds
    uint64_t bounds[24]       # cell units, rising


cdef inline void observe(uint64_t* row, const Histogram* histogram, int64_t value) noexcept nogil:
    # Counts one value in cell units; a negative one (a clock that stepped back) counts as 0.
    cdef uint64_t size = 0 if value < 0 else <uint64_t>value
    cdef int bucket = 0
    while bucket < histogram.count and size > histogram.bounds[bucket]:
        bucket += 1
    row[histogram.first + bucket] += 1
    row[histogram.first + histogram.count + 1] += size


cdef inline int find_histogram(Histogram* histogram, str name, str value=None) except -1:
    # Fills in a declared histogram's place; raises UnknownMetricError (a LookupError) for anything else.
    from relay.telemetry import metrics
    cdef object cells = metrics.histogram_cells(name) if value is None else metrics.histogram_cells(name, value)
    cdef Py_ssize_t bucket
    if len(cells.bounds) > 24:
        raise OverflowError(f"{name} has more than 24 bounds")
    histogram.first = cells.first
    histogram.count = <int>len(cells.bounds)
    for bucket in range(histogram.count):
        histogram.bounds[bucket] = cells.bounds[bucket]
    return 0


cdef inline uint64_t* row_pointer(object row) except NULL:
    # The cells of a row taken from a CountersPage; raises ValueError for a buffer too small for the table.
    # The pointer stays good while ``row`` is alive (the memory below it is never moved or unmapped before).
    from relay.telemetry import metrics
    cdef Py_buffer view
    cdef uint64_t* cells
    PyObject_GetBuffer(row, &view, PyBUF_WRITABLE | PyBUF_FORMAT | PyBUF_ND)
    cells = <uint64_t*>view.buf
    cdef Py_ssize_t size = view.len
    PyBuffer_Release(&view)
    if size < <Py_ssize_t>(metrics.ROW_CELLS * sizeof(uint64_t)):
        raise ValueError("not a whole row of counters")
    return cells
