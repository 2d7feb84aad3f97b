"""Every metric of the appliance, declared once, and where its cells are.

Who counts resolves its cells once, at start, and then adds to plain integers::

    accepted = metrics.index("relay_smtp_messages_accepted_total", "mx")
    row[accepted] += 1                                   # row: memoryview of format "Q", see page.py
    wait = metrics.histogram_cells("relay_spool_sync_seconds")
    wait.observe(row, microseconds)

Compiled code takes a ``uint64_t*`` from the row's buffer and uses relay/telemetry/cells.pxd. One process writes a row,
holding the GIL; readers take single cells, which are written whole on every platform Relay runs on.

Names: ``relay_<part>_<noun>_<unit|total>``. Label values are enumerated: no peer can add a time series. The cells of a
``_seconds`` metric count microseconds. The page docs/operations/metrics.md is made from this table (reference.py).

Not here: what a declaration is (declaration.py).
"""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left
from collections.abc import MutableSequence
from typing import Final, NamedTuple

from relay.telemetry.declaration import MAX, MICROSECONDS, Label, Metric, counter, gauge, histogram
from relay.telemetry.reader_commands import READER_COMMANDS

PROCESS_CELLS: Final = 16
"""Cells at the start of each row that say whose row it is (page.py); metrics come after them."""

# ---- label values ---------------------------------------------------------------------------------------------------


def _words(*texts: str) -> tuple[str, ...]:
    return tuple(" ".join(texts).split())


CODES: Final = _words(
    "211 214 220 221 235 250 251 252 334 354 421 432 450 451 452 454 455 458 459 500 501 502 503 504 521 523 530 534",
    "535 538 550 551 552 553 554 555 556 other",
)
"""Reply codes with a cell of their own (RFC 5321 4.2.3, RFC 4954, RFC 7504, RFC 7505); the rest is ``other``."""

VERBS: Final = _words("HELO EHLO LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT STARTTLS AUTH unknown")

AGE_BOUNDS: Final = (60, 600, 3600, 4 * 3600, 86400, 3 * 86400)
"""Upper bounds, in seconds, of the values of the label ``age``; the last value has none."""
AGES: Final = ("1m", "10m", "1h", "4h", "1d", "3d", "older")

SIZE_BOUNDS: Final = (1 << 20, 10 << 20, 100 << 20, 1 << 30, 10 << 30)
"""Upper bounds, in octets, of the values of the label ``size``; the last value has none."""
SIZES: Final = ("1MiB", "10MiB", "100MiB", "1GiB", "10GiB", "larger")

ROLES: Final = ("smtp", "delivery", "mailbox", "admin")
KINDS: Final = ("mx", "submission")
STAGES: Final = _words("queue route dns connect banner helo mail rcpt data content reply store")
"""Where an attempt ended (relay/mail/outcome.py)."""
REASONS: Final = _words(
    # who may send where, and to whom
    "unknown_recipient mailbox_full relay_denied policy auth_required auth_failed sender_rejected",
    # what was sent is not SMTP as it should be
    "syntax unknown_command sequence bare_cr bare_lf nul line_too_long not_ascii parameter smtputf8 loop",
    # limits
    "too_large too_many_recipients too_many_errors too_many_commands rate",
    # our side
    "disk_low spool_failed memory draining internal",
)
"""Why a command or a message was refused."""
CHECKS: Final = _words("trusted login senders relaying room other")
"""Checks of policy that are counted by name (relay/policy/assembly.py)."""
CHECKED: Final = _words("pass annotate hold quarantine discard defer reject error timeout cancelled")
"""What a check has answered, or why there is no answer: it failed, its deadline passed, or nobody waited any more."""
CLOSED: Final = _words(
    "quit peer_closed peer_reset command_timeout content_timeout slow session_timeout too_many_errors",
    "too_many_commands refused mixup early_talker tls_failed drained internal",
)
"""Why a session ended."""
READERS: Final = ("imap", "pop3", "managesieve")
READER_REFUSALS: Final = _words("limit client_limit draining")
READER_CLOSED: Final = _words(
    "logout peer_closed peer_reset idle_timeout peer_stalled limit too_many_errors refused mixup tls_failed drained",
    "unselected job_timeout internal",
)
"""Why a reader's session ended."""
STOPPED_JOBS: Final = _words("deadline gone")
"""Why work of a store thread was stopped: it took too long, or nobody waited for it any more."""
SET_ASIDE: Final = _words("hung failed died")
"""Why a local delivery counts against its message: it did not end in time, it failed in a way that nobody expected, or
the worker died while it was at it."""
SMTP_MIXUPS: Final = _words("http tls plain imap pop3 managesieve")
READER_MIXUPS: Final = _words("http tls plain smtp imap pop3 managesieve")
"""What clients at a wrong port spoke."""
TLS_VERSIONS: Final = ("TLSv1.2", "TLSv1.3")
TLS_FAILURES: Final = _words("protocol no_agreement rejected closed timeout busy")
"""Why a handshake was not finished: not TLS or not right, no version or cipher in common, an alert from the client
(which mostly does not trust the certificate), the connection closed, too slow, or above tls.max_handshakes."""
TLS_CLIENT_FAILURES: Final = _words("anchors handshake certificate timed_out")
"""Why there was no TLS with a next hop: our trust anchors cannot be read, no agreement, its certificate, too slow."""

