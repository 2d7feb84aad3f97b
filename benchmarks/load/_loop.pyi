"""An epoll loop with timers, for one thread."""

class Endpoint:
    """Something the loop wakes: because of its descriptor, its timer, or both."""

    @property
    def fd(self) -> int: ...
    @property
    def loop(self) -> Loop: ...

class Loop:
    """For one thread; closes what it opened when it is freed."""

    def __init__(self) -> None: ...
    @property
    def now(self) -> int:
        """Monotonic nanoseconds, read when the loop last woke."""
    @property
    def watched(self) -> int:
        """How many descriptors are watched."""
    def run(self) -> None:
        """Until stop(). Python's signal handlers run between events."""
    def stop(self) -> None:
        """The run ends when the events at hand are done; may be called from a signal handler."""
