# cython: language_level=3
"""What the sessions of one worker share: counters, ids, the clock's offset, who is connected; and those of one listener:
limits as plain C fields, prepared replies.

Theory: a session asks for nothing that needs a look into the configuration, a dict of metrics or the clock twice:
all that was worked out once is a field here.

Times are microseconds. ``now`` is CLOCK_MONOTONIC and is passed in by whoever calls; ``wall_offset`` turns it into
time since the epoch and is refreshed by tick(), so that a step of the clock never touches a timeout.

Not here: what a session does with it (_session.pyx), who reads the clock (_connection.pyx).
"""

from relay.policy.pipeline cimport Pipeline
from relay.telemetry.cells cimport find_histogram, observe, row_pointer

from relay.auth import offered
from relay.mail.reply import Reply
from relay.net._exporter import can_export
from relay.smtp.refusals import ehlo_reply
from relay.telemetry import metrics

cdef const char* ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
cdef const char* DAYS = b"ThuFriSatSunMonTueWed"        # 1970-01-01 was a Thursday
cdef const char* MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"

# In the order of relay._fastparse.Verb.
VERB_NAMES = ("unknown", "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN",
              "HELP", "QUIT", "STARTTLS", "AUTH", "unknown")


cdef inline int64_t _us(double seconds) noexcept:
    return <int64_t>(seconds * 1e6)


