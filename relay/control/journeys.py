"""What became of messages: found in the log's files, with what the queue has of those that wait.

The log is files, and reading them needs no worker; the queue is asked, running or stopped.

Not here: what joins the lines of a message (relay/telemetry/journey.py), telling it to people (relay/cli).
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from relay.config import Config
from relay.control.client import UnreachableError, UnreadableError, look
from relay.control.registry import SHOW
from relay.control.vocabulary import QueueEntry, Selection
from relay.telemetry.journey import LONGEST_LINE, Journey, Search

_ASKED_SINGLY: Final = 100
"""Messages that the queue is asked about one by one; for more, it is read as a whole."""
_IN_MEMORY: Final = 16 << 20


def find(search: Search, files: Sequence[IO[bytes]]) -> list[Journey]:
    """The journeys that ``search`` finds in ``files``, each of which can be read twice. Raises OSError, and EOFError
    for a compressed file that is cut off."""
    for reading in (search.see, search.gather):
        for file in files:
            file.seek(0)
            for line in _lines(file):
                reading(line)
    return search.journeys()


def open_logs(stack: ExitStack, path: Path, earliest: float) -> list[IO[bytes]]:
    """``path`` and those that logrotate made of it (``.1``, ``.2.gz``, ``-20260101``), oldest first, without those that
    were last written to before ``earliest`` (seconds since the epoch); ``stack`` closes them. Raises OSError."""
    beside = [each for each in path.parent.glob(f"{path.name}[.-]*") if each.is_file()]
    dated = [(each.stat().st_mtime, each) for each in beside]
    rotated = [each for changed, each in sorted(dated) if changed >= earliest]
    return [stack.enter_context(_open(each)) for each in (*rotated, path)]


def kept(stack: ExitStack, stream: IO[bytes]) -> IO[bytes]:
    """``stream``, which can be read once, kept aside so that it can be read twice."""
    aside = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115 - the stack closes it
    aside.writelines(_lines(stream))
    return aside


def in_queue(config: Config, queue_ids: Iterable[str]) -> tuple[dict[str, list[QueueEntry]], str]:
    """What the queue, running or stopped, has of these messages now, by queue id; and why that is not known, or
    empty."""
    wanted = set(queue_ids)
    found: dict[str, list[QueueEntry]] = {}

    def take(entry: QueueEntry) -> None:
        if entry.queue_id in wanted:
            found.setdefault(entry.queue_id, []).append(entry)

    if not wanted or not (config.spool_dir.is_dir() or config.run_dir.is_dir()):
        return found, ""
    selections = [Selection(key) for key in sorted(wanted)] if len(wanted) <= _ASKED_SINGLY else [Selection()]
    try:
        look(config, SHOW, selections, take)
    except UnreachableError as fault:
        return found, str(fault)
    except UnreadableError:  # what the log has is shown all the same
        pass
    return found, ""


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines; one without an end is cut into pieces, which are no lines of ours."""
    while line := file.readline(LONGEST_LINE):
        yield line
