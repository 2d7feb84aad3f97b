"""The settings of where mail waits, and how long; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.config.declare import setting
from relay.config.kinds import Choice, Duration, Real, Size, Whole


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where accepted mail is kept until it is delivered."""

    segment_size: int = setting(Size("1MiB", "1GiB"), "Size of a segment file of a log.", default="64MiB")
    spare_segments: int = setting(
        Whole(0, 64), "Finished segments that each log keeps for use again; it makes two ahead.", default=8
    )
    copy_after: float = setting(
        Duration("1s", "30d"),
        "When nothing in an old segment was finished for so long and little is left in it, that is copied forward.",
        default="5m",
    )
    min_free_bytes: int = setting(
        Size("0", "1TiB"), "With less room on the file system no mail is accepted: 452 4.3.1.", default="256MiB"
    )
    min_free_inodes: int = setting(
        Whole(0, 1_000_000_000),
        "With fewer free inodes no mail is accepted: 452 4.3.1. (File systems without a count are not checked.)",
        default=5000,
    )


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """When a message is tried again, and when it is given up."""

    lifetime: float = setting(
        Duration("1s", "60d"), "Recipients not reached by then are returned to the sender.", default="5d"
    )
    retry_first: float = setting(Duration("100ms", "1d"), "Wait after the first attempt.", default="1m")
    retry_factor: float = setting(Real(1.0, 10.0), "Each further wait is so much longer.", default=2.0)
    retry_max: float = setting(Duration("100ms", "7d"), "Longest wait.", default="4h")
    jitter: float = setting(
        Real(0.0, 0.9), "Each wait is made longer or shorter by up to this part of itself, at random.", default=0.2
    )
    delay_notice_after: float = setting(
        Duration("1s", "60d", zero="no notice"), "The sender is told once when a message waits so long.", default="4h"
    )
    journal_sync: float = setting(
        Duration("100ms", "1h", zero="when the kernel does it"),
        "How often what became of messages is synced to the disk, in the background. Losing power repeats what was "
        "delivered since; losing a process repeats nothing.",
        default="1s",
    )
    bounce_content: str = setting(
        Choice(("headers", "full")), "How much of the message a bounce returns (RFC 3462).", default="headers"
    )
