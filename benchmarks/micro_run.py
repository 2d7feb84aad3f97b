"""Runs the micro-benchmarks' cases on one tree; started by micro.py, under valgrind or bare. Prints one JSON line.

python -m benchmarks.micro_run count LIBRARY [CASE]...    case -> how often it ran; counts: in valgrind's files
python -m benchmarks.micro_run time [CASE]...             case -> CPU nanoseconds per operation
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys

from benchmarks.micro import prepared, timed


def main(words: list[str]) -> None:
    """``words`` as above."""
    figures: dict[str, float | str] = {}
    if words[0] == "time":
        for name, case in prepared(tuple(words[1:])).items():
            figures[name] = case if isinstance(case, str) else timed(*case)
    else:
        counter = ctypes.CDLL(words[1])
        for name, case in prepared(tuple(words[2:])).items():
            if isinstance(case, str):
                figures[name] = case
                continue
            run, count = case
            gc.collect()
            gc.disable()
            counter.zero()
            run(count)
            counter.dump(name.encode())
            gc.enable()
            figures[name] = count
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
