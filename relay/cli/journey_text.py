"""A message's journey as text for people: each step with who said what, and what it means.

What peers sent is made safe to print. The meanings are for operators: which setting or which side decides.

Not here: where the journey comes from (relay/telemetry/journey.py), what replies mean (meanings.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any, Final

from relay.cli import meanings
from relay.cli.entry_text import WAITS, printable, show_moment, show_size
from relay.control.vocabulary import QueueEntry
from relay.telemetry.journey import Fields, Journey

_STAGES: Final = {
    "connect": "on connecting",
    "helo": "at EHLO",
    "mail": "at MAIL FROM",
    "rcpt": "at RCPT TO",
    "data": "at DATA",
    "content": "while the content came in",
    "spool": "when it was to be written to disk",
    "session": "between transactions",
}
_HOP_STAGES: Final = {
    "queue": "in the queue",
    "route": "when its next hop was chosen",
    "dns": "when its mail servers were looked up in DNS",
    "connect": "on connecting",
    "banner": "at the greeting",
    "helo": "at EHLO",
    "mail": "at MAIL FROM",
    "rcpt": "at RCPT TO",
    "data": "at DATA",
    "content": "while the content was sent",
    "reply": "after the content was sent",
    "store": "when it was to be written to the mailbox",
}
_REASONS: Final = {
    "unknown_recipient": "The domain is ours and has no such account (relay account list; relay_domain.recipients).",
    "mailbox_full": "The account's quota is used up (mailbox.quota, mailbox.over_quota).",
    "relay_denied": "The recipient's domain is none of ours (domains.local, relay_domain), and the client is neither "
    "in trusted_networks nor logged in.",
    "policy": "A rule of this server refused it.",
    "auth_required": "This listener takes mail from logged-in accounts and trusted_networks only.",
    "auth_failed": "A login failed, or was not allowed without TLS (docs/operations/login.md).",
    "sender_rejected": "The sender's address may not be used here (auth.senders).",
    "syntax": "The client's command is not SMTP as RFC 5321 has it.",
    "unknown_command": "The client used a command that this listener does not have.",
    "sequence": "The client's commands came in an order that RFC 5321 does not allow.",
    "bare_cr": "A CR stood alone. Lines end in CRLF; anything else can smuggle a second message (RFC 5321 2.3.8).",
    "bare_lf": "A LF stood alone. Lines end in CRLF; anything else can smuggle a second message (RFC 5321 2.3.8).",
    "nul": "The content or command holds a NUL octet (RFC 5322 4).",
    "line_too_long": "A line is longer than smtp.max_line or smtp.max_content_line.",
    "not_ascii": "There were octets above 127 where the client had not asked for SMTPUTF8.",
    "parameter": "A parameter of MAIL or RCPT is unknown or wrong.",
    "smtputf8": "An address needs SMTPUTF8 (RFC 6531), which the client did not ask for.",
    "loop": "It has passed more servers than smtp.max_hops: it goes in a circle.",
    "too_large": "It is larger than smtp.max_message_size.",
    "too_many_recipients": "More recipients than smtp.max_recipients; the client sends the rest by itself.",
    "too_many_errors": "More failed commands than smtp.max_errors.",
    "too_many_commands": "More commands than smtp.max_commands.",
    "rate": "The content came in slower than smtp.min_data_rate.",
    "disk_low": "The disk has less room than spool.min_free_bytes or min_free_inodes. The client will try again.",
    "spool_failed": "The disk did not take it (see the events in the log). The client will try again.",
    "memory": "This process is above smtp.memory_budget. The client will try again.",
    "draining": "This process was ending. The client will try again.",
    "internal": "A fault in Relay (see the events in the log). The client will try again.",
    "early_talker": "The client did not wait for a reply before it said more, as programs do that were tricked into "
    "sending text (smtp.early_talk).",
    "quit": "The client gave it up and said good-bye.",
    "peer_closed": "The client closed the connection before the message was whole. Nothing was accepted.",
    "peer_reset": "The connection was lost before the message was whole. Nothing was accepted.",
    "command_timeout": "The client was silent for longer than smtp.command_timeout.",
    "content_timeout": "The client was silent for longer than smtp.data_timeout.",
    "session_timeout": "The session was longer than smtp.session_timeout.",
}
_OUTCOMES: Final = {"delivered": "delivered to", "discarded": "thrown away for"}
_WIDTH: Final = 110


def story(journey: Journey, entries: Sequence[QueueEntry] = ()) -> str:
    """The whole story, ending in a line break. ``entries``: what the queue says of the message now."""
    first = journey.steps[0]
    lines = [_head(journey, first, entries)]
    for fields in journey.steps:
        lines += _STEPS[fields["kind"]](fields)
    if journey.left_out:
        lines.append(f"  ... and {journey.left_out} more steps")
    for entry in entries:
        lines += _now(entry, _is_in_log(entry, journey))
    return "\n".join(lines) + "\n"


def state_of(journey: Journey, entries: Sequence[QueueEntry] = ()) -> str:
    """How it stands, in a word or two: what the last outcome of each recipient comes to, and what the queue says of
    those that have none."""
    last: dict[str, str] = {}
    for fields in journey.steps:
        if fields["kind"] == "delivery":
            last.update(dict.fromkeys(map(str, fields.get("recipients", ())), str(fields.get("outcome", ""))))
    for entry in entries:
        last.update(dict.fromkeys(entry.recipients, "held" if entry.state == "hold" else entry.state))
    if last:
        return ", ".join(sorted(set(last.values())))
    first = journey.steps[0]
    return "waits" if first.get("result") == "accepted" else str(first.get("result") or first.get("event", ""))


def is_open(journey: Journey) -> bool:
    """Whether some recipient of an accepted message has no final outcome in the log."""
    waiting: set[str] = set()
    for fields in journey.steps:
        recipients = set(map(str, fields.get("recipients", ())))
        if fields.get("result") == "accepted" or fields.get("outcome") == "deferred":
            waiting |= recipients
        else:
            waiting -= recipients
    return bool(waiting)


def _head(journey: Journey, first: Fields, entries: Sequence[QueueEntry]) -> str:
    name = f"message {journey.key}" if first.get("queue_id") else "never a message"
    reverse_path = f"<{_text(first.get('reverse_path', ''))}>" if "reverse_path" in first else "no sender"
    return f"{_text(first['time'])}  {name}  from {reverse_path}: {state_of(journey, entries)}"


def _received(fields: Fields) -> list[str]:
    client = f"{_text(fields.get('client', ''))} ({_text(fields.get('helo', 'no name given'))})"
    how = ", ".join(
        _text(each)
        for each in (
            f"listener {fields['listener']}" if fields.get("listener") else "",
            fields.get("protocol", ""),
            fields.get("tls") or "no TLS",
            f"as {fields['account']}" if fields.get("account") else "",
        )
        if each
    )
    result = str(fields.get("result", ""))
    if result in ("accepted", "discarded"):
        what = f"{result if result == 'accepted' else 'accepted and discarded'} from {client}"
    else:
        what = f"{result} {_STAGES.get(str(fields.get('stage')), '')}".rstrip() + f", client {client}"
    lines = [_step(fields, f"{what}; {how}{_sized(fields)}")]
    if said := _said(fields):
        lines.append(_inner("we said", said))
    lines += [_inner("to", _text(each)) for each in fields.get("recipients", ())]
    lines += [_inner("redirected", _text(each)) for each in fields.get("redirected", ())]
    lines += [_inner("refused", _text(each)) for each in fields.get("refusals", ())]
    lines += _checks(fields)
    for meaning in meanings_of(fields):
        lines += _meaning(meaning)
    return lines


def _checks(fields: Fields) -> list[str]:
    """What the checks have decided and changed; those that passed are named together."""
    decisions = [each for each in fields.get("decisions", ()) if isinstance(each, dict)]
    passed = dict.fromkeys(
        f"{each.get('check')} ({each.get('stage')})" for each in decisions if each.get("result") == "pass"
    )
    lines = [_inner("passed", _text(", ".join(passed)))] if passed else []
    for each in decisions:
        if each.get("result") != "pass":
            what = f"{each.get('check')} at {each.get('stage')}: {each.get('result')}"
            what += " (in shadow: not acted on)" if each.get("mode") == "shadow" else ""
            what += f", {each['times']} times" if "times" in each else ""
            lines.append(_inner("check", _text(f"{what}: {each['why']}" if each.get("why") else what)))
    lines += [_inner("known", _text(each)) for each in fields.get("facts", ())]
    return lines + [_inner("changed", _text(each)) for each in fields.get("changes", ())]


def _login(fields: Fields) -> list[str]:
    """A login that was refused, or given up."""
    account = f" as {_text(fields['account'])}" if fields.get("account") else ""
    where = ", ".join(_text(fields[name]) for name in ("protocol", "mechanism") if fields.get(name))
    what = f"{_text(fields['event'])}{account}, client {_text(fields.get('client', ''))}"
    listener = f"listener {_text(fields.get('listener', ''))}"
    lines = [_step(fields, f"{what}; {listener}, {where}"), _inner("because", _text(fields.get("reason", "")))]
    return lines + _meaning(_REASONS["auth_failed"])


def meanings_of(fields: Fields) -> list[str]:
    """What a transaction's line means: of the refusal that ended it, or of each kind of refused recipient."""
    ended = meanings.of_our_reply(str(fields.get("text", ""))) or _REASONS.get(str(fields.get("reason")), "")
    if ended and not fields.get("refusals"):
        return [ended]
    statuses = dict.fromkeys(str(refusal).rpartition(" ")[2] for refusal in fields.get("refusals", ()))
    of_recipients = [_REASONS["relay_denied"] if each == "5.7.1" else meanings.of_our_status(each) for each in statuses]
    if fields.get("result") != "accepted" and not any(of_recipients):
        of_recipients.append(ended or meanings.of_our_status(str(fields.get("status", ""))))
    return [each for each in of_recipients if each]


