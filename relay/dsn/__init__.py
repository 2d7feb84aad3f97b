"""Delivery status notifications: what a sender is told about recipients that were not reached.

A DSN (RFC 3464) is a multipart/report (RFC 6522) of three parts: words for people, fields for programs, and the
header section or all of the message it is about. Addresses in UTF-8 take the forms of RFC 6533.

A DSN goes to the reverse-path with the null reverse-path; about a message that itself came from ``<>`` none is ever
made (RFC 3464 2, RFC 5321 4.5.5), so two mail systems never bounce at each other.

Not here: who is told when (relay/queue/settle.py); the NOTIFY, RET, ENVID and ORCPT parameters of RFC 3461, which are
not offered yet; spooling (relay/dispatch/notices.py).
"""

from relay.dsn.report import bounce, delay, flags

__all__ = ["bounce", "delay", "flags"]
