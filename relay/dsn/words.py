"""The part for people: what happened, at which stage, what the other server said, what happens next.

Written for someone who does not run mail servers. One paragraph for each recipient; the advice follows the enhanced
status (RFC 3463), most specific first.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Final

from relay.dsn.fields import date, quoted, remote_host, safe_address, status_of
from relay.mail.envelope import Envelope
from relay.mail.outcome import EXPIRED, Outcome

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
    "5.1.2": "The domain after the @ does not exist or takes no mail. Check its spelling.",
    "5.1.3": "The address is not well-formed. Check its spelling.",
    "5.1.10": "The domain after the @ says that it takes no mail at all.",
    "5.2.1": "The mailbox is disabled. Ask the recipient for another address.",
    "5.2.2": "The mailbox is full. The recipient has to make room first.",
    "4.2.2": "The mailbox is full. The recipient has to make room first.",
    "5.2.3": "The message is too large for this recipient.",
    "5.3.4": "The message is too large for that server. Send it smaller, or share its attachments another way.",
    "5.4.6": "The mail goes in a circle. The domain's mail servers are set up wrong; its postmaster can correct that.",
    "5.6.3": "That server cannot take the 8-bit characters in this message.",
    "5.6.7": "That server cannot take the non-ASCII characters in an address of this message.",
    "5.7": "That server refuses the message by its rules. What it said above may tell why and whom to ask.",
    "4.7": "That server refused the message for now, by its rules.",
    "4.4.7": "It was tried again and again for as long as messages are kept here.",
    "5.1": "Something is wrong with the address. Check its spelling.",
    "5.4": "There is no way to that server, or its domain is set up wrong.",
    "4.4": "That server or the way to it is out of order.",
    "4.3": "That server has difficulties of its own.",
}


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
    host = remote_host(outcome.next_hop)
    who = f"The mail server {host}" if host else "This mail server"
    stage = _STAGES.get(outcome.stage, "")
    if outcome.code:
        verb = "said" if outcome.code < 500 else "refused it"
    else:
        verb = "could not be reached or did not answer" if host else "found a problem"
    first = f"{who} {verb}{' ' + stage if stage else ''}:"
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
