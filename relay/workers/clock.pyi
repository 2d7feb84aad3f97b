"""The one clock of the queue: microseconds since the epoch, as records and journals have it."""

def now_us() -> int:
    """Microseconds since the epoch."""
