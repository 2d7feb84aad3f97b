"""The part of a session that hands a content to the spool, and says what has become of it."""

from collections.abc import Callable

from relay.smtp._replies import ReplySession

class Handed:
    """A transaction whose content the spool has: its waiter (relay/spool/writer.py)."""

    def spooled(self, error: Exception | None) -> Callable[[], object] | None:
        """The spool's answer: 250 or 45x. Returns what it is to call when it has answered all of its batch, or None."""

    def large_committed(self, error: Exception | None) -> None:
        """The file of a large content is published, or not."""

class SpoolingSession(ReplySession):
    """What happens between end of data and its reply."""

    def depart(self) -> None:
        """Counts the session out, once nothing of it is left."""
