"""Mailboxes are read with IMAP (RFC 9051, RFC 3501): the server's side as a pure machine."""

from relay.imap.session import Session

__all__ = ["Session"]
