"""The part for people: what happened, at which stage, what the other server said, what happens next.

Written for someone who does not run mail servers. One paragraph for each recipient. A peer's reply is told with the
stage at which it came; what this server found out or decided itself has a sentence of its own (``own_sentence``), so
that nobody is told that a server was away when it was not. The advice follows the enhanced status (RFC 3463), most
specific first.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Final

from relay.dsn.fields import asked_host, date, quoted, safe_address, status_of
from relay.mail.envelope import Envelope
from relay.mail.outcome import EXPIRED, FAILED, Outcome

_LISTED: Final = 100
"""So many recipients are described; all are in the fields."""
_WIDTH: Final = 76

_STAGES: Final = {
    "route": "while looking for where to send it",
    "dns": "while looking up the mail servers of the domain in DNS",
    "connect": "while connecting",
    "banner": "while waiting for the greeting",
    "helo": "while introducing ourselves (EHLO)",
    "mail": "when told who the sender is (MAIL FROM)",
    "rcpt": "when told who the recipient is (RCPT TO)",
    "data": "when asked to take the content (DATA)",
    "content": "while the content was being sent",
    "reply": "after it had been sent the whole message",
    "store": "while it was being put into the mailbox",
    "queue": "while it waited for its turn",
}
_ADVICE: Final = {
    "5.1.1": "The address does not exist there. Check its spelling.",
    "5.1.2": "Check the spelling of what stands after the @.",
    "5.1.3": "The address is not well-formed. Check its spelling.",
    "5.1.10": "Check the spelling of what stands after the @, or ask the recipient for another address.",
    "5.2.1": "The mailbox is disabled. Ask the recipient for another address.",
    "5.2.2": "The mailbox is full. The recipient has to make room first.",
    "4.2.2": "The mailbox is full. The recipient has to make room first.",
    "5.2.3": "The message is too large for this recipient.",
    "5.3.4": "The message is too large for that server. Send it smaller, or share its attachments another way.",
    "5.4.6": "The domain's mail servers are set up wrong; whoever runs the domain can correct that.",
    "5.6.3": "Most mail programs can encode a message so that it has none: look for 'quoted-printable' or 'MIME'.",
    "5.6.7": "Without them the message can be sent there.",
    "5.7": "That server refuses the message by its rules. What it said above may tell why and whom to ask.",
    "4.7": "That server refused the message for now, by its rules.",
    "4.4.7": "It was tried again and again for as long as messages are kept here.",
    "5.1": "Something is wrong with the address. Check its spelling.",
    "5.4": "There is no way to that server, or its domain is set up wrong.",
    "4.4": "That server or the way to it is out of order.",
    "4.3": "That server has difficulties of its own.",
}
_NOT_TAKEN: Final = "The mail server {host} was reached, and takes no messages of this kind:"
_OWN: Final = {
    "5.1.1": "The address does not exist at this mail server:",
    "5.1.2": "The domain of this address has no mail server:",
    "5.1.3": "This mail server cannot use the address:",
    "5.1.10": "The domain of this address says in DNS that it takes no mail at all:",
    "5.2.2": "The mailbox at this mail server is full:",
    "4.2.2": "The mailbox at this mail server is full:",
    "5.3.0": "The message was damaged on the disk of this mail server:",
    "4.3.1": "This mail server has no room left on its disk:",
    "5.3.4": _NOT_TAKEN,
    "5.4.6": "The message would go in a circle:",
    "5.6.3": _NOT_TAKEN,
    "5.6.7": _NOT_TAKEN,
    "5.7.1": "The recipient's own rules refuse the message:",
}
"""What this server found out or decided itself, by its status."""
_OWN_STAGES: Final = {
    "route": "This mail server found no way to send it:",
    "dns": "The mail servers of the domain could not be found in DNS:",
    "connect": "The mail server {host} could not be reached:",
    "banner": "The mail server {host} was reached, but there was no proper greeting:",
    "store": "This mail server could not put the message into the mailbox:",
    "queue": "The message has not had its turn:",
}
"""The same by the stage, for whatever has no sentence in _OWN."""


def own_sentence(outcome: Outcome) -> str:
    """What happened, for an outcome that is not a peer's reply but this server's own judgement; empty when there is no
    sentence for it."""
    host = asked_host(outcome)
    known = _OWN.get(outcome.status) if outcome.kind == FAILED or not host else None
    known = known or _OWN_STAGES.get(outcome.stage)
    if known is None and outcome.stage in _STAGES:
        known = "The mail server {host} was reached, but the attempt failed " + _STAGES[outcome.stage] + ":"
    return (known or "").replace(
        "The mail server {host}", f"The mail server {host}" if host else "The next mail server"
    )


def bounce_words(envelope: Envelope, failures: Sequence[tuple[int, Outcome]], hostname: str, now: int) -> str:
    """The text of a bounce."""
    count = len(failures)
    others = len(envelope.recipients) - count
    paragraphs = [
        _opening(envelope, hostname, f"could not be delivered to {_people(count)}"),
        *_recipients(envelope, failures),
        _paragraph(
            "What happens next: nothing more will be tried "
            + (
                "for them. Other recipients of the message are not affected by this."
                if others
                else "with this message."
            )
            + " If it still matters, correct what is described above and send it again."
        ),
        _closing(envelope, hostname, now),
    ]
    return "\n\n".join(paragraphs) + "\n"


def delay_words(
    envelope: Envelope, delays: Sequence[tuple[int, Outcome]], hostname: str, now: int, expires_at: int
) -> str:
    """The text of a delay notice."""
    paragraphs = [
        _opening(envelope, hostname, f"has not reached {_people(len(delays))} yet"),
        *_recipients(envelope, delays),
        _paragraph(
            f"What happens next: it will be tried again until {date(expires_at)}. You need not do anything, and need "
            "not send it again. This is the only notice of delay; you will be told if it has to be given up."
        ),
        _closing(envelope, hostname, now),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _people(count: int) -> str:
    return "this recipient" if count == 1 else f"these {count} recipients"


def _opening(envelope: Envelope, hostname: str, what: str) -> str:
    return _paragraph(
        f"This is the mail server {hostname}. The message that it took from you on {date(envelope.received_at)} {what}:"
    )


def _closing(envelope: Envelope, hostname: str, now: int) -> str:
    return _paragraph(
        f"Should you need help, write to postmaster@{hostname} and name the queue id {envelope.queue_id} and the time "
        f"{date(now)}. A report for programs and the header section of your message follow."
    )


def _recipients(envelope: Envelope, failures: Sequence[tuple[int, Outcome]]) -> list[str]:
    """One paragraph for each different outcome, with all its recipients."""
    lots: dict[Outcome, list[bytes]] = {}
    for index, outcome in failures[:_LISTED]:
        lots.setdefault(outcome, []).append(envelope.recipients[index])
    paragraphs = [
        "\n".join([f"  <{safe_address(recipient)}>" for recipient in lot] + [_said(outcome)])
        for outcome, lot in lots.items()
    ]
    if len(failures) > _LISTED:
        paragraphs.append(f"  and {len(failures) - _LISTED} more, which are listed in the report below.")
    return paragraphs


def _said(outcome: Outcome) -> str:
    host = asked_host(outcome)
    who = f"The mail server {host}" if host else "This mail server"
    stage = _STAGES.get(outcome.stage, "")
    if outcome.code:
        verb = "said" if outcome.code < 500 else "refused it"
        first = f"{who} {verb}{' ' + stage if stage else ''}:"
    else:
        first = own_sentence(outcome) or "This mail server found a problem:"
    lines = wrap(first, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    lines += wrap(quoted(outcome, 400), _WIDTH, initial_indent="      ", subsequent_indent="      ")
    advice = _advice(outcome)
    if advice:
        lines += wrap(advice, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def _advice(outcome: Outcome) -> str:
    status = status_of(outcome)
    if outcome.kind == EXPIRED:
        return _ADVICE["4.4.7"]
    return _ADVICE.get(status) or _ADVICE.get(status.rpartition(".")[0], "")


def _paragraph(text: str) -> str:
    return "\n".join(wrap(text, _WIDTH))
