"""The content of what waits in the queue, octet for octet, read from the spool.

Theory: a record says where its content is: in the segment, the rest perhaps in a file of its own. The spool is read as
it is, with the appliance running or stopped, and nothing is changed. A record can be finished and its segment recycled
between the question and the look; then another queue id stands there, or nothing.

Not here: which entries are meant (registry.py), making them safe to print (relay/cli).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from relay.control.vocabulary import QueueEntry
from relay.spool import LogReader, MissingRecord

_PORTION: Final = 1 << 16
_LONGEST_HEADER: Final = 1 << 20
"""Octets of a header section that are shown; the session takes no longer ones."""
_HEADER_END: Final = b"\r\n\r\n"


class ContentGoneError(Exception):
    """The content cannot be read any more; the text says why."""


def portions(spool_dir: Path, entry: QueueEntry) -> Iterator[bytes]:
    """The content of ``entry`` as it will be sent, in portions. Raises ContentGoneError."""
    reader = LogReader(spool_dir)
    try:
        message = reader.load(*entry.record)
        record = message.record
        if record.envelope.queue_id != entry.queue_id:
            raise ContentGoneError(f"{entry.queue_id} has left the queue meanwhile")
        for start in range(0, len(message.content), _PORTION):
            yield bytes(message.content[start : start + _PORTION])
        if record.large is not None:
            with record.large.path.open("rb") as file:
                while octets := file.read(_PORTION):
                    yield octets
    except MissingRecord as fault:
        raise ContentGoneError(f"{entry.queue_id}: its record cannot be read: {fault}") from fault
    except OSError as fault:
        reason = fault.strerror or str(fault)
        raise ContentGoneError(f"{entry.queue_id}: {fault.filename or spool_dir}: {reason}") from fault
    finally:
        reader.close()


def header_section(content: Iterator[bytes]) -> Iterator[bytes]:
    """``content`` up to the end of its header section (RFC 5322 2.1), the last CRLF included."""
    seen = b""
    for octets in content:
        seen += octets
        end = seen.find(_HEADER_END)
        if end >= 0 or len(seen) > _LONGEST_HEADER:
            break
    else:
        end = -1
    if seen.startswith(b"\r\n"):
        return
    yield seen[: end + 2] if end >= 0 else seen[:_LONGEST_HEADER]
