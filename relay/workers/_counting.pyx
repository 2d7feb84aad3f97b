# cython: language_level=3, auto_pickle=False, autotestdict=False
"""What is counted for every attempt and every outcome. Documented in _counting.pyi.

Not here: what is counted now and then (settle.py, meters.py).
"""

from libc.stdint cimport int64_t

from relay.telemetry.cells cimport find_histogram, observe, row_pointer

from relay.mail.outcome import DELIVERED as _DELIVERED, DISCARDED as _DISCARDED
from relay.telemetry import metrics as _metrics


cdef class DeliveryCells:

    def __init__(self, row):
        self.kept = row
        self.row = row_pointer(row)
        self.outcomes = {
            kind: _metrics.index("relay_delivery_recipients_total", kind)
            for kind in ("delivered", "deferred", "failed", "expired", "discarded")
        }
        self.stages = {stage: _metrics.index("relay_delivery_failures_total", stage) for stage in _metrics.STAGES}
        self.other_stage = self.stages["reply"]
        self.replies = _metrics.by_code("relay_delivery_replies_total")
        self.tries = _by_transport("relay_delivery_attempts_total")
        self.sent = _by_transport("relay_delivery_sent_bytes_total")
        self.reused = _metrics.index("relay_delivery_connections_reused_total")
        find_histogram(&self.delay, "relay_delivery_delay_seconds")
        find_histogram(&self.transfer, "relay_delivery_stage_seconds", "transfer")

    cpdef int tried(self, str transport, bint is_delivered, int64_t size, bint is_reused,
                    int64_t transfer) except -1:
        self.row[<Py_ssize_t>self.tries[transport]] += 1
        if is_delivered:
            self.row[<Py_ssize_t>self.sent[transport]] += size
        if is_reused:
            self.row[self.reused] += 1
        if transfer >= 0:
            observe(self.row, &self.transfer, transfer)
        return 0

    cpdef int outcome(self, str kind, Py_ssize_t code, str stage, int64_t delay) except -1:
        self.row[<Py_ssize_t>self.outcomes[kind]] += 1
        if kind == _DELIVERED:
            observe(self.row, &self.delay, delay)
        elif kind != _DISCARDED:
            self.row[<Py_ssize_t>self.stages.get(stage, self.other_stage)] += 1
        if code:
            self.row[<Py_ssize_t>self.replies[code]] += 1
        return 0


cdef dict _by_transport(str name):
    return {transport: _metrics.index(name, transport) for transport in ("smtp", "lmtp", "local")}
