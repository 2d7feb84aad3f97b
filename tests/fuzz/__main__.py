"""Runs one target under atheris, e.g. ``python -m tests.fuzz path -max_total_time=60``; without a name: lists them."""

from __future__ import annotations

import sys
from pathlib import Path

CORPUS = Path(__file__).parent.parent / "corpus"


def main() -> int:
    import atheris

    with atheris.instrument_imports(include=["tests.fastparse", "tests.mime"]):
        from tests.fuzz.targets import TARGETS
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        print(f"usage: python -m tests.fuzz NAME [libFuzzer options]\nnames: {' '.join(TARGETS)}", file=sys.stderr)
        return 2
    # libFuzzer writes what reaches new branches into the first folder; tests/corpus is chosen by hand.
    found = Path("build/fuzz") / name
    found.mkdir(parents=True, exist_ok=True)
    folders = [str(found), str(CORPUS / name)]
    atheris.Setup([sys.argv[0], "-max_len=512", *sys.argv[2:], *folders], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
