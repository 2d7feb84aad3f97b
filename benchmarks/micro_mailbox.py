"""What the mailbox store costs: opening, refreshing, changing a mailbox of many messages.

    python -m benchmarks.micro_mailbox [messages]       default 100,000; under a minute

Figures are printed, one a line (CPU and elapsed time); nothing is decided by them. The mailbox is in a temporary
folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

from relay.mailbox import index
from relay.mailbox.maildir import make_maildir
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import How

T = TypeVar("T")


def timed(what: str, call: Callable[[], T]) -> T:
    """Calls it and prints what it took."""
    cpu, wall = process_time(), perf_counter()
    result = call()
    cpu, wall = process_time() - cpu, perf_counter() - wall
    print(f"{what:<52} {1e3 * cpu:9.1f} ms CPU {1e3 * wall:9.1f} ms")
    return result


def filled(root: Path, count: int) -> None:
    """A Maildir with ``count`` empty files under names like those of deliveries."""
    make_maildir(root)
    for number in range(count):
        base = f"{1_700_000_000 + number}.M{number % 1_000_000:06d}P12345Q{number}Rdeadbeef.mail.example.org"
        (root / "cur" / f"{base},S=1520,W=1560:2,{'S' if number % 3 else ''}").touch()


def main(count: int) -> None:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "ann"
        filled(root, count)
        view = timed("open for the first time (UIDs for all)", lambda: FolderStore(root).open("INBOX"))
        del view
        (root / index.NAME).unlink()
        store = FolderStore(root)
        view = timed("open without an index, from the uid log", lambda: store.open("INBOX"))
        store.mailbox("INBOX").rebuild()
        del view, store
        store = FolderStore(root)
        view = timed("open with the index (SELECT, warm)", lambda: store.open("INBOX"))
        other = timed("open in a second session of the process", lambda: store.open("INBOX"))
        timed("refresh, nothing changed", view.refresh)
        view.store_flags([1], How.ADD, ["\\Flagged"])
        timed("one flag of one message", lambda: view.store_flags([2], How.ADD, ["\\Flagged"]))
        timed("refresh of the other session", other.refresh)
        timed("a flag of 1,000 messages", lambda: view.store_flags(range(1, 1001), How.ADD, ["\\Answered"]))
        timed("status", lambda: store.status("INBOX"))
        (root / "new" / "1900000000.M1P1.host").touch()
        timed("refresh after a delivery", view.refresh)
        (root / "cur" / "1900000001.M1P1.host:2,").touch()
        timed("refresh after another program changed cur", view.refresh)
        timed("quota, counted", store.quota)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