def _delivery(fields: Fields) -> list[str]:
    outcome = str(fields.get("outcome", ""))
    recipients = ", ".join(_text(each) for each in fields.get("recipients", ()))
    where = _text(fields.get("next_hop") or fields.get("group", ""))
    stage = "" if outcome == "delivered" else f" {_HOP_STAGES.get(str(fields.get('stage')), '')}"
    what = f"{_OUTCOMES.get(outcome, f'{outcome} for')} {recipients} by {where}{stage}{_after(fields)}"
    lines = [_step(fields, what)]
    if said := _said(fields):
        lines.append(_inner("they said" if fields.get("code") else "because", said))
    if fields.get("retry_at"):
        lines.append(_inner("next try", f"{_text(fields['retry_at'])}, after attempt {fields.get('attempt', '')}"))
    return lines + _meaning(meanings.of_outcome(fields))


_STEPS: Final = {"transaction": _received, "delivery": _delivery, "event": _login}


def _is_in_log(entry: QueueEntry, journey: Journey) -> bool:
    """Whether the log's last word about its recipients is what the queue has."""
    last = next((each for each in reversed(journey.steps) if set(entry.recipients) & {*each.get("recipients", ())}), {})
    return bool(entry.text) and (last.get("status"), last.get("text")) == (entry.status, entry.text)


