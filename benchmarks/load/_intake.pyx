# cython: language_level=3
"""What a sink was told, and what it counted; shared by all its sessions, whatever they speak.

Theory: whether a reply is refused or dropped is drawn from a generator with a given seed, so that a run can be
repeated. Each run of a generator that the marks name has a ledger of its own.

Not here: the dialogue (_smtp_sink.pyx), reading the plan (sink.py).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from benchmarks.load._ledger cimport Entry, Ledger
from benchmarks.load._loop cimport Loop, read_clock
from benchmarks.load._mark cimport MARKED, Content, content_is_altered
from benchmarks.load._replies cimport STAGES, Replies

import time

cdef enum:
    MOST_RUNS = 64


cdef class Intake:
    """What all sessions share: how to behave, and the totals."""

    def __init__(self, Loop loop not None, behaviour not None, tls_context=None):
        """``behaviour``: a sink.Behaviour."""
        cdef int stage
        self.loop, self.tls_context = loop, tls_context
        self.replies = Replies()
        self.refusals = [None] * STAGES
        for stage, what in behaviour.stages.items():
            self.misbehaviour[stage].refuse_below = <uint64_t>(what.refuse_share * 4294967296.0)
            self.misbehaviour[stage].drop_below = <uint64_t>(what.drop_share * 4294967296.0)
            self.misbehaviour[stage].code = what.code
            self.misbehaviour[stage].delay = <int64_t>(what.delay * 1e9)
            self.refusals[stage] = b"%d %d.0.0 The sink was told to refuse this\r\n" % (what.code, what.code // 100)
        self.is_lmtp, self.by_address, self.verifies = behaviour.is_lmtp, behaviour.by_address, behaviour.verify
        self.implicit_tls, self.starttls = behaviour.tls == "implicit", behaviour.tls == "starttls"
        self.tarpit = <int64_t>(behaviour.tarpit * 1e9)
        self.max_connections = -1 if behaviour.max_connections is None else behaviour.max_connections
        self.last_message = -1 if behaviour.messages is None else behaviour.messages
        self.chance = behaviour.seed * 0x9e3779b97f4a7c15 & 0xffffffffffffffff or 1
        self.accounts = behaviour.accounts
        self.hello, self.hello_secured = behaviour.hello, behaviour.hello_secured
        self.begun_at = read_clock()
        self.reset()

    def reset(self):
        """Everything counted begins again at zero; connections stay."""
        self.runs, self.doubled, self.run = {}, {}, None
        self.messages = self.recipients = self.octets = self.foreign = self.altered = 0
        self.opened = self.lost_count = self.dropped = self.turned_away = self.handshakes = self.resumed = 0
        self.most_open = self.open
        self.first_at = 0
        self.first_clock = self.last_clock = 0
        self.replies.clear()

    def stop(self, why="signal"):
        if self.ended is None:
            self.ended = why
        self.loop.stop()

    def write_ledgers(self, file):
        for ledger in self.runs.values():
            ledger.write(file)

    def totals(self):
        cdef double span = (self.last_clock - self.first_clock) / 1e9
        runs = {}
        for number, ledger in self.runs.items():
            messages, recipients, altered = ledger.received()
            runs[f"{number:016x}"] = {
                "messages": messages, "recipients": recipients, "doubled": self.doubled[number], "altered": altered,
                "missing": len(ledger) - messages, "highest": len(ledger) - 1}
        return {
            "ended": self.ended,
            "elapsed_seconds": (read_clock() - self.begun_at) / 1e9,
            "messages": self.messages, "recipients": self.recipients, "octets": self.octets,
            "first_at": self.first_at or None, "last_at": self.first_at + span if self.first_at else None,
            "messages_per_second": self.messages / span if span > 0 else 0.0,
            "connections": {"opened": self.opened, "open": self.open, "most_open": self.most_open,
                            "lost": self.lost_count, "dropped": self.dropped, "turned_away": self.turned_away,
                            "handshakes": self.handshakes, "resumed": self.resumed},
            "replies": self.replies.by_stage(),
            "verified": bool(self.verifies), "altered": self.altered, "foreign": self.foreign,
            "runs": runs,
        }

    cdef uint64_t draw(self) noexcept:
        """Evenly below 2^32 (xorshift64*): the same for the same seed."""
        self.chance ^= self.chance >> 12
        self.chance ^= self.chance << 25
        self.chance ^= self.chance >> 27
        return (self.chance * <uint64_t>0x2545f4914f6cdd1d) >> 32

    cdef bint draws_refusal(self, int stage) noexcept:
        return self.misbehaviour[stage].refuse_below != 0 and self.draw() < self.misbehaviour[stage].refuse_below

    cdef bint draws_drop(self, int stage) noexcept:
        return self.misbehaviour[stage].drop_below != 0 and self.draw() < self.misbehaviour[stage].drop_below

    cdef int take(self, Content* content, uint32_t recipients, uint32_t total) except -1:
        """A message was accepted for so many recipients, whose hashes add up to ``total``."""
        self.messages += 1
        self.recipients += recipients
        self.octets += content.octets
        self.last_clock = self.loop.now
        if not self.first_clock:
            self.first_clock = self.loop.now
            self.first_at = time.time()
        if content.phase == MARKED:
            self.enter(content, recipients, total)
        else:
            self.foreign += 1
        if self.messages == self.last_message:
            self.ended = "messages"
        return 0

    cdef int enter(self, Content* content, uint32_t recipients, uint32_t total) except -1:
        """Enters it into its run's ledger."""
        cdef Ledger ledger = self.run
        cdef Entry* entry
        cdef uint32_t before
        if ledger is None or ledger.run != content.mark.run:
            ledger = self.runs.get(content.mark.run)
            if ledger is None:
                if len(self.runs) == MOST_RUNS:
                    self.foreign += 1
                    return 0
                ledger = self.runs[content.mark.run] = Ledger(content.mark.run)
                self.doubled[content.mark.run] = 0
            self.run = ledger
        entry = ledger.entry(content.mark.number)
        if not entry:
            self.foreign += 1
            return 0
        before = entry.recipients
        entry.recipients = <uint32_t>min(before + recipients, 0xffff)
        entry.sum += total
        entry.copies += entry.copies < 255
        if before + recipients > content.mark.recipients:
            self.doubled[ledger.run] += before + recipients - max(before, content.mark.recipients)
        if content_is_altered(content):
            self.altered += 1
            entry.state = 1
        return 0
