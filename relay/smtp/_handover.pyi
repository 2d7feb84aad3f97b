"""The part of a session that hands a content to the spool, and says what has become of it."""

from relay.smtp._speaker import Speaker

class Handover(Speaker):
    """What happens between end of data and its reply."""

    def large_committed(self, error: Exception | None) -> None:
        """The file of a large content is published, or not."""

    def depart(self) -> None:
        """Counts the session out, once nothing of it is left."""