cdef class ServerContext:
    """Shared by every session of a worker. Not thread-safe: it belongs to the loop's thread."""

    def __init__(self, config, *, spool, log, wheel, row):
        self.spool = spool
        self.log = log
        self.wheel = wheel
        self.row = row
        self.counters = row_pointer(row)
        self.hostname = config.hostname.encode()
        self.sessions = set()
        self.clients = {}
        self.id_log = (<uint64_t>spool.number & 0x3FF) << 12
        self.date_second = -1
        self.max_connections = (<Py_ssize_t>config.smtp.max_connections + config.workers.smtp - 1) // config.workers.smtp
        self.large_content = config.smtp.large_content
        self.memory_budget = config.smtp.memory_budget
        self.handshake_timeout = _us(config.tls.handshake_timeout)
        self._find_cells()
        self.counters[<Py_ssize_t>metrics.index("relay_smtp_buffer_limit_bytes")] = self.memory_budget

    def _find_cells(self):
        cdef Cells* cells = &self.cells
        cdef Py_ssize_t number
        find = metrics.index
        for number, kind in enumerate(metrics.KINDS):
            cells.connections[number] = find("relay_smtp_connections_total", kind)
            cells.sessions_open[number] = find("relay_smtp_sessions_open", kind)
            cells.messages_accepted[number] = find("relay_smtp_messages_accepted_total", kind)
            cells.accepted_bytes[number] = find("relay_smtp_accepted_bytes_total", kind)
        cells.messages_refused = find("relay_smtp_messages_refused_total")
        cells.refused_bytes = find("relay_smtp_refused_bytes_total")
        cells.read_bytes = find("relay_smtp_read_bytes_total")
        cells.written_bytes = find("relay_smtp_written_bytes_total")
        cells.buffered_bytes = find("relay_smtp_buffered_bytes")
        cells.large_contents = find("relay_smtp_large_contents_total")
        cells.recipients_accepted = find("relay_smtp_recipients_total", "accepted")
        cells.recipients_refused = find("relay_smtp_recipients_total", "refused")
        cells.recipients_deferred = find("relay_smtp_recipients_total", "deferred")
        cells.transactions_accepted = find("relay_smtp_transactions_total", "accepted")
        cells.transactions_refused = find("relay_smtp_transactions_total", "refused")
        cells.transactions_deferred = find("relay_smtp_transactions_total", "deferred")
        cells.transactions_aborted = find("relay_smtp_transactions_total", "aborted")
        cells.transactions_discarded = find("relay_smtp_transactions_total", "discarded")
        for number, verb in enumerate(VERB_NAMES):
            cells.verbs[number] = find("relay_smtp_commands_total", verb)
        for number, cell in enumerate(metrics.by_code("relay_smtp_replies_total")):
            cells.codes[number] = cell
        find_histogram(&cells.message_size, "relay_smtp_message_size_bytes")
        find_histogram(&cells.message_recipients, "relay_smtp_message_recipients")
        find_histogram(&cells.accept_time, "relay_smtp_accept_seconds")
        find_histogram(&cells.session_time, "relay_smtp_session_seconds")
        self.refusals = {reason: find("relay_smtp_refusals_total", reason) for reason in metrics.REASONS}
        self.closed = {cause: find("relay_smtp_sessions_closed_total", cause) for cause in metrics.CLOSED}
        self.refused_connections = {
            reason: find("relay_smtp_connections_refused_total", reason)
            for reason in ("limit", "client_limit", "memory", "draining", "policy")
        }
        self.mixups = {name: find("relay_smtp_mixups_total", name) for name in metrics.SMTP_MIXUPS}

    @property
    def open_sessions(self):
        return len(self.sessions)

    # --- time ---

    def tick(self, int64_t now, int64_t wall):
        self.latest = now
        self.wall_offset = wall - now
        for session in self.wheel.expire(now / 1e6):
            try:
                session.expired(now)
            except Exception as fault:
                session.fail(fault)

    cdef bytes date_at(self, int64_t wall):
        """``wall`` (microseconds since the epoch) as RFC 5322 3.3 writes it; made once a second."""
        cdef int64_t second = wall // 1000000
        cdef char text[32]
        if second != self.date_second:
            write_date(second, text)
            self.date = text[:31]
            self.date_second = second
        return self.date

    # --- ids: the same numbers as relay.mail.queue_id.QueueIds makes, without the objects ---

    cdef uint64_t next_id(self, int64_t wall) noexcept:
        cdef int64_t milliseconds = wall // 1000
        if milliseconds > self.id_milliseconds:
            self.id_milliseconds = milliseconds
            self.id_count = 0
        elif self.id_count < 0xFFF:
            self.id_count += 1
        else:
            self.id_milliseconds += 1
            self.id_count = 0
        return (<uint64_t>self.id_milliseconds << 22) | self.id_log | self.id_count

    # --- memory ---

    cdef void hold(self, Py_ssize_t octets) noexcept:
        """Counts ``octets`` of content or input that are kept now."""
        self.buffered += octets
        self.counters[self.cells.buffered_bytes] = <uint64_t>self.buffered

    cdef void let_go(self, Py_ssize_t octets) noexcept:
        self.buffered -= octets
        self.counters[self.cells.buffered_bytes] = <uint64_t>self.buffered

    cdef bint is_over_half_budget(self) noexcept:
        """Contents that are not small go to files already."""
        return self.buffered > self.memory_budget // 2

    cdef bint is_over_budget(self) noexcept:
        """Contents go to files as soon as they can, MAIL is answered 452 and nobody is greeted."""
        return self.buffered > self.memory_budget

    cdef bint is_far_over_budget(self) noexcept:
        """Contents that are being read are given up, or memory would have no bound."""
        return self.buffered > self.memory_budget + self.memory_budget // 4

    # --- who is connected: as relay/readers/gate.py, but in C, with the memory budget as a further reason, and counted by
    # the session, which may live on at the spool after its connection has gone ---

    cdef str enter(self, object session, object client, Py_ssize_t most_of_client):
        """Counts a new connection in; returns why it must be refused, or None. ``most_of_client``: connections that one
        client may have, to all listeners together, when it comes to this one."""
        cdef Py_ssize_t of_client = <Py_ssize_t>self.clients.get(client, 0) + 1
        self.sessions.add(session)
        self.clients[client] = of_client
        if self.is_draining:
            return "draining"
        if len(self.sessions) > self.max_connections:
            return "limit"
        if self.is_over_budget():
            return "memory"
        if of_client > most_of_client:
            return "client_limit"
        return None

    cdef int leave(self, object session, object client) except -1:
        """Counts a connection out; calls a waiting drain when it was the last."""
        if session not in self.sessions:
            return 0
        self.sessions.discard(session)
        cdef Py_ssize_t of_client = <Py_ssize_t>self.clients.get(client, 1) - 1
        if of_client:
            self.clients[client] = of_client
        else:
            self.clients.pop(client, None)
        self._tell_when_empty()
        return 0

    cdef int observe_session(self, int64_t duration) except -1:
        observe(self.counters, &self.cells.session_time, duration)
        return 0

    cdef int log_fault(self, str what, object fault, str session_id) except -1:
        """An operational event: something of ours has failed. Its cause is for the log, never for the peer."""
        self.log.event("error", what, cause=f"{type(fault).__name__}: {fault}", session_id=session_id)
        return 0

    def when_empty(self, on_empty):
        self.on_empty = on_empty
        self._tell_when_empty()

    def drain(self, on_empty):
        self.is_draining = True
        self.on_empty = on_empty
        for session in list(self.sessions):
            session.drain()
        self._tell_when_empty()

    def abort(self):
        for session in list(self.sessions):
            session.abort()

    def _tell_when_empty(self):
        if self.on_empty is not None and not self.sessions:
            on_empty, self.on_empty = self.on_empty, None
            on_empty()


