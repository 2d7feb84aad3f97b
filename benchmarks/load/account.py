"""What was lost, doubled, misdirected or altered: the generator's ledger against the sink's."""

from __future__ import annotations

from pathlib import Path

from benchmarks.load._ledger import Ledger, account, read_ledgers


def account_of(sent: Path, received: Path) -> dict[str, object]:
    """The comparison, as README.md describes it. ValueError when a file is not what it should be."""
    runs = read_ledgers(sent)
    if len(runs) != 1:
        raise ValueError(f"{sent}: the ledger of one run is expected")
    found = {ledger.run: ledger for ledger in read_ledgers(received)}
    counts = account(runs[0], found.get(runs[0].run) or Ledger(runs[0].run))
    return {"kind": "account", "version": 1, **counts}
