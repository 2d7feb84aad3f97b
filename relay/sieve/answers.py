"""New messages that a script asks for: the answer of vacation (RFC 5230), the MDN of reject (RFC 5429 2.2, RFC 8098).

Both have the null reverse-path and ``Auto-Submitted: auto-replied``, so that nothing answers them. Whether there is an
answer at all is said by ``why_no_answer`` (RFC 5230 4.5 and 4.6, RFC 3834 2): it is a list of reasons against it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from relay.mail import dates, encoded_words, header_addresses
from relay.mail.address import ascii_form
from relay.sieve.actions import Vacation
from relay.sieve.addresses import parse_addresses
from relay.sieve.environment import Environment
from relay.sieve.message import MessageView, encoded

_SENDERS: Final = re.compile(
    r"(?:mailer-daemon|postmaster|listserv|majordomo|root|no-?reply|do-?not-?reply|owner-.*|.*-owner|.*-request"
    r"|.*-bounces?(?:\+.*)?|bounces?(?:[-+].*)?)",
    re.IGNORECASE,
)
_LISTS: Final = (
    "List-Id", "List-Help", "List-Subscribe", "List-Unsubscribe", "List-Post", "List-Owner", "List-Archive",
)  # fmt: skip
_TO: Final = ("To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_ESCAPED: Final = re.compile(r'["\\]')
_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
REFERENCES: Final = 20
RETURNED_HEADER: Final = 32 * 1024


def why_no_answer(message: MessageView, environment: Environment, own: Collection[str]) -> str:
    """Why vacation must not answer, "" when it may. ``own``: all addresses of the user, in any case. A dot at the end
    of a domain (RFC 1034 3.1) makes no other address."""
    sender = environment.reverse_path
    lower = {address.lower().removesuffix(".") for address in own}
    if not sender:
        return "the reverse-path is null"
    if _SENDERS.fullmatch(sender.rpartition("@")[0]):
        return "the sender is a program"
    if sender.lower().removesuffix(".") in lower:
        return "the sender is the user"
    if any(value.partition(";")[0].strip().lower() != "no" for value in message.values("Auto-Submitted")):
        return "the message was made by a program"
    if any(message.raw_values(name) for name in _LISTS):
        return "the message came through a list"
    if any(value.lower() in ("bulk", "list", "junk") for value in message.values("Precedence")):
        return "the message is bulk mail"
    for value in message.values("X-Auto-Response-Suppress"):
        if {"all", "oof", "autoreply"}.intersection(value.lower().replace(" ", "").split(",")):
            return "the sender wants no answer"
    named = (each.text.lower() for name in _TO for value in message.raw_values(name) for each in parse_addresses(value))
    if not any(address in lower for address in named):
        return "the message does not name an address of the user"
    return ""


def vacation_answer(
    vacation: Vacation, message: MessageView, environment: Environment, account: str, message_id: str
) -> bytes:
    """The content of the answer; ``account`` stands in From unless the script says otherwise."""
    subjects = message.values("Subject")
    subject = vacation.subject or f"Auto: {subjects[0] if subjects else 'your message'}"
    fields = [
        ("Date", dates.written(environment.now)),
        ("From", _mailbox(vacation.sender) or account),
        ("To", f"<{_addressee(environment)}>"),
        ("Subject", subject[:500]),
        ("Message-ID", f"<{message_id}>"),
        ("Auto-Submitted", "auto-replied (vacation)"),
        *_threading(message),
    ]
    if vacation.is_mime:
        # RFC 5230 4.3: the reason is a whole MIME entity.
        return _section([*fields, ("MIME-Version", "1.0")]) + _wire(vacation.reason)
    charset, transfer = ("us-ascii", "7bit") if vacation.reason.isascii() else ("utf-8", "8bit")
    fields += [
        ("MIME-Version", "1.0"),
        ("Content-Type", f"text/plain; charset={charset}"),
        ("Content-Transfer-Encoding", transfer),
    ]
    return _section(fields) + b"\r\n" + _lines(vacation.reason)


def rejection(
    reason: str,
    message: MessageView,
    environment: Environment,
    *,
    account: str,
    hostname: str,
    message_id: str,
) -> bytes:
    """The content of the MDN that gives a message back, with its header section."""
    ids = [match[0] for value in message.values("Message-ID") if (match := _ID.search(value))]
    subjects = message.values("Subject")
    boundary = "=_" + re.sub(r"[^A-Za-z0-9.]", "", message_id)[:40]
    head = _section([
        ("Date", dates.written(environment.now)),
        ("From", f"Mail Delivery System <MAILER-DAEMON@{hostname}>"),
        ("To", f"<{_addressee(environment)}>"),
        ("Subject", f"Rejected: {subjects[0] if subjects else 'your message'}"[:500]),
        ("Message-ID", f"<{message_id}>"),
        ("Auto-Submitted", "auto-replied (rejected)"),
        *_threading(message),
        ("MIME-Version", "1.0"),
    ])  # fmt: skip
    words = f"Your message to <{account}> was rejected by its recipient. The reason given was:\n\n{reason}\n"
    report = [
        f"Reporting-UA: {hostname}; Relay Sieve",
        f"Final-Recipient: rfc822;{account}",
        *(f"Original-Message-ID: {each}" for each in ids[:1]),
        "Disposition: automatic-action/MDN-sent-automatically; deleted",
    ]
    header = _cut(message.header())
    mark = f"--{boundary}"
    parts = [
        head + b"Content-Type: multipart/report; report-type=disposition-notification;\r\n"
        + f' boundary="{boundary}"\r\n\r\nThis is a message disposition notification in MIME format.\r\n'.encode(),
        f"{mark}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".encode(),
        _lines(words),
        f"{mark}\r\nContent-Type: message/disposition-notification\r\n\r\n".encode(),
        "".join(line + "\r\n" for line in report).encode("utf-8", "replace"),
        f"\r\n{mark}\r\nContent-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".encode(),
        header.replace(mark.encode(), b"-- "),
        f"\r\n{mark}--\r\n".encode(),
    ]  # fmt: skip
    return b"".join(parts)


def _threading(message: MessageView) -> list[tuple[str, str]]:
    """RFC 3834 3.1.4, RFC 5230 5.8."""
    ids = [match[0] for value in message.values("Message-ID") if (match := _ID.search(value))]
    if not ids:
        return []
    before = [each for value in message.values("References") for each in _ID.findall(value)]
    return [("In-Reply-To", ids[0]), ("References", " ".join([*before[-REFERENCES:], ids[0]]))]


def _addressee(environment: Environment) -> str:
    """Whom an answer goes to; UTF-8 in a domain as A-labels, so that the answer needs no SMTPUTF8 for it."""
    address = environment.reverse_path
    form = ascii_form(address.encode(errors="surrogateescape"))
    return address if form is None else form.decode()


def _mailbox(text: str) -> str:
    """A name and an address for a From field, the name in encoded words; "" when there is no address in ``text``."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    found = header_addresses.addresses(plain.encode("utf-8", "replace"), most=1)
    first = found[0] if found else None
    if first is None or not first.local or not first.domain or first.has_gap:
        return ""
    address = _quoted(first.local.decode()) + "@" + first.domain.decode()
    if not address.isascii():
        return ""
    name = encoded_words.decode(first.name or b"")
    return f"{_phrase(name)} <{address}>" if name else address