def _now(entry: QueueEntry, is_in_log: bool) -> list[str]:
    """How it stands with recipients that wait, from the queue itself; the reason only where the log lacks it."""
    recipients = ", ".join(_text(each) for each in entry.recipients)
    where = f" ({_text(entry.next_hop)})" if entry.next_hop else ""
    said = "" if is_in_log else _said(entry._asdict())
    waits = WAITS.get(entry.waits_for, "in the queue") + ("" if said else where)
    lines = [f"  {'now':<18}  {entry.state}: {recipients}; {waits}"]
    if said:
        lines.append(_inner("they said" if entry.code else "because", f"{said}{where}"))
    if entry.due_at:
        attempts = f", after attempt {entry.attempts}" if entry.attempts else ""
        lines.append(_inner("next try", f"{show_moment(entry.due_at)}{attempts}"))
    return lines + (_meaning(meanings.of_outcome(entry._asdict())) if said else [])


def _said(fields: Fields) -> str:
    code, status = fields.get("code"), str(fields.get("status") or "")
    # X.0.0 stands for a status that a peer did not say; where it did, the text has it.
    parts = (code, "" if code and status.endswith(".0.0") else status, fields.get("text"))
    return " ".join(_text(each) for each in parts if each)


def _sized(fields: Fields) -> str:
    return f", {show_size(int(fields['size']))}" if fields.get("size") else ""


def _after(fields: Fields) -> str:
    delay = fields.get("delay_seconds")
    return f", {float(delay):.3f} s after it came in" if isinstance(delay, int | float) else ""


def _step(fields: Fields, text: str) -> str:
    return f"  {_text(fields['time'])[5:23].replace('T', ' ')}  {text}"


def _inner(name: str, text: str) -> str:
    return f"{'':22}{name + ':':<12}{text}"


def _meaning(text: str) -> list[str]:
    if not text:
        return []
    first, *rest = wrap(text, _WIDTH - 34)
    return [_inner("this means", first), *(f"{'':34}{line}" for line in rest)]


def _text(value: Any) -> str:
    return printable(str(value))