cdef class Service:
    """One listener as the sessions see it: its name, its kind, its limits, its TLS and its prepared replies."""

    def __init__(self, ServerContext context not None, str name not None, str kind not None, settings,
                 Pipeline pipeline not None, *, tls=None, bint is_implicit=False, authenticator=None, bint allows_plaintext_login=False, str directions=""):
        self.context = context
        self.pipeline = pipeline
        self.name = name
        self.directions = directions
        self.is_submission = kind == "submission"
        self.kind = metrics.KINDS.index(kind)
        self._read_limits(settings)
        hostname = context.hostname.decode()
        # The greeting, HELO's and EHLO's replies carry no enhanced status (RFC 2034 4).
        self.greeting = Reply(220, "", f"{hostname} {settings.banner}".rstrip()).wire()
        self.helo_reply = Reply(250, "", hostname).wire()
        self.authenticator = authenticator
        self.mechanisms = self.plain_mechanisms = ()
        if authenticator is not None:
            self.mechanisms = offered(is_secure=True, allows_plaintext=True, has_bindings=can_export())
            self.plain_mechanisms = offered(
                is_secure=False, allows_plaintext=allows_plaintext_login, has_bindings=False)
        self.ehlo_reply = ehlo_reply(hostname, self.limits.message_size, mechanisms=self.mechanisms)
        self.tls = tls
        self.is_implicit = is_implicit
        self.ehlo_starttls = ehlo_reply(
            hostname, self.limits.message_size, offers_starttls=tls is not None and not is_implicit,
            mechanisms=self.plain_mechanisms)

    def _read_limits(self, smtp):
        cdef Limits* limits = &self.limits
        limits.message_size = smtp.max_message_size
        limits.recipients = smtp.max_recipients
        limits.line = smtp.max_line
        limits.content_line = smtp.max_content_line
        limits.commands = smtp.max_commands
        limits.errors = smtp.max_errors
        limits.connections_per_client = smtp.max_connections_per_client
        limits.hops = smtp.max_hops
        limits.data_rate = smtp.min_data_rate
        limits.strict_helo = smtp.strict_helo
        limits.lenient_addresses = smtp.lenient_addresses
        limits.early_talk = ("nobody", "trusted", "everybody").index(smtp.early_talk)
        limits.data_rate_grace = _us(smtp.data_rate_grace)
        limits.command_timeout = _us(smtp.command_timeout)
        limits.data_timeout = _us(smtp.data_timeout)
        limits.session_timeout = _us(smtp.session_timeout)
        limits.banner_delay = _us(smtp.banner_delay)


cdef void encode_id(uint64_t number, char* out) noexcept nogil:
    """``number`` as the 13 characters of a queue id, as relay.mail.queue_id.encode writes it."""
    cdef int place
    for place in range(13):
        out[place] = ALPHABET[(number >> (60 - 5 * place)) & 31]


cdef str id_text(uint64_t number):
    cdef char text[13]
    encode_id(number, text)
    return text[:13].decode("ascii")


cdef inline void _digits(char* out, int number, int width) noexcept nogil:
    while width:
        width -= 1
        out[width] = <char>(48 + number % 10)
        number //= 10


cdef void write_date(int64_t second, char* out) noexcept nogil:
    """31 octets, such as ``Mon, 23 Nov 2026 17:19:08 +0000``, for a time of 1970 to 9999 (proleptic Gregorian).

    The calendar part counts days from 0000-03-01 in eras of 400 years (146097 days), so that leap days come last.
    """
    cdef int64_t day = second // 86400
    cdef int rest = <int>(second - day * 86400)
    cdef int64_t shifted = day + 719468
    cdef int64_t era = shifted // 146097
    cdef int day_of_era = <int>(shifted - era * 146097)
    cdef int year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    cdef int day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int month = (5 * day_of_year + 2) // 153               # 0 is March
    cdef int day_of_month = day_of_year - (153 * month + 2) // 5 + 1
    cdef int year = <int>(year_of_era + era * 400 + (1 if month >= 10 else 0))
    cdef int place
    month = month + 2 if month < 10 else month - 10             # 0 is January
    for place in range(31):
        out[place] = b"Mon, 00 Jan 0000 00:00:00 +0000"[place]
    for place in range(3):
        out[place] = DAYS[3 * (day % 7) + place]
        out[8 + place] = MONTHS[3 * month + place]
    _digits(out + 5, day_of_month, 2)
    _digits(out + 12, year, 4)
    _digits(out + 17, rest // 3600, 2)
    _digits(out + 20, rest // 60 % 60, 2)
    _digits(out + 23, rest % 60, 2)


def rfc5322_date(int64_t second):
    """write_date() for tests."""
    cdef char text[32]
    write_date(second, text)
    return text[:31]