def _phrase(name: str) -> str:
    """A display name (RFC 5322 3.4): quoted where it must be, in encoded words when it is not ASCII."""
    if not name.isascii():
        return encoded_words.encode(name, len("From: "))
    return name if _ATOMS.fullmatch(name) else '"' + _ESCAPED.sub(r"\\\g<0>", name) + '"'


def _quoted(local: str) -> str:
    return local if _ATOMS.fullmatch(local) and " " not in local else '"' + _ESCAPED.sub(r"\\\g<0>", local) + '"'


def _section(fields: list[tuple[str, str]]) -> bytes:
    return b"".join(
        # An address is no place for encoded words: one in UTF-8 stands as it is (RFC 6532 3).
        f"{name}: {value}\r\n".encode() if name in ("From", "To") else name.encode() + b":" + encoded(name, value)
        for name, value in fields
    )


def _wire(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace")


def _lines(text: str) -> bytes:
    """``text`` in lines of at most 998 octets, with a line end (RFC 5322 2.1.1); no NUL, no lone CR."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").split("\n")
    cut = [line[start : start + 240] for line in lines for start in range(0, max(1, len(line)), 240)]
    return _wire("\n".join(cut).rstrip("\n") + "\n")


def _cut(header: bytes) -> bytes:
    if len(header) > RETURNED_HEADER:
        header = header[: header.rfind(b"\n", 0, RETURNED_HEADER) + 1]
    return b"".join(line for line in header.splitlines(keepends=True) if len(line) <= 998)


def fault_notice(fault: str, message: MessageView, environment: Environment, account: str, message_id: str) -> bytes:
    """Tells the owner of a script that it is broken, and that mail is kept in INBOX meanwhile."""
    subjects = message.values("Subject")
    about = f'"{subjects[0][:200]}"' if subjects else "without a subject"
    words = (
        f"The Sieve script of {account} could not be run, so mail is kept in INBOX until it is mended.\n\n"
        f"The fault:\n\n    {fault}\n\n"
        f"It was met with a message {about} from <{environment.reverse_path}>.\n"
        "This notice comes at most once a day.\n"
    )
    return _section([
        ("Date", dates.written(environment.now)),
        ("From", f"Mail filter <{account}>"),
        ("To", f"<{account}>"),
        ("Subject", "Your mail filter (Sieve script) does not work"),
        ("Message-ID", f"<{message_id}>"),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "8bit"),
    ]) + b"\r\n" + _lines(words)  # fmt: skip
