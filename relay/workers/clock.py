"""The one clock of the queue: microseconds since the epoch, as records and journals have it."""

from __future__ import annotations

import time


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000
