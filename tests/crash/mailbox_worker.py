"""A process that changes a mailbox without end, and says what was done only when it is done; to be killed.

Reads nothing; writes a line after each change: ``+ uid token`` came in, ``- uid`` is removed, ``s uid`` is marked.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from relay.mailbox.maildir import Message, deliver
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import How


def main(root: Path, prefix: str) -> None:
    """Changes the INBOX of ``root`` until killed; tokens begin with ``prefix``."""
    dice = random.Random(prefix)
    store = FolderStore(root)
    view = store.open("INBOX")
    number = 0
    while True:
        tokens = [f"{prefix}-{number + count}" for count in range(dice.choice((1, 1, 3)))]
        number += len(tokens)
        what = dice.random()
        if what < 0.4:
            deliver([Message(root, (content(token),)) for token in tokens])
            print(*[f"d {token}" for token in tokens], sep="\n", flush=True)
        elif what < 0.7:
            appending = store.begin_append("INBOX")
            for token in tokens:
                appending.add(["\\Answered"])
                appending.write(content(token))
            uids = appending.commit().uids
            print(*[f"+ {uid} {token}" for uid, token in zip(uids, tokens, strict=True)], sep="\n", flush=True)
        elif what < 0.85 and len(view):
            uid = dice.choice(view.uids)
            view.store_flags([uid], How.ADD, ["\\Seen", "$Marked"])
            print(f"s {uid}", flush=True)
        elif len(view) > 5:
            uid = dice.choice(view.uids)
            print(f"? {uid}", flush=True)
            view.expunge([uid], deleted_only=False)
            print(f"- {uid}", flush=True)
        view.refresh()


def content(token: str) -> bytes:
    """A message that names itself."""
    return b"Subject: " + token.encode() + b"\r\n\r\n" + b"line\r\n" * 20


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