LOGIN_PROTOCOLS: Final = ("smtp", "imap", "pop3", "managesieve")
LOGIN_RESULTS: Final = _words(
    "accepted remembered credentials malformed too_long cancelled abandoned authorization channel_binding throttled "
    "busy"
)
"""What became of a login: relay.auth.Trouble, and the two ways in."""

_code = Label("code", CODES)
_kind = Label("kind", KINDS)
_role = Label("role", ROLES)
_reader = Label("protocol", READERS)
_transport = Label("transport", ("smtp", "lmtp", "local"))
_reason = Label("reason", REASONS)
_stage = Label("stage", STAGES)
_outcome = Label("outcome", ("delivered", "deferred", "failed", "expired", "discarded"))
_imap, _pop3, _managesieve = (Label("command", READER_COMMANDS[protocol]) for protocol in READERS)
_sync_result = Label("result", ("synced", "failed"))

# ---- bounds: short waits and long ones in microseconds, sizes in octets ---------------------------------------------

_SYNC = (100, 200, 300, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000)
_WAIT = (1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
         10_000_000, 30_000_000, 60_000_000, 300_000_000)  # fmt: skip
_DELAY = (1000, 5000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 30_000_000, 60_000_000, 300_000_000,
          1_800_000_000, 3_600_000_000, 14_400_000_000, 86_400_000_000, 432_000_000_000)  # fmt: skip
