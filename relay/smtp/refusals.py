"""What the session refuses: each refusal with its reply and the reason that it is counted under.

Theory: the words are those of relay/mail/reply.py; here each gets a name by which the session refers to it, and a value
of the label ``reason`` of relay_smtp_refusals_total. What was wrong is put behind the words, made safe to show.

Not here: refusals of policy (relay/policy), which bring their own reply.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from relay.auth import Trouble
from relay.mail import reply as words
from relay.mail.reply import PATH_REPLIES, Reply


class Refusal(NamedTuple):
    """A reply of 4yz or 5yz and why it is given."""

    reply: Reply
    reason: str
    """A value of the label ``reason``; empty where something else is counted."""


HEADER_TOO_LARGE: Final = Reply(552, "5.3.4", "Header section is longer than this server accepts")
HEADER_BROKEN: Final = Reply(554, "5.6.0", "Header section cannot be read (RFC 5322 2.2)")
CONTENT_TIMEOUT: Final = Reply(421, "4.4.2", "Timeout waiting for more content")
BUSY: Final = Reply(452, "4.3.1", "Not enough memory for more mail, try again later")
INTERNAL: Final = Reply(421, "4.3.0", "Internal error, try again later")

REFUSALS: Final[dict[str, Refusal]] = {
    # --- lines and commands ---
    "line_too_long": Refusal(words.LINE_TOO_LONG, "line_too_long"),
    "bare_cr": Refusal(words.COMMAND_BARE_CR, "bare_cr"),
    "bare_lf": Refusal(words.COMMAND_BARE_LF, "bare_lf"),
    "nul": Refusal(words.COMMAND_NUL, "nul"),
    "not_ascii": Refusal(words.COMMAND_NOT_ASCII, "not_ascii"),
    "unknown_command": Refusal(words.UNKNOWN_COMMAND, "unknown_command"),
    "not_implemented": Refusal(words.NOT_IMPLEMENTED, "unknown_command"),
    "lmtp": Refusal(words.LMTP_SPOKEN, "unknown_command"),
    "starttls": Refusal(words.TLS_NOT_OFFERED, "unknown_command"),
    "starttls_twice": Refusal(words.TLS_TWICE, "sequence"),
    "starttls_not_last": Refusal(words.TLS_NOT_LAST, "sequence"),
    "tls_busy": Refusal(words.TLS_BUSY, "memory"),
    # --- AUTH (RFC 4954 4, 6) ---
    "auth": Refusal(words.AUTH_NOT_OFFERED, "unknown_command"),
    "auth_after_helo": Refusal(words.AUTH_AFTER_HELO, "sequence"),
    "auth_twice": Refusal(words.AUTH_TWICE, "sequence"),
    "auth_needs_tls": Refusal(words.AUTH_NEEDS_TLS, "auth_failed"),
    "mechanism": Refusal(words.NO_SUCH_MECHANISM, "auth_failed"),
    "auth_failed": Refusal(words.AUTH_FAILED, "auth_failed"),
    "auth_malformed": Refusal(words.AUTH_MALFORMED, "auth_failed"),
    "auth_too_long": Refusal(words.AUTH_TOO_LONG, "line_too_long"),
    "auth_cancelled": Refusal(words.AUTH_CANCELLED, "auth_failed"),
    "auth_later": Refusal(words.AUTH_LATER, "auth_failed"),
    # --- arguments ---
    "argument_missing": Refusal(words.ARGUMENT_WANTED, "syntax"),
    "argument_unwanted": Refusal(words.NO_ARGUMENT_WANTED, "syntax"),
    "bad_helo": Refusal(words.HOST_NAME_WANTED, "syntax"),
    # --- order ---
    "helo_first": Refusal(words.HELO_FIRST, "sequence"),
    "mail_first": Refusal(words.MAIL_FIRST, "sequence"),
    "mail_twice": Refusal(words.MAIL_TWICE, "sequence"),
    "in_chunks": Refusal(words.IN_CHUNKS, "sequence"),
    "rcpt_first": Refusal(words.RCPT_FIRST, "sequence"),
    "no_recipients": Refusal(words.NO_RECIPIENTS, "sequence"),
    # --- MAIL and RCPT ---
    "bad_parameters": Refusal(words.BAD_PARAMETERS, "parameter"),
    "parameter_twice": Refusal(words.PARAMETER_TWICE, "parameter"),
    "unknown_parameter": Refusal(words.UNKNOWN_PARAMETER, "parameter"),
    "bad_size": Refusal(words.BAD_SIZE, "parameter"),
    "bad_body": Refusal(words.BAD_BODY, "parameter"),
    "needs_smtputf8": Refusal(words.NEEDS_SMTPUTF8, "smtputf8"),
    "bad_chunk": Refusal(words.BAD_CHUNK, "parameter"),
    "bad_domain": Refusal(words.BAD_DOMAIN, "syntax"),
    "too_many_recipients": Refusal(words.TOO_MANY_RECIPIENTS, "too_many_recipients"),
    "disk_low": Refusal(words.NO_ROOM, "disk_low"),
    "memory": Refusal(BUSY, "memory"),
    # --- content ---
    "too_large": Refusal(words.TOO_LARGE, "too_large"),
    "header_too_large": Refusal(HEADER_TOO_LARGE, "too_large"),
    "header_broken": Refusal(HEADER_BROKEN, "syntax"),
    "content_bare_cr": Refusal(words.CONTENT_BARE_CR, "bare_cr"),
    "content_bare_lf": Refusal(words.CONTENT_BARE_LF, "bare_lf"),
    "content_nul": Refusal(words.CONTENT_NUL, "nul"),
    "content_line_too_long": Refusal(words.CONTENT_LINE_TOO_LONG, "line_too_long"),
    "loop": Refusal(words.LOOP, "loop"),
    "spool_failed": Refusal(words.NOT_SPOOLED, "spool_failed"),
    "policy_failed": Refusal(words.POLICY_FAILED, "internal"),
    # --- ends of a session; counted in relay_smtp_sessions_closed_total ---
    "too_many_errors": Refusal(words.TOO_MANY_ERRORS, "too_many_errors"),
    "too_many_commands": Refusal(words.TOO_MANY_COMMANDS, "too_many_commands"),
    "command_timeout": Refusal(words.TOO_SLOW, ""),
    "content_timeout": Refusal(CONTENT_TIMEOUT, ""),
    "slow": Refusal(words.CONTENT_TOO_SLOW, "rate"),
    "session_timeout": Refusal(words.SESSION_TOO_LONG, ""),
    "drained": Refusal(words.DRAINING, "draining"),
    "internal": Refusal(INTERNAL, "internal"),
    "http": Refusal(words.HTTP_SPOKEN, ""),
    "imap": Refusal(words.IMAP_SPOKEN, ""),
    "pop3": Refusal(words.POP3_SPOKEN, ""),
    "managesieve": Refusal(words.MANAGESIEVE_SPOKEN, ""),
    "tls": Refusal(words.TLS_SPOKEN, ""),
    "plain": Refusal(words.TLS_WANTED, ""),
    "early_talker": Refusal(words.SPOKE_TOO_EARLY, "sequence"),
    "hello_not_last": Refusal(words.HELLO_NOT_LAST, "sequence"),
    "data_not_last": Refusal(words.DATA_NOT_LAST, "sequence"),
    # --- connections that are not greeted; counted in relay_smtp_connections_refused_total ---
    "limit": Refusal(words.TOO_MANY_CONNECTIONS, ""),
    "client_limit": Refusal(words.TOO_MANY_CONNECTIONS_FROM_YOU, ""),
    "draining": Refusal(words.DRAINING, ""),
    "busy": Refusal(BUSY._replace(code=421), ""),
}
"""By the name that the session uses."""

LOGIN_REFUSALS: Final = {
    Trouble.CREDENTIALS: "auth_failed",
    Trouble.AUTHORIZATION: "auth_failed",
    Trouble.CHANNEL_BINDING: "auth_failed",
    Trouble.MALFORMED: "auth_malformed",
    Trouble.TOO_LONG: "auth_too_long",
    Trouble.CANCELLED: "auth_cancelled",
    Trouble.THROTTLED: "auth_later",
    Trouble.BUSY: "auth_later",
}
"""What is said to a login that was not completed."""

PATH_ERROR_NAMES: Final = (
    "", "keyword", "no-angle", "unclosed", "after-path", "null", "local", "quoted", "no-domain", "domain", "literal",
    "route", "utf8", "local-too-long", "label-too-long", "domain-too-long", "path-too-long",
)  # fmt: skip
"""In the order of relay.mail._paths.PathError."""

MAIL_PATH_REPLIES: Final = (None, *(PATH_REPLIES["MAIL"][name] for name in PATH_ERROR_NAMES[1:]))
RCPT_PATH_REPLIES: Final = (None, *(PATH_REPLIES["RCPT"][name] for name in PATH_ERROR_NAMES[1:]))


def worded(reply: Reply, detail: str) -> Reply:
    """``reply`` with what was wrong behind its words."""
    return reply._replace(text=f"{reply.text}: {detail}") if detail else reply


def directed(reply: Reply, directions: str) -> Reply:
    """``reply`` with which ports are for what behind its words."""
    return reply._replace(text=f"{reply.text}. {directions}") if directions else reply


def ehlo_reply(
    hostname: str, max_message_size: int, *, offers_starttls: bool = False, mechanisms: tuple[str, ...] = ()
) -> bytes:
    """The reply to EHLO with the extensions that are there (RFC 5321 4.1.1.1)."""
    lines = [
        hostname,
        "PIPELINING",  # RFC 2920
        f"SIZE {max_message_size}",  # RFC 1870
        "8BITMIME",  # RFC 6152
        "CHUNKING",  # RFC 3030
        "ENHANCEDSTATUSCODES",  # RFC 2034
        "SMTPUTF8",  # RFC 6531
    ]
    if offers_starttls:
        lines.append("STARTTLS")  # RFC 3207
    if mechanisms:
        lines.append(f"AUTH {' '.join(mechanisms)}")  # RFC 4954
    return b"".join(f"250{'-' if line is not lines[-1] else ' '}{line}\r\n".encode() for line in lines)


def shown(octets: bytes, limit: int = 60) -> str:
    """``octets`` of a peer as text for a reply: printable ASCII, everything else as ``?``, cut at ``limit``."""
    text = "".join(chr(octet) if 32 <= octet < 127 else "?" for octet in octets[:limit])
    return text + "..." if len(octets) > limit else text
