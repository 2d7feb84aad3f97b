"""One transaction: its envelope and its content while it arrives (RFC 5321 3.3)."""

from relay.policy.pipeline import Subject

class Transaction(Subject):
    """From MAIL to the reply to end of data. Made by a session; calling it is a TypeError."""

    @property
    def reverse_path(self) -> bytes: ...
    @property
    def recipients(self) -> tuple[bytes, ...]: ...
    @property
    def named(self) -> int:
        """RCPT commands that were accepted."""

    @property
    def is_submission(self) -> bool: ...
    @property
    def listener(self) -> str: ...
    @property
    def octets(self) -> int:
        """Of the content once it has ended, before that what MAIL has announced, or 0."""

    @property
    def number(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def size(self) -> int: ...