_COMMAND = (1000, 5000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SIZE = (1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 10 << 20, 25 << 20, 50 << 20, 100 << 20)

# ---- the table ------------------------------------------------------------------------------------------------------

_SMTP = (
    counter("relay_smtp_connections_total", "Connections accepted by a listener, refused ones included.", _kind),
    counter("relay_smtp_connections_refused_total", "Connections answered with 421 or 554 instead of a greeting.",
            Label("reason", ("limit", "client_limit", "memory", "draining", "policy"))),
    gauge("relay_smtp_sessions_open", "Sessions open now.", _kind),
    counter("relay_smtp_sessions_closed_total", "Sessions that ended, by cause.", Label("cause", CLOSED)),
    histogram("relay_smtp_session_seconds", "How long sessions lasted.", _WAIT, scale=MICROSECONDS),
    counter("relay_smtp_commands_total", "Commands read, by verb.", Label("verb", VERBS)),
    counter("relay_smtp_replies_total", "Replies written, by reply code.", _code),
    counter("relay_smtp_transactions_total",
            "Transactions (from MAIL on) by end: accepted with 250, refused with 5xx, deferred with 4xx, or aborted "
            "by RSET, a new greeting or a lost connection, or discarded: answered with 250 and thrown away by a check.",
            Label("result", ("accepted", "refused", "deferred", "aborted", "discarded"))),
    counter("relay_smtp_messages_accepted_total", "Messages answered with 250 after end of data.", _kind),
    counter("relay_smtp_accepted_bytes_total", "Octets of content of accepted messages, as read.", _kind),
    counter("relay_smtp_messages_refused_total", "Messages refused at or after DATA with 4xx or 5xx."),
    counter("relay_smtp_refused_bytes_total", "Octets of content of messages refused after DATA."),
    counter("relay_smtp_recipients_total", "RCPT commands by answer.",
            Label("result", ("accepted", "refused", "deferred"))),
    counter("relay_policy_checks_total",
            "Answers of the checks of policy, those in shadow included, by check and result.",
            Label("check", CHECKS), Label("result", CHECKED)),
    histogram("relay_policy_check_seconds", "How long checks of policy took that had to wait, by check.", _COMMAND,
              Label("check", CHECKS), scale=MICROSECONDS),
    counter("relay_smtp_refusals_total", "Commands, recipients and messages refused, by reason.", _reason),
    counter("relay_smtp_mixups_total", "Connections that spoke another protocol to an SMTP listener; plain: without "
            "TLS where it begins with TLS.",
            Label("protocol", SMTP_MIXUPS)),
    counter("relay_smtp_large_contents_total", "Contents that were streamed to a file of their own."),
    counter("relay_smtp_read_bytes_total", "Octets read from peers."),
    counter("relay_smtp_written_bytes_total", "Octets written to peers."),
    histogram("relay_smtp_message_size_bytes", "Size of accepted contents.", _SIZE),
    histogram("relay_smtp_message_recipients", "Recipients of accepted messages.", _BATCH),
    histogram("relay_smtp_accept_seconds", "From end of data to its reply: what the peer waits for the spool.",
              _SYNC, scale=MICROSECONDS),
    gauge("relay_smtp_buffered_bytes", "Memory held by contents that are being read or wait for their sync."),
    gauge("relay_smtp_buffer_limit_bytes", "Memory budget for contents, all smtp workers together."),
)  # fmt: skip

_TLS = (
    counter("relay_tls_handshakes_total", "Finished handshakes of clients.", Label("version", TLS_VERSIONS),
            Label("resumed", ("yes", "no"))),
    counter("relay_tls_handshakes_failed_total", "Handshakes that were not finished, or not begun (busy).",
            Label("reason", TLS_FAILURES)),
    gauge("relay_tls_handshakes_open", "Handshakes going on now."),
    histogram("relay_tls_handshake_seconds", "From STARTTLS, or the connection, to the end of the handshake.", _WAIT,
              scale=MICROSECONDS),
    gauge("relay_tls_certificate_expiry_time_seconds", "When the first of the certificates expires, since the epoch.",
          merge=MAX, scale=MICROSECONDS),
    counter("relay_tls_client_handshakes_total", "Finished handshakes with next hops.", Label("version", TLS_VERSIONS),
            Label("resumed", ("yes", "no"))),
    counter("relay_tls_client_handshakes_failed_total", "Handshakes with next hops that came to no connection.",
            Label("reason", TLS_CLIENT_FAILURES)),
    gauge("relay_tls_client_sessions", "TLS sessions with next hops that are kept to be resumed."),
    counter("relay_tls_certificate_loads_total", "Changed certificate files, by what became of them; counted in each "
            "process.", Label("result", ("served", "refused"))),
)  # fmt: skip

_READERS = (
    counter("relay_reader_connections_total", "Connections accepted by a listener, refused ones included.", _reader),
    counter("relay_reader_connections_refused_total", "Connections asked to go instead of being greeted.",
            Label("reason", READER_REFUSALS)),
    gauge("relay_reader_sessions_open", "Sessions open now.", _reader),
    counter("relay_reader_sessions_closed_total", "Sessions that ended, by cause.", Label("cause", READER_CLOSED)),
    histogram("relay_reader_session_seconds", "How long sessions lasted.", _WAIT, _reader, scale=MICROSECONDS),
    histogram("relay_reader_job_seconds", "One piece of work for a session in a thread (a look into the store, up to "
              "64 KiB of an answer, a password), its wait for the thread included.", _SYNC, _reader,
              scale=MICROSECONDS),
    histogram("relay_imap_command_seconds", "Commands by name, and the time from the last octet of each to its "
              "response; of IDLE, and of logins that take turns, to the first.", _COMMAND, _imap, scale=MICROSECONDS),
    histogram("relay_pop3_command_seconds", "The same for POP3; long answers to their end.", _COMMAND, _pop3,
              scale=MICROSECONDS),
    histogram("relay_managesieve_command_seconds", "The same for ManageSieve.", _COMMAND, _managesieve,
              scale=MICROSECONDS),
    counter("relay_reader_read_bytes_total", "Octets read from clients, without TLS.", _reader),
    counter("relay_reader_written_bytes_total", "Octets written to clients, without TLS.", _reader),
    counter("relay_reader_mixups_total", "Connections that spoke another protocol to an IMAP, POP3 or ManageSieve "
            "listener; plain: without TLS where it begins with TLS.", Label("protocol", READER_MIXUPS)),
)  # fmt: skip

_THREADS = (
    gauge("relay_store_threads", "Threads of mailbox and delivery workers that are at work in the store: busy, or lost "
          "because what they do does not come to an end in time; those have been replaced, as far as may be.",
          Label("state", ("busy", "lost"))),
    gauge("relay_store_waiting_jobs", "Work that waits for a store thread."),
    gauge("relay_store_oldest_job_seconds", "How long the oldest work in a store thread has been going on, lost "
          "threads included.", merge=MAX, scale=MICROSECONDS),
    gauge("relay_store_stuck_seconds", "How long all store threads of a worker have been taken without one coming "
          "back; readiness is red above 10 s.", merge=MAX, scale=MICROSECONDS),
    counter("relay_store_stopped_jobs_total", "Work in store threads that was asked to stop, or never begun: it took "
            "longer than it may (deadline), or its client had gone.", Label("cause", STOPPED_JOBS)),
    counter("relay_store_lost_threads_total", "Store threads that were given up because their work did not stop."),
)  # fmt: skip

_MAILBOXES = (
    gauge("relay_mailbox_accounts", "Accounts that have a mailbox, by what they use of the disk: each is counted once, "
          "under the smallest bound it is not above.", Label("size", SIZES)),
    gauge("relay_mailbox_over_quota_accounts", "Accounts that use as much as their quota allows."),
    gauge("relay_mailbox_mailboxes", "Mailboxes of all accounts, INBOX included."),
    gauge("relay_mailbox_messages", "Messages in all mailboxes."),
    gauge("relay_mailbox_stored_bytes", "Octets of the messages in all mailboxes; removed ones that are still kept are "
          "not among them."),
    gauge("relay_mailbox_counted_time_seconds", "When mailboxes were counted last, since the epoch: once in a quarter "
          "of an hour.", scale=MICROSECONDS),
    counter("relay_mailbox_upkeep_messages_total", "Messages that went with age: expired out of trash and junk, or "
            "removed for good.", Label("action", ("expired", "purged"))),
    counter("relay_mailbox_upkeep_failures_total", "Accounts that could not be counted or kept up."),
)  # fmt: skip

_AUTH = (
    counter("relay_auth_logins_total", "Logins that were tried, by result: accepted, remembered (accepted without "
            "another look at the password), or why not.",
            Label("protocol", LOGIN_PROTOCOLS), Label("result", LOGIN_RESULTS)),
    histogram("relay_auth_check_seconds", "Time of one check, with the delay that failures before it earned.", _WAIT,
              scale=MICROSECONDS),
    gauge("relay_auth_waiting_checks", "Passwords that are checked now or wait for it (64 at most in each process)."),
    gauge("relay_auth_throttle_rows", "Rows of the greatest table of failures (20000 at most in each process).",
          merge=MAX),
    gauge("relay_auth_remembered_logins", "Logins that are remembered (at most auth.remember_limit in each process)."),
)  # fmt: skip

_SPOOL = (
    counter("relay_spool_records_total", "Records that are synced."),
    counter("relay_spool_written_bytes_total", "Octets written to segments, large contents included."),
    counter("relay_spool_syncs_total", "Syncs of a segment, by result.", _sync_result),
    histogram("relay_spool_sync_seconds", "Time of one write and sync of a batch.", _SYNC, scale=MICROSECONDS),
    histogram("relay_spool_batch_records", "Records that shared one sync.", _BATCH),
    gauge("relay_spool_segments", "Segment files on disk, by state.", Label("state", ("open", "closed", "spare"))),
    counter("relay_spool_segment_changes_total", "Segments made and recycled.",
            Label("action", ("created", "recycled"))),
    gauge("relay_spool_logs_adopted", "Logs of gone processes that still hold unfinished records."),
    counter("relay_spool_recovered_records_total", "Unfinished records that delivery workers found at their start."),
    counter("relay_spool_copied_records_total", "Records copied forward out of old segments."),
    counter("relay_spool_corrupt_records_total", "Records moved to corrupt/ because they could not be read."),
    gauge("relay_spool_free_bytes", "Free octets on the spool's file system.", merge=MAX),
    gauge("relay_spool_free_inodes", "Free inodes on the spool's file system.", merge=MAX),
    gauge("relay_spool_refusing_workers", "Workers whose spool takes no new mail, by reason.",
          Label("reason", ("disk_low", "sync_failed"))),
    counter("relay_spool_journal_entries_total", "Entries written to journals.",
            Label("entry", ("finished", "deferred", "failed", "notified", "held", "released"))),
    counter("relay_spool_journal_written_bytes_total", "Octets written to journals."),
    counter("relay_spool_journal_syncs_total", "Syncs of a journal, by result.", _sync_result),
    histogram("relay_spool_journal_sync_seconds", "Time of one sync of a journal.", _SYNC, scale=MICROSECONDS),
    counter("relay_spool_journal_compactions_total", "Journals rewritten as a checkpoint."),
)  # fmt: skip

_QUEUE = (
    gauge("relay_queue_entries", "Entries (a message's recipients in one group) by state.",
          Label("state", ("incoming", "active", "deferred", "hold"))),
    gauge("relay_queue_age_entries", "Entries by age: each is counted once, under the smallest bound it is below.",
          Label("age", AGES)),
    gauge("relay_queue_oldest_seconds", "Age of the oldest entry.", merge=MAX, scale=MICROSECONDS),
    gauge("relay_queue_groups", "Groups of next hops by state: with a connection, waiting for one because all are in "
          "use, or suspended because no connection comes about.",
          Label("state", ("running", "waiting", "suspended"))),
    counter("relay_queue_added_entries_total", "Entries added to the queue: of new messages, recovered at the start of "
            "a delivery worker, out of records copied forward, or handed over for an attempt by another worker.",
            Label("origin", ("new", "recovered", "copied", "handed_over"))),
    counter("relay_queue_suspensions_total", "Times that a group was suspended because its hosts did not answer."),
    counter("relay_queue_clock_jumps_total", "Times that the wall clock was set, and the queue's instants moved along.",
            Label("direction", ("forward", "back"))),
    counter("relay_dsn_messages_total", "DSNs written to the spool.", Label("kind", ("bounce", "delay"))),
    counter("relay_sieve_messages_total", "Messages that scripts had sent: redirected, answered by vacation, rejected "
            "with an MDN.", Label("kind", ("redirect", "vacation", "rejected"))),
    counter("relay_sieve_faults_total", "Messages kept in INBOX because a script was broken."),
    counter("relay_dsn_suppressed_total", "DSNs not made because the reverse-path is null."),
)  # fmt: skip

_DELIVERY = (
    counter("relay_delivery_connections_total", "Connections to next hops by result.",
            Label("result", ("opened", "failed"))),
    gauge("relay_delivery_connections_open", "Connections to next hops that are open now."),
    counter("relay_delivery_connections_reused_total", "Messages sent over a connection that had sent one before."),
    counter("relay_delivery_chunking_connections_total", "Connections to next hops that offered CHUNKING, by whether "
            "they took BDAT.", Label("result", ("taken", "refused"))),
    counter("relay_delivery_attempts_total", "Attempts: one message handed to one next hop or mailbox.", _transport),
    counter("relay_delivery_recipients_total", "Recipients by outcome of an attempt.", _outcome),
    counter("relay_delivery_failures_total", "Recipients deferred or failed, by the stage it happened in.", _stage),
    counter("relay_delivery_replies_total", "Final replies of next hops, one per recipient, by reply code.", _code),
    counter("relay_delivery_sent_bytes_total", "Octets of content sent and accepted.", _transport),
    histogram("relay_delivery_delay_seconds", "From end of data here to the next hop's 250, per recipient.",
              _DELAY, scale=MICROSECONDS),
    histogram("relay_delivery_stage_seconds", "Parts of the delay of an attempt.", _WAIT,
              Label("stage", ("connect", "greeting", "transfer")), scale=MICROSECONDS),
    counter("relay_delivery_mailbox_messages_total", "Messages published in mailboxes."),
    histogram("relay_delivery_mailbox_seconds", "Time to write, sync and publish one message in a mailbox.", _SYNC,
              scale=MICROSECONDS),
    counter("relay_delivery_suspects_total", "Local deliveries that count against their message, by cause: hung (not "
            "done within delivery.local_timeout), failed (in a way that nobody expected), died (the worker died while "
            "it was at it).", Label("cause", SET_ASIDE)),
    counter("relay_delivery_set_aside_total", "Messages set aside (held) because their local delivery hung, failed or "
            "took the worker with it for the second time."),
    counter("relay_dns_queries_total", "Questions asked of a resolver, by result.",
            Label("result", ("found", "empty", "not_found", "failed"))),
    counter("relay_dns_cache_hits_total", "Questions answered from the cache."),
    gauge("relay_dns_cache_entries", "Answers in the cache."),
    histogram("relay_dns_query_seconds", "Time of one question.", _WAIT, scale=MICROSECONDS),
)  # fmt: skip

_PROCESSES = (
    gauge("relay_supervisor_generation", "Configuration generation that serves.", merge=MAX),
    gauge("relay_supervisor_start_time_seconds", "When the appliance was started, in seconds since the epoch.",
          merge=MAX, scale=MICROSECONDS),
    gauge("relay_supervisor_draining", "1 while the appliance drains to stop.", merge=MAX),
    counter("relay_supervisor_reloads_total", "Reloads by result: served, or refused because of errors, or failed "
            "because the new generation did not become ready.", Label("result", ("served", "refused", "failed"))),
    gauge("relay_supervisor_reload_refused", "1 while the last reload was refused or failed.", merge=MAX),
    gauge("relay_supervisor_wanted_workers", "Worker slots of the generation that serves.", _role),
    gauge("relay_supervisor_throttled_workers", "Slots held back because their workers die again and again.", _role),
    counter("relay_supervisor_worker_starts_total", "Workers started.", _role),
    counter("relay_supervisor_worker_restarts_total", "Workers started because their predecessor was lost.", _role),
    counter("relay_supervisor_worker_deaths_total", "Workers that ended without being asked to.",
            Label("cause", ("exit", "signal", "hung", "not_ready"))),
    histogram("relay_worker_loop_lag_seconds", "How late the event loop ran its beat timer.", _SYNC,
              scale=MICROSECONDS),
    counter("relay_log_lines_total", "Log lines written."),
    counter("relay_log_written_bytes_total", "Octets of log written."),
    counter("relay_log_lines_lost_total", "Log lines thrown away because the buffer was full or the destination gone."),
    counter("relay_log_write_failures_total", "Failed writes to the log's destination."),
    gauge("relay_log_buffered_bytes", "Octets of log that wait to be written."),
    counter("relay_admin_requests_total", "Requests to the admin port by status.",
            Label("status", ("2xx", "3xx", "4xx", "5xx"))),
    counter("relay_admin_connections_refused_total", "Connections to the admin port closed by a limit.",
            Label("reason", ("limit", "timeout"))),
)  # fmt: skip

TABLE: Final[tuple[Metric, ...]] = (
    _SMTP + _READERS + _THREADS + _MAILBOXES + _TLS + _AUTH + _SPOOL + _QUEUE + _DELIVERY + _PROCESSES
)

# ---- where the cells are --------------------------------------------------------------------------------------------


_BLOCKS: Final = tuple(itertools.accumulate((metric.cells for metric in TABLE), initial=PROCESS_CELLS))
_PLACES: Final = {metric.name: (first, metric) for metric, first in zip(TABLE, _BLOCKS, strict=False)}
ROW_CELLS: Final = _BLOCKS[-1]
"""Cells of a row."""


class UnknownMetricError(LookupError):
    """A metric or a label value that is not declared."""


class HistogramCells(NamedTuple):
    """A histogram's block in a row: counts at ``first + bucket``, then the sum."""

    first: int
    bounds: tuple[int, ...]
    """Cell units (microseconds for ``_seconds``, octets for ``_bytes``)."""

    def observe(self, row: MutableSequence[int] | memoryview[int], value: int) -> None:
        """Counts one ``value`` (cell units, 0 or more; a negative one, from a clock that stepped back, counts as 0)."""
        value = max(value, 0)
        row[self.first + bisect_left(self.bounds, value)] += 1
        row[self.first + len(self.bounds) + 1] += value


class Total:
    """A counter for a part that counts by itself from 0 on; the cell may hold what another process counted before."""

    __slots__ = ("_cell", "_row", "_seen")

    def __init__(self, row: MutableSequence[int] | memoryview[int], name: str, *values: str | int) -> None:
        self._row = row
        self._cell = index(name, *values)
        self._seen = 0

    def is_now(self, count: int) -> None:
        """The part has counted ``count`` in all."""
        if count > self._seen:
            self._row[self._cell] += count - self._seen
            self._seen = count


def first_cell(metric: Metric) -> int:
    """The index of a declared metric's first cell."""
    first, _ = _PLACES[metric.name]
    return first


def index(name: str, *values: str | int) -> int:
    """The cell of a counter or gauge in a row; ``values`` are its label values in declared order.

    Raises UnknownMetricError for anything not declared, so that a wrong name is found at start.
    """
    metric, cell = _find(name, values)
    if metric.bounds:
        raise UnknownMetricError(f"{name} is a histogram: use histogram_cells()")
    return cell


def histogram_cells(name: str, *values: str | int) -> HistogramCells:
    """The block of a histogram; raises UnknownMetricError for anything else."""
    metric, cell = _find(name, values)
    if not metric.bounds:
        raise UnknownMetricError(f"{name} is not a histogram: use index()")
    return HistogramCells(cell, metric.bounds)


def by_code(name: str) -> array[int]:
    """For a metric with the one label ``code``: the cell for each number 0 to 999 (C type ``unsigned int``).

    Codes without a cell of their own map to ``other``, so any number a peer sends has one.
    """
    other = index(name, "other")
    cells = array("I", [other]) * 1000
    for code in CODES:
        if code != "other":
            cells[int(code)] = index(name, code)
    return cells


def age_bucket(age_seconds: float) -> str:
    """The value of the label ``age`` for an entry of that age."""
    return AGES[bisect_left(AGE_BOUNDS, age_seconds)]


def size_bucket(octets: int) -> str:
    """The value of the label ``size`` for an account that uses so much."""
    return SIZES[bisect_left(SIZE_BOUNDS, octets)]


def _find(name: str, values: tuple[str | int, ...]) -> tuple[Metric, int]:
    try:
        first, metric = _PLACES[name]
    except KeyError:
        raise UnknownMetricError(f"no such metric: {name}") from None
    wanted = tuple(str(value) for value in values)
    try:
        return metric, first + metric.block * metric.combinations.index(wanted)
    except ValueError:
        raise UnknownMetricError(f"{name} has no cell for {wanted}: {metric.labels}") from None
