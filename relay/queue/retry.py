"""When a deferred recipient is tried again: exponential back-off with jitter, and an end (RFC 5321 4.5.4.1).

Theory: the n-th wait is ``first * factor**(n-1)``, at most ``longest``, made longer or shorter by up to
``jitter`` of itself so that what failed together does not come back together. The last attempt falls on the end of
the lifetime, so that a message is never given up without a fresh attempt when one is possible.

Not here: the back-off of a dead next hop (relay/queue/group.py), which spares its messages their attempts.
"""

from __future__ import annotations

from relay.config.queue import QueueSettings


class RetryPolicy:
    """The settings ``queue.retry_*``, ``queue.lifetime`` and ``queue.delay_notice_after`` in microseconds."""

    __slots__ = ("delay_notice_after", "factor", "first", "jitter", "lifetime", "longest")

    def __init__(self, settings: QueueSettings) -> None:
        self.first = round(settings.retry_first * 1_000_000)
        self.longest = round(settings.retry_max * 1_000_000)
        self.factor = settings.retry_factor
        self.jitter = settings.jitter
        self.lifetime = round(settings.lifetime * 1_000_000)
        self.delay_notice_after = round(settings.delay_notice_after * 1_000_000)
        """0: no notice."""

    def wait(self, attempts: int, draw: float) -> int:
        """The wait after ``attempts`` (1 or more) failed attempts, in microseconds, always above 0."""
        # The exponent is bounded before it is used: a float overflows at attempt 1024.
        wait = min(self.longest, self.first * self.factor ** min(attempts - 1, 256))
        return max(1, round(wait * (1.0 + self.jitter * (2.0 * draw - 1.0))))

    @property
    def longest_wait(self) -> int:
        """No wait is longer than this."""
        return round(self.longest * (1.0 + self.jitter)) + 1

    def next(self, attempts: int, received_at: int, now: int, draw: float) -> int | None:
        """When to try again after ``attempts`` failed attempts, or None when the lifetime is over."""
        end = received_at + self.lifetime
        if now >= end:
            return None
        return min(now + self.wait(attempts, draw), end)
