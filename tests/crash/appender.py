"""A process that appends messages to a mailbox, one at a time and three at once, and says what became of them.

kept 7:r0-0             what was told to be there, by UID
refused r2-0 r2-1 r2-2
"""

from __future__ import annotations

import sys
from pathlib import Path

from relay.mailbox.store import FolderStore
from tests.crash.mailbox_worker import content

ROUNDS = 6


def main(root: Path, prefix: str) -> None:
    """Appends to the INBOX of ``root``."""
    store = FolderStore(root)
    for number in range(ROUNDS):
        tokens = [f"{prefix}-{number}-{count}" for count in range(3 if number % 3 == 2 else 1)]
        appending = store.begin_append("INBOX")
        try:
            for token in tokens:
                appending.add(["\\Seen", "$Marked"])
                appending.write(content(token))
            uids = appending.commit().uids
        except OSError:
            appending.abort()
            print("refused", *tokens, flush=True)
        else:
            print("kept", *[f"{uid}:{token}" for uid, token in zip(uids, tokens, strict=True)], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
