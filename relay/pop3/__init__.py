"""Mailboxes are read with POP3 (RFC 1939): the server's side as a pure machine."""

from relay.pop3.session import Session

__all__ = ["Session"]
