"""Every reply that the server gives, in one table.

Theory: a reply is a value: reply code (RFC 5321 4.2), enhanced status (RFC 3463, RFC 2034) and a text that names what
was wrong. Sessions and policies refer to the constants below, or make a Reply of their own where the text holds the
peer's words; nobody spells a reply as octets.

Invariants: the class of the status is the first digit of the code; a text never holds our paths, hosts or causes; what
``wire`` returns is exactly one line of at most 512 octets (RFC 5321 4.5.3.1.5), whatever the text holds.

Not here: what the client reads from others (relay/delivery/_replies.pyx), the multi-line answer to EHLO (relay/smtp).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from relay.mail.address import WHY


class Reply(NamedTuple):
    """One reply on one line."""

    code: int
    status: str
    """Enhanced status, e.g. ``5.1.1``; empty where there is none: 220, 354, the answer to HELO (RFC 2034 4)."""
    text: str

    def wire(self) -> bytes:
        """The reply as it goes over the wire. What is not printable ASCII in the text is shown as ``?``."""
        text = "".join([c if " " <= c <= "~" else "?" for c in self.text])
        line = f"{self.code} {self.status} {text}" if self.status else f"{self.code} {text}"
        return line[:510].encode() + b"\r\n"

    @property
    def is_permanent(self) -> bool:
        """Whether it refuses for good."""
        return self.code >= 500


# Done.
OK: Final = Reply(250, "2.0.0", "Ok")
MAIL_OK: Final = Reply(250, "2.1.0", "Sender ok")
RCPT_OK: Final = Reply(250, "2.1.5", "Recipient ok")
BYE: Final = Reply(221, "2.0.0", "Bye")
CANNOT_VERIFY: Final = Reply(252, "2.1.5", "Addresses are verified when mail is sent to them")
HELP: Final = Reply(214, "2.0.0", "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT (RFC 5321)")
START_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")
SEND_CONTENT: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
CHUNK_OK: Final = Reply(250, "2.0.0", "Ok, chunk taken")

# The session ends.
DRAINING: Final = Reply(421, "4.3.2", "Shutting down for maintenance, try again")
TOO_SLOW: Final = Reply(421, "4.4.2", "Timeout waiting for a command")
CONTENT_TOO_SLOW: Final = Reply(421, "4.4.2", "Content arrives too slowly")
SESSION_TOO_LONG: Final = Reply(421, "4.4.2", "Session has lasted too long")
TOO_MANY_CONNECTIONS: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_CONNECTIONS_FROM_YOU: Final = Reply(421, "4.7.0", "Too many connections from your address")
TOO_MANY_COMMANDS: Final = Reply(421, "4.7.0", "Too many commands in one session")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors in one session")
SPOKE_TOO_EARLY: Final = Reply(554, "5.5.1", "You spoke before the greeting")
HELLO_NOT_LAST: Final = Reply(554, "5.5.1", "Wait for the reply to HELO or EHLO before you say more")
DATA_NOT_LAST: Final = Reply(554, "5.5.1", "Wait for the reply to DATA before you say more")
HTTP_SPOKEN: Final = Reply(421, "4.7.0", "This port speaks SMTP, not HTTP")
IMAP_SPOKEN: Final = Reply(421, "4.7.0", "This port speaks SMTP, not IMAP")
POP3_SPOKEN: Final = Reply(421, "4.7.0", "This port speaks SMTP, not POP3")
MANAGESIEVE_SPOKEN: Final = Reply(421, "4.7.0", "This port speaks SMTP, not ManageSieve")
TLS_WANTED: Final = Reply(421, "4.7.0", "This port begins with TLS; STARTTLS is for the other ports")
TLS_SPOKEN: Final = Reply(421, "4.7.0", "This port does not begin with TLS")

# The line.
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "Line too long")
COMMAND_BARE_CR: Final = Reply(500, "5.5.2", "Bare CR in a command; lines end with CRLF")
COMMAND_BARE_LF: Final = Reply(500, "5.5.2", "Bare LF in a command; lines end with CRLF")
COMMAND_NUL: Final = Reply(500, "5.5.2", "NUL in a command")
COMMAND_NOT_ASCII: Final = Reply(500, "5.5.2", "Octets above 127 in a command")

# The command and its place.
UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "Command not recognised")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
LMTP_SPOKEN: Final = Reply(500, "5.5.1", "This is SMTP, not LMTP; say EHLO")
TLS_NOT_OFFERED: Final = Reply(502, "5.5.1", "STARTTLS is not offered")
TLS_TWICE: Final = Reply(503, "5.5.1", "TLS is in use already")
TLS_NOT_LAST: Final = Reply(554, "5.5.1", "Nothing may follow STARTTLS before TLS has begun")
TLS_BUSY: Final = Reply(454, "4.7.0", "Too many TLS handshakes at the moment, try again later")
AUTH_NOT_OFFERED: Final = Reply(502, "5.5.1", "AUTH is not offered here; log in on a submission port")
AUTH_AFTER_HELO: Final = Reply(503, "5.5.1", "AUTH needs EHLO")
AUTH_TWICE: Final = Reply(503, "5.5.1", "You are logged in already")
AUTH_NEEDS_TLS: Final = Reply(538, "5.7.11", "Login needs TLS here; say STARTTLS first")
NO_SUCH_MECHANISM: Final = Reply(504, "5.5.4", "Mechanism not offered")
AUTH_FAILED: Final = Reply(535, "5.7.8", "Account or password is wrong")
AUTH_MALFORMED: Final = Reply(501, "5.5.2", "This is not what the mechanism prescribes, in base64")
AUTH_TOO_LONG: Final = Reply(500, "5.5.6", "Line of the login is too long")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Login cancelled")
AUTH_LATER: Final = Reply(454, "4.7.0", "Too many logins at the moment or too many that failed, try again later")
AUTHENTICATED: Final = Reply(235, "2.7.0", "You are logged in")
HELO_FIRST: Final = Reply(503, "5.5.1", "Say HELO or EHLO first")
MAIL_FIRST: Final = Reply(503, "5.5.1", "Say MAIL first")
RCPT_FIRST: Final = Reply(503, "5.5.1", "Say RCPT first")
IN_CHUNKS: Final = Reply(503, "5.5.1", "The content has begun with BDAT; go on with BDAT, or say RSET")
MAIL_TWICE: Final = Reply(503, "5.5.1", "A transaction is open already; say RSET to end it")
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
NO_ARGUMENT_WANTED: Final = Reply(501, "5.5.4", "This command takes no argument")
HOST_NAME_WANTED: Final = Reply(501, "5.5.4", "A domain name or an address literal is needed")
ARGUMENT_WANTED: Final = Reply(501, "5.5.4", "An argument is needed")

# Parameters of MAIL and RCPT.
BAD_PARAMETERS: Final = Reply(501, "5.5.4", "Malformed parameters")
PARAMETER_TWICE: Final = Reply(501, "5.5.4", "A parameter is given twice")
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognised or not offered")
BAD_SIZE: Final = Reply(501, "5.5.4", "SIZE needs a number of octets")
BAD_BODY: Final = Reply(501, "5.5.4", "BODY must be 7BIT or 8BITMIME")
NEEDS_SMTPUTF8: Final = Reply(553, "5.6.7", "An address with octets above 127 needs the SMTPUTF8 parameter")
BAD_CHUNK: Final = Reply(501, "5.5.4", "BDAT needs a number of octets, and LAST or nothing behind it; closing")
BAD_DOMAIN: Final = Reply(501, "5.1.3", "The domain has no ASCII form")

# Recipients.
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients in one transaction")
NO_SUCH_RECIPIENT: Final = Reply(550, "5.1.1", "No such address here")
MAILBOX_FULL: Final = Reply(552, "5.2.2", "The mailbox is full")
NO_POSTMASTER: Final = Reply(450, "4.3.5", "No mailbox is set up for postmaster here yet, try again later")
ADDRESS_NOT_KNOWN_NOW: Final = Reply(451, "4.4.3", "This address cannot be looked up now, try again later")
RELAYING_DENIED: Final = Reply(550, "5.7.1", "Relaying denied")

# Content.
TOO_LARGE: Final = Reply(552, "5.3.4", "Message is larger than this server accepts")
CONTENT_BARE_CR: Final = Reply(554, "5.6.0", "Content holds a bare CR; lines end with CRLF")
CONTENT_BARE_LF: Final = Reply(554, "5.6.0", "Content holds a bare LF; lines end with CRLF")
CONTENT_NUL: Final = Reply(554, "5.6.0", "Content holds a NUL")
CONTENT_LINE_TOO_LONG: Final = Reply(554, "5.6.0", "Content holds a line that is too long")
LOOP: Final = Reply(554, "5.4.6", "Too many hops; this message is in a loop")

# Our own trouble.
NO_ROOM: Final = Reply(452, "4.3.1", "Not enough room for more mail, try again later")
NOT_SPOOLED: Final = Reply(451, "4.3.0", "The message could not be stored, try again later")
POLICY_FAILED: Final = Reply(451, "4.3.0", "A check could not be made, try again later")

REPLIES: Final[dict[str, Reply]] = {name: value for name, value in globals().items() if isinstance(value, Reply)}
"""All of the above by name."""

COMMAND_FAULTS: Final[dict[str, Reply]] = {
    "bare-cr": COMMAND_BARE_CR,
    "bare-lf": COMMAND_BARE_LF,
    "nul": COMMAND_NUL,
    "too-long": LINE_TOO_LONG,
    "not-ascii": COMMAND_NOT_ASCII,
}
"""What a fault of _fastparse.FAULTS in a command is answered with."""

CONTENT_FAULTS: Final[dict[str, Reply]] = {
    "bare-cr": CONTENT_BARE_CR,
    "bare-lf": CONTENT_BARE_LF,
    "nul": CONTENT_NUL,
    "too-long": CONTENT_LINE_TOO_LONG,
}
"""The same in content."""

PATH_REPLIES: Final[dict[str, dict[str, Reply]]] = {
    "MAIL": {error: Reply(501, "5.1.7", f"Bad sender: {why}") for error, why in WHY.items()},
    "RCPT": {error: Reply(501, "5.1.3", f"Bad recipient: {why}") for error, why in WHY.items()},
}
"""What an error of _paths.PATH_ERRORS in MAIL or RCPT is answered with (RFC 3463 3.2)."""
PATH_REPLIES["MAIL"]["keyword"] = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
PATH_REPLIES["RCPT"]["keyword"] = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
