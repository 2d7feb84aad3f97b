# cython: language_level=3
"""A generator's run, whatever its protocol: which message is due when, what became of it, how long it took, when it is
over.

Theory: sessions come and ask for work (closed loop) or wait in a queue until a message is due (open loop). In an open
loop the k-th message is due at ``start + k / rate`` whatever the server does; a message that finds no free session
waits, and its latency counts from when it was due: a server that stalls for a second is seen by all the messages of
that second, not only by those under way (coordinated omission).

Invariants: every message that was offered ends in exactly one of accepted, refused, unsure, broken; the run ends when
all did, or at its time limit.

Not here: connections and dialogue (_smtp_source.pyx).
"""

from libc.stdint cimport int64_t, uint32_t

from benchmarks.load._histogram cimport Histogram
from benchmarks.load._ledger cimport ACCEPTED, BROKEN, REFUSED, UNSURE, Entry, Ledger
from benchmarks.load._loop cimport Endpoint, Loop, read_clock
from benchmarks.load._stream cimport Stream

from collections import deque

cdef enum:
    TICK = 100_000_000              # nanoseconds
    LEAVING = 2_000_000_000         # that sessions have for their goodbye

cdef double SECOND = 1e9


cdef int64_t nanoseconds(seconds):
    return -1 if seconds is None else <int64_t>(<double>seconds * SECOND)


cdef class Client(Stream):

    cdef int work(self) except -1:
        return 0

    cdef int leave(self) except -1:
        return 0


cdef class _Ticker(Endpoint):
    cdef Drive drive

    def __init__(self, Drive drive not None):
        self.drive = drive

    cdef int expired(self) except -1:
        self.loop.call_at(self, self.loop.now + TICK)
        return self.drive.tick()


