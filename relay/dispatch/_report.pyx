# cython: language_level=3, auto_pickle=False, autotestdict=False
"""What is counted and logged for every attempt and every outcome. Documented in _report.pyi.

Outcomes and envelopes are named tuples: their fields are read by place here, in one look each.

Not here: what is counted now and then (settle.py, meters.py), where lines go (relay/telemetry/sink.py).
"""

from libc.stdint cimport int64_t

from relay.delivery._delivery cimport Delivery
from relay.queue._entry cimport Entry
from relay.queue.group cimport Group
from relay.telemetry._lines cimport Line
from relay.telemetry.cells cimport find_histogram, observe, row_pointer
from relay.dispatch._attempt cimport Attempt
from relay.net.clock cimport now_us

from relay.mail.outcome import DEFERRED as _DEFERRED, DELIVERED as _DELIVERED, DISCARDED as _DISCARDED
from relay.mail.outcome import EXPIRED as _EXPIRED, FAILED as _FAILED
from relay.telemetry import lines as _lines, metrics as _metrics

cdef str DEFERRED = _DEFERRED, DELIVERED = _DELIVERED, DISCARDED = _DISCARDED
cdef str EXPIRED = _EXPIRED, FAILED = _FAILED

cdef enum:                      # places in an Outcome
    KIND = 0
    CODE
    STATUS
    TEXT
    STAGE
    NEXT_HOP

cdef enum:                      # places in an Envelope
    QUEUE_ID = 0
    RECEIVED_AT = 1
    REVERSE_PATH = 2
    SIZE = 5


cdef class DeliveryReport:

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
        self.line = _lines.DELIVERY
        self.lines = []

    cpdef int tried(self, Attempt attempt, tuple outcomes, Py_ssize_t use) except -1:
        cdef str transport = _transport(_key(attempt.entry))
        cdef object outcome
        self.row[<Py_ssize_t>self.tries[transport]] += 1
        for outcome in outcomes:
            if (<tuple>outcome)[KIND] == DELIVERED:
                self.row[<Py_ssize_t>self.sent[transport]] += attempt.size
                break
        if use > 1:
            self.row[self.reused] += 1
        if attempt.finished_at:
            observe(self.row, &self.transfer, _transfer(attempt))
        return 0

    cpdef bint settled(self, Entry entry, object envelope, tuple recipients, tuple outcomes, Attempt attempt,
                    Py_ssize_t use, Py_ssize_t number) except -1:
        cdef int64_t now = now_us()
        cdef tuple fields = None
        cdef int64_t received_at = min(_received_at(entry, envelope), now)
        cdef object outcome, kind, first = outcomes[0]
        cdef bint is_one = True, is_over = False
        cdef Py_ssize_t at
        if envelope is not None:
            fields = <tuple>envelope
        for outcome in outcomes:
            kind = self.count(<tuple>outcome, now - received_at)
            is_over = is_over or kind == FAILED or kind == EXPIRED
            is_one = is_one and (outcome is first or outcome == first)
        if is_one:
            self.add_line(entry, fields, recipients, <tuple>first, attempt, use, number, now)
            return is_over
        for at in range(min(len(recipients), len(outcomes))):
            self.add_line(entry, fields, (recipients[at],), <tuple>outcomes[at], attempt, use, number, now)
        return is_over

    cdef str count(self, tuple outcome, int64_t delay):
        cdef str kind = outcome[KIND]
        cdef object code = outcome[CODE]
        self.row[<Py_ssize_t>self.outcomes[kind]] += 1
        if kind == DELIVERED:
            observe(self.row, &self.delay, delay)
        elif kind != DISCARDED:
            self.row[<Py_ssize_t>self.stages.get(outcome[STAGE], self.other_stage)] += 1
        if code:
            self.row[<Py_ssize_t>self.replies[code]] += 1
        return kind

    cdef int add_line(self, Entry entry, tuple envelope, tuple recipients, tuple outcome, Attempt attempt,
                  Py_ssize_t use, Py_ssize_t number, int64_t now) except -1:
        cdef str key = _key(entry)
        cdef int64_t received_at = min(_received_at(entry, envelope), now)
        cdef int64_t spent
        cdef object transfer = None, queued = None, connect = None
        if attempt is not None:
            if attempt.finished_at:
                spent = _transfer(attempt)
                transfer, queued = spent, max(now - received_at - spent, 0)
            if attempt.connect_seconds >= 0:
                connect = <int64_t>(attempt.connect_seconds * 1000000 + 0.5)
        self.lines.append(self.line.build(now, (
            entry.queue_id if envelope is None else envelope[QUEUE_ID],
            number or None,
            _transport(key),
            key,
            outcome[NEXT_HOP] or None,
            None,
            b"" if envelope is None else envelope[REVERSE_PATH],
            recipients,
            None if envelope is None else envelope[SIZE],
            outcome[KIND],
            outcome[STAGE],
            outcome[CODE] or None,
            outcome[STATUS],
            outcome[TEXT],
            use or None,
            entry.due_at if outcome[KIND] == DEFERRED else None,
            queued,
            connect,
            transfer,
            now - received_at,
        )))
        return 0

    cpdef bytes take(self):
        cdef list lines = self.lines
        if not lines:
            return b""
        self.lines = []
        return b"".join(lines)


cdef inline int64_t _transfer(Attempt attempt) noexcept:
    """Microseconds from MAIL to the final reply."""
    return <int64_t>((attempt.finished_at - attempt.taken_at) * 1000000 + 0.5)


cdef inline int64_t _received_at(Entry entry, object envelope):
    """To the microsecond from the envelope, unless the clock was set since: then from the queue. It may be up to a
    second ahead of the clock here: each process has one of its own (relay/net/clock.pyi)."""
    cdef int64_t queued = <int64_t>entry.received * 1000000
    cdef int64_t known = queued if envelope is None else (<tuple>envelope)[RECEIVED_AT]
    return known if queued <= known < queued + 1000000 else queued


cdef inline str _key(Entry entry):
    return (<Group>entry.group).key if type(entry.group) is Group else entry.group.key


cdef inline str _transport(str key):
    if key[:1] != "l":
        return "smtp"
    return "local" if key.startswith("local:") else "lmtp" if key.startswith("lmtp:") else "smtp"


cdef dict _by_transport(str name):
    return {transport: _metrics.index(name, transport) for transport in ("smtp", "lmtp", "local")}
