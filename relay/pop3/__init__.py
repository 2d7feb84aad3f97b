"""Mailboxes are read with POP3 (RFC 1939): the server's side as a pure machine.

``answers`` long answers in pieces, ``maildrop`` INBOX as one session sees it, ``retrieving`` many of its messages at
once, ``login`` the way in, ``session`` the machine on top of them.
"""

from relay.pop3.session import Rules, Session

__all__ = ["Rules", "Session"]
