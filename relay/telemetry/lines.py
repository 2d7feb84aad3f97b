"""The kinds of log lines and their fields, declared once; docs/operations/log.md is made from this.

Every line is one JSON object: ``time`` (RFC 3339, UTC, milliseconds), ``kind``, then the fields of its kind that have
something to say. ``TRANSACTION.build(now_us, (queue_id, session_id, ...))`` takes the values in the order of
TRANSACTION_FIELDS and returns the whole line for LogSink.append(). Give bytes as they came from the peer: escaping is
done here, and a text is cut at 1024 octets.

Durations are given in microseconds and written as seconds; sizes are octets. None leaves a field out.

Not here: contents, secrets and arguments of AUTH. They have no field, and no field may be used for them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from relay.telemetry._lines import ALWAYS, JSON, LIST_LIMIT, PLAIN, SECONDS, TEXT_LIMIT, TIME, Line, escape, timestamp
from relay.telemetry._lines import event_line as _event_line

__all__ = [
    "DEBUG", "DELIVERY", "DELIVERY_FIELDS", "ERROR", "EVENT_FIELDS", "INFO", "JSON", "LIST_LIMIT", "SESSION",
    "SESSION_FIELDS", "TEXT_LIMIT", "TRANSACTION", "TRANSACTION_FIELDS", "WARNING", "Field", "Line", "Value",
    "escape", "event", "timestamp",
]  # fmt: skip

Scalar: TypeAlias = bytes | str | int | float | None
Value: TypeAlias = Scalar | Sequence[Scalar | tuple[bytes, int]]
"""What a field can hold; a sequence is a tuple or list, of pairs for a field of the form JSON."""

DEBUG: Final = "debug"
INFO: Final = "info"
WARNING: Final = "warning"
"""Something works less well than it should, or a peer or operator did something wrong."""
ERROR: Final = "error"
"""Relay could not do what it is for; somebody has to look."""


class Field(NamedTuple):
    """One field of a kind of line."""

    name: str
    text: str
    """What it says, for the documentation."""
    form: int = PLAIN


TRANSACTION_FIELDS: Final = (
    Field("queue_id", "our id of the message; only when it was accepted or its content was being read"),
    Field("session_id", "our id of the session; the same in all its lines, and in the id that ends our refusals"),
    Field("transaction", "number of the transaction in its session, from 1"),
    Field("listener", "name of the listener in the configuration"),
    Field("client", "IP address of the peer"),
    Field("client_port", "TCP port of the peer"),
    Field("helo", "name given with HELO or EHLO"),
    Field("protocol", "`with` keyword of the Received field (RFC 3848): SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTP ..."),
    Field("tls", "TLS version and cipher"),
    Field("account", "the authenticated account"),
    Field("reverse_path", "from MAIL; empty for the null reverse-path `<>`", ALWAYS),
    Field("recipients", "list of the accepted recipients"),
    Field("recipients_refused", "number of RCPT commands answered with 4xx or 5xx"),
    Field("refusals", "list of the refused recipients, ten at most, each with reply code and enhanced status"),
    Field("redirected", "list of the recipients that go elsewhere by a rule of ours (postmaster), ten at most, each "
          "with that address"),
    Field("size", "octets of content read"),
    Field("result", "accepted, refused (5xx), deferred (4xx), discarded (a check threw it away after 250) or aborted "
          "(RSET, a new greeting, a lost connection)"),
    Field("stage", "where it ended: mail, rcpt, data, content, spool; connect, helo or session where there was no "
          "transaction yet"),
    Field("code", "reply code that ended it"),
    Field("status", "enhanced status of that reply"),
    Field("text", "text of that reply"),
    Field("reason", "why it was refused: a value of the label `reason` of relay_smtp_refusals_total; why it was "
          "aborted: a value of the label `cause` of relay_smtp_sessions_closed_total"),
    Field("decisions", "list of what the checks have decided, those of connect and helo first, fifty at most: objects "
          "with `check`, `stage`, `result` (pass, annotate, hold, quarantine, discard, defer, reject; error, timeout "
          "or cancelled where there was no answer), `mode` when it is shadow, `times` when it is the same several "
          "times in a row, `why`, and the microseconds that it took, `us`", JSON),
    Field("facts", "list of what checks have found out, each as `name=value`"),
    Field("changes", "list of what checks have changed, twenty at most: fields, recipients, reverse-path, body; held "
          "or discarded"),
    Field("envelope_seconds", "from MAIL to DATA", SECONDS),
    Field("content_seconds", "from DATA to end of data", SECONDS),
    Field("spool_seconds", "from end of data to the reply: the wait for the sync", SECONDS),
)  # fmt: skip

DELIVERY_FIELDS: Final = (
    Field("queue_id", "our id of the message"),
    Field("attempt", "number of the attempt for these recipients, from 1"),
    Field("transport", "smtp, lmtp or local"),
    Field("group", "group of next hops that the recipients were queued for"),
    Field("next_hop", "host or mailbox asked, e.g. `mx1.example.org[192.0.2.1]:25`"),
    Field("tls", "TLS version and cipher"),
    Field("reverse_path", "empty for the null reverse-path `<>`", ALWAYS),
    Field("recipients", "list of the recipients with this outcome; when the outcomes of one attempt differ, each has a "
          "line"),
    Field("size", "octets of content"),
    Field("outcome", "delivered, deferred, failed, expired or discarded"),
    Field("stage", "where it was decided: queue, route, dns, connect, banner, helo, mail, rcpt, data, content, reply, "
                   "store"),
    Field("code", "the next hop's reply code; absent when no reply was involved"),
    Field("status", "enhanced status (RFC 3463)"),
    Field("text", "text of the next hop's reply, or our own words"),
    Field("connection_use", "messages sent over this connection up to and with this one"),
    Field("retry_at", "when a deferred one is tried again", TIME),
    Field("queue_seconds", "from end of data here to the start of this attempt", SECONDS),
    Field("connect_seconds", "time to connect and to be greeted, when this attempt opened the connection", SECONDS),
    Field("transfer_seconds", "from MAIL to the final reply", SECONDS),
    Field("delay_seconds", "from end of data here to the outcome", SECONDS),
)  # fmt: skip

SESSION_FIELDS: Final = (
    Field("session_id", "our id of the session"),
    Field("protocol", "imap or pop3"),
    Field("listener", "name of the listener in the configuration"),
    Field("client", "IP address of the peer"),
    Field("client_port", "TCP port of the peer"),
    Field("tls", "TLS version and cipher"),
    Field("account", "the account that logged in"),
    Field("cause", "why it ended: a value of the label `cause` of relay_reader_sessions_closed_total"),
    Field("commands", "number of commands"),
    Field("errors", "number of commands that were refused"),
    Field("fetched", "number of messages whose content, or a part of it, was sent"),
    Field("added", "number of messages added to mailboxes"),
    Field("removed", "number of messages removed"),
    Field("read_bytes", "octets read, without TLS"),
    Field("written_bytes", "octets written, without TLS"),
    Field("session_seconds", "from the connection to its end", SECONDS),
)

EVENT_FIELDS: Final = (
    Field("level", "debug, info, warning or error"),
    Field("event", "what happened, in a few fixed words: `started`, `reload refused`, `log lines lost`"),
    Field("role", "role of the process: supervisor, smtp, delivery, mailbox, admin, cli"),
    Field("slot", "slot of the process"),
    Field("generation", "configuration generation of the process"),
    Field("pid", "its process id"),
)

TRANSACTION: Final = Line("transaction", [(field.name, field.form) for field in TRANSACTION_FIELDS])
"""The end of a transaction, accepted or not."""
DELIVERY: Final = Line("delivery", [(field.name, field.form) for field in DELIVERY_FIELDS])
"""One outcome of one attempt."""
SESSION: Final = Line("session", [(field.name, field.form) for field in SESSION_FIELDS])
"""The end of a reader's session."""


def event(level: str, name: str, identity: Mapping[str, Value], fields: Mapping[str, Value | object]) -> bytes:
    """The line of an operational event, at the time of the call.

    ``identity`` says which process speaks. Of the other fields anything that is not a plain value is written as
    ``str()`` gives it, so that no event is lost for its argument; a field called ``time`` or ``kind`` is renamed.
    """
    line: dict[str, Value] = {"level": level, "event": name, **identity}
    for key, value in fields.items():
        line[f"{key}_" if key in _TAKEN or key in line else key] = _plain(value)
    return _event_line(time.time_ns() // 1000, line)


_TAKEN: Final = ("time", "kind")


def _plain(value: object) -> Value:
    if value is None or isinstance(value, bytes | str | int | float):
        return value
    if isinstance(value, tuple | list | set | frozenset):
        return [item if item is None or isinstance(item, bytes | str | int | float) else _shown(item) for item in value]
    return _shown(value)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as fault:  # noqa: BLE001 - whatever str() of a foreign object does, the event must be written
        return f"<{type(value).__name__}: {type(fault).__name__} in str()>"
