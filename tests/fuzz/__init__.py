"""Coverage-guided fuzzing of the parsers; ``python -m tests.fuzz NAME [libFuzzer options]``.

One target per parser: the functions of tests/fastparse/agreement.py and tests/mime/agreement.py. The fuzzer sees the
coverage of the twin, which has a branch wherever the grammar has one. What it finds goes into tests/corpus/NAME; every
test run replays it.
"""
