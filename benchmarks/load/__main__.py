"""``python -m benchmarks.load``."""

from benchmarks.load.command import load

load(prog_name="python -m benchmarks.load")
