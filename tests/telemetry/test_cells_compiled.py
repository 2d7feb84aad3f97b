"""relay/telemetry/cells.pxd counts as the Python side does."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = """
# cython: language_level=3
from libc.stdint cimport int64_t, uint64_t
from relay.telemetry.cells cimport Histogram, find_histogram, observe, row_pointer

def count(row, str name, str label, list values):
    cdef uint64_t* cells = row_pointer(row)
    cdef Histogram histogram
    cdef int64_t value
    find_histogram(&histogram, name, label)
    for value in values:
        observe(cells, &histogram, value)
"""
CHECK = """
import sys
sys.path[:0] = [{built!r}, {root!r}]
import probe
from relay.telemetry import metrics
from relay.telemetry.page import CountersPage
values = [-1, 0, 1, 99, 100, 101, 5_000_000, 5_000_001, 10**15, *range(0, 3_000_000, 997)]
page = CountersPage(3)
for name, label in (("relay_spool_sync_seconds", None), ("relay_delivery_stage_seconds", "greeting")):
    probe.count(page.row(1), name, label, values)
    cells = metrics.histogram_cells(name, *([label] if label else []))
    for value in values:
        cells.observe(page.row(2), value)
    assert sum(page.row(2)[cells.first : cells.first + len(cells.bounds) + 1]) == len(values)
assert page.row(1).tolist() == page.row(2).tolist()
for wrong, fault in ((("relay_smtp_replies_total", None), LookupError), (("x", None), LookupError)):
    try:
        probe.count(page.row(1), *wrong, [])
    except fault:
        continue
    raise AssertionError(wrong)
try:
    probe.count(bytearray(8), "relay_spool_sync_seconds", None, [])
except ValueError:
    print("agreed")
"""


@pytest.mark.timeout(300)
def test_compiled_counting_agrees_with_python(tmp_path):
    (tmp_path / "probe.pyx").write_text(MODULE)
    (tmp_path / "setup.py").write_text(
        textwrap.dedent(f"""
        from setuptools import setup, Extension
        from Cython.Build import cythonize
        setup(ext_modules=cythonize([Extension("probe", ["probe.pyx"])], include_path=[{str(ROOT)!r}]))
        """)
    )
    build = [sys.executable, "setup.py", "build_ext", "--inplace"]
    built = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    check = CHECK.format(built=str(tmp_path), root=str(ROOT))
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert result.stdout == "agreed\n", result.stderr
