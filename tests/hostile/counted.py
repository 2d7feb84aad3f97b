"""Runs every parser of benchmarks/hostile_cases.py on every input at two lengths, under callgrind, which counts the
instructions: ``valgrind --tool=callgrind --instr-atstart=no python -m tests.hostile.counted LIBRARY``. One dump for
each parser and length, named ``KIND|PARSER|OCTETS``."""

from __future__ import annotations

import ctypes
import gc
import sys

from benchmarks.hostile_cases import KINDS, repeated

OCTETS = 2048
LEFT_OUT = ("ENVELOPE", "BODYSTRUCTURE", "the default script", "Sieve vacation")
"""Python around what others here do."""


def main(library: str) -> None:
    counter = ctypes.CDLL(library)
    for kind_name, kind in KINDS.items():
        inputs = {octets: [repeated(unit, octets) for unit in kind.hostile.values()] for octets in (OCTETS, 2 * OCTETS)}
        for name, parser in kind.parsers().items():
            if name in LEFT_OUT:
                continue
            for value in inputs[OCTETS][:1]:
                parser(value)  # imports and tables
            gc.collect()
            gc.disable()
            counter.start()
            for octets, values in inputs.items():
                counter.zero()
                for value in values:
                    parser(value)
                counter.dump(f"{kind_name}|{name}|{octets}".encode())
            counter.stop()
            gc.enable()


if __name__ == "__main__":
    main(sys.argv[1])