cdef class Drive(Endpoint):
    """``plan``: a plan.GeneratePlan, or another protocol's with the same fields for pace and limits."""

    def __init__(self, Loop loop not None, plan, Ledger ledger):
        self.loop = loop
        self.messages, self.at_the_door = plan.messages, plan.opening
        self.duration = nanoseconds(plan.duration)
        self.hold, self.timeout = nanoseconds(plan.hold), nanoseconds(plan.timeout)
        self.time_limit, self.warm_up = nanoseconds(plan.time_limit), nanoseconds(plan.warm_up)
        self.interval = SECOND / plan.rate if plan.rate else 0
        self.opens_first = plan.messages_per_connection == 0 or plan.messages == 0
        self.ledger = ledger
        self.idle, self.waiting, self.errors, self.clients = deque(), deque(), {}, []
        self.accept, self.transaction, self.connecting = Histogram(), Histogram(), Histogram()
        self.raw_accept, self.raw_transaction = Histogram(), Histogram()
        self.begun_at = self.last_ready_at = read_clock()
        self.ticker = _Ticker(self)
        loop.call_at(self.ticker, self.begun_at + TICK)

    def start(self, list clients not None):
        """The clients open their connections, or wait for their first message."""
        self.clients = clients
        self.unopened = len(clients) if self.opens_first else 0
        if not self.unopened:
            self.begin()
        for client in clients:
            self.rest(client) if not self.opens_first else self.loop.call_at(client, self.begun_at)
        self.hand_out()

    def stop(self, why="signal"):
        """No further message is begun; those under way may still finish."""
        if self.is_leaving:
            self.loop.stop()
        self.finish(why)
        self.hold_until = self.loop.now
        self.check_end()

    # --- messages ---

    cdef int begin(self) except -1:
        """The time from which an open loop counts."""
        if not self.first_at and self.interval:
            self.first_at = read_clock()
            self.measured_from = self.first_at + self.warm_up
        return 0

    cdef int64_t due_of(self, int64_t number) noexcept:
        return self.first_at + <int64_t>(number * self.interval)

    cdef bint has_more(self) noexcept:
        return not self.is_over and self.offered < self.messages

    cdef int64_t take(self, int64_t* due) except? -2:
        cdef int64_t number = self.offered
        due[0] = 0
        if not self.has_more():
            return -1
        if self.interval:
            if self.unopened > 0:
                return -1
            due[0] = self.due_of(number)
            if due[0] > self.loop.now:
                if self.heap_at < 0:
                    self.loop.call_at(self, due[0])
                return -1
        elif not self.first_at:
            self.first_at = self.loop.now
            self.measured_from = self.first_at + self.warm_up
        self.offered += 1
        self.unsettled += 1
        return number

    cdef int rest(self, Client client) except -1:
        """The client has nothing to do; work() is called when there is."""
        if not client.is_idle:
            client.is_idle = True
            self.idle.append(client)
        return 0

    cdef int expired(self) except -1:
        return self.hand_out()

    cdef int hand_out(self) except -1:
        """Wakes idle clients for as long as a message is due; take() sets the timer for the next one."""
        cdef Client client
        cdef int64_t before
        while self.idle:
            if not self.has_more() or (self.interval and self.unopened > 0):
                return 0
            if self.interval and self.due_of(self.offered) > self.loop.now:
                return self.loop.call_at(self, self.due_of(self.offered))
            client = self.idle.popleft()
            client.is_idle = False
            before = self.offered
            client.work()
            if self.offered == before and client.is_idle:
                return 0
        return 0

    cdef int message_accepted(self, uint32_t number, uint32_t recipients, uint32_t total, uint32_t refused,
                              int64_t octets, int64_t due, int64_t begun_at, int64_t sent_at) except -1:
        """``total``: of the recipients' hashes; the times: intended (0: none), MAIL written, end of data written."""
        cdef int64_t now = self.loop.now
        cdef int64_t late = begun_at - due if due else 0
        self.accepted += 1
        self.recipients_accepted += recipients
        self.recipients_refused += refused
        self.octets += octets
        self.last_at = now
        if (due if due else begun_at) >= self.measured_from:
            self.accept.add(now - sent_at + late)
            self.transaction.add(now - begun_at + late)
            if due:
                self.raw_accept.add(now - sent_at)
                self.raw_transaction.add(now - begun_at)
        if now >= self.measured_from:
            self.measured += 1
            self.measured_recipients += recipients
            self.measured_octets += octets
        self.record(number, ACCEPTED, recipients, total)
        return self.settled()

    cdef int message_failed(self, uint32_t number, int state, uint32_t recipients, uint32_t total,
                            uint32_t refused) except -1:
        """``recipients``, ``total``: those that may have been accepted (UNSURE)."""
        if state == REFUSED:
            self.refused += 1
        elif state == UNSURE:
            self.unsure += 1
        else:
            self.broken += 1
        self.recipients_refused += refused
        self.last_at = self.loop.now
        self.record(number, state, recipients, total)
        return self.settled()

    cdef int record(self, uint32_t number, int state, uint32_t recipients, uint32_t total) except -1:
        cdef Entry* entry
        if self.ledger is not None:
            entry = self.ledger.entry(number)
            if entry:
                entry.state, entry.recipients, entry.sum = state, recipients, total
        return 0

    cdef int settled(self) except -1:
        self.unsettled -= 1
        if self.unsettled == 0 and not self.has_more():
            return self.check_end()
        return 0

    cdef int error(self, str what) except -1:
        self.errors[what] = self.errors.get(what, 0) + 1
        return 0

    # --- connections ---

    cdef int connection_opened(self) noexcept:
        self.open += 1
        self.opened += 1
        self.most_open = max(self.open, self.most_open)
        return 0

    cdef int connection_ready(self, int64_t since) except -1:
        self.connecting.add(self.loop.now - since)
        self.ready_count += 1
        self.last_ready_at = self.loop.now
        return self.opening_over()

    cdef int connection_failed(self) except -1:
        self.failed += 1
        return self.opening_over()

    cdef bint may_open(self, Client client) except -1:
        """Not all at once: a listener's backlog is finite. A client that has to wait is woken later by its timer."""
        if self.opening >= self.at_the_door:
            self.waiting.append(client)
            return False
        self.opening += 1
        return True

    cdef int opening_over(self) except -1:
        cdef Client client
        self.opening -= 1
        if self.waiting:
            client = self.waiting.popleft()
            self.loop.call_at(client, self.loop.now)
        return 0

    cdef int connection_over(self, bint was_up, bint was_opening) except -1:
        if was_up:
            self.open -= 1
        if not was_opening:
            self.ready_count -= 1
            self.last_ready_at = self.loop.now
        if self.is_leaving and self.open == 0:
            self.loop.stop()
        return 0

    cdef int first_outcome(self) except -1:
        """A client's first connection is ready, or failed: an open loop begins when all have got so far."""
        if self.unopened:
            self.unopened -= 1
            if self.unopened == 0:
                self.begin()
                self.loop.call_at(self, self.loop.now)
                self.check_end()
        return 0

    cdef bint wants_connections(self) noexcept:
        return not self.is_leaving and self.has_more()

    # --- the end ---

    cdef int tick(self) except -1:
        cdef int64_t now = self.loop.now
        if self.duration >= 0 and self.first_at and now - self.first_at >= self.duration:
            self.finish("duration")
        if now - self.begun_at >= self.time_limit:
            self.finish("time limit")
            self.ended = "time limit"
            self.loop.stop()
        elif self.ready_count > 0:
            self.last_ready_at = now
        elif now - self.last_ready_at >= 2 * self.timeout and (self.opens_first or self.failed) and not self.is_leaving:
            self.finish("unreachable")
            self.loop.stop()
        return self.check_end()

    cdef int finish(self, str why) except -1:
        """No further message is begun."""
        if not self.is_over:
            self.is_over = True
            self.ended = why
        return 0

    cdef int check_end(self) except -1:
        cdef int64_t now = self.loop.now
        if self.is_leaving:
            if now >= self.leave_until:
                self.loop.stop()
            return 0
        if self.has_more() or self.unsettled or (self.unopened and not self.is_over):
            return 0
        self.finish("messages")
        if not self.hold_until:
            self.hold_until = now + self.hold
        if now >= self.hold_until:
            # Not from here: a session may be in the middle of its input.
            self.is_leaving = True
            self.leave_until = now + LEAVING
            self.loop.call_at(_Goodbye(self), now)
        return 0

    cdef int send_home(self) except -1:
        cdef Client client
        for client in self.clients:
            client.leave()
        if self.open == 0:
            self.loop.stop()
        return 0

    def totals(self):
        """The result so far, without what only the protocol knows."""
        cdef int64_t now = read_clock()
        cdef int64_t last = self.last_at if self.last_at else now
        elapsed = (last - self.first_at) / SECOND if self.first_at else 0.0
        measured = max(last - self.measured_from, 0) / SECOND if self.first_at else 0.0
        result = {
            "ended": self.ended if self.is_over else None,
            "elapsed_seconds": elapsed,
            "measured_seconds": measured,
            "messages": {"offered": self.offered, "accepted": self.accepted, "refused": self.refused,
                         "unsure": self.unsure, "broken": self.broken},
            "recipients": {"accepted": self.recipients_accepted, "refused": self.recipients_refused},
            "octets": self.octets,
            "messages_per_second": self.measured / measured if measured else 0.0,
            "recipients_per_second": self.measured_recipients / measured if measured else 0.0,
            "octets_per_second": self.measured_octets / measured if measured else 0.0,
            "accept_seconds": self.accept.summary(),
            "transaction_seconds": self.transaction.summary(),
        }
        if self.interval:
            result["uncorrected"] = {"accept_seconds": self.raw_accept.summary(),
                                     "transaction_seconds": self.raw_transaction.summary()}
        result["connect_seconds"] = self.connecting.summary()
        result["connections"] = {"opened": self.opened, "open": self.open, "most_open": self.most_open,
                                 "failed": self.failed, "lost": self.lost_count, "handshakes": self.handshakes,
                                 "resumed": self.resumed}
        result["errors"] = dict(sorted(self.errors.items()))
        return result


cdef class _Goodbye(Endpoint):
    cdef Drive drive

    def __init__(self, Drive drive not None):
        self.drive = drive

    cdef int expired(self) except -1:
        return self.drive.send_home()
