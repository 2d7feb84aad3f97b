"""What a metric is: its declaration, and how many cells it takes in a row of counters.

Theory: every process owns one row of unsigned 64-bit cells in shared memory and is the only writer of it, so an
increment is one plain addition. A metric is declared once; its cells are laid out one after the other, one block per
combination of label values, in the order of the declaration. Values are integers everywhere; ``scale`` turns them
into the unit of the exposition (cells count microseconds, the exposition says seconds).

A histogram's block holds one count for each bound (values up to and including the bound, not cumulative), one count
for everything above, then the sum of all values.

Not here: which metrics exist (metrics.py), where the rows live (page.py), how they are shown (collector.py).
"""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

SUM: Final = "sum"
"""The appliance's value is the sum over all rows."""
MAX: Final = "max"
"""The appliance's value is the largest of all rows: for what every process sees alike, such as free disk space. A
cell that was never written is 0 and so never wins."""

MICROSECONDS: Final = 1e-6
"""Scale of a metric whose cells count microseconds and whose name ends in ``_seconds``."""


class Label(NamedTuple):
    """A dimension with its enumerated values: nothing a peer sends ever makes a new time series."""

    name: str
    values: tuple[str, ...]


class Metric(NamedTuple):
    """One metric; made with counter(), gauge() or histogram()."""

    name: str
    kind: str
    help: str
    labels: tuple[Label, ...] = ()
    bounds: tuple[int, ...] = ()
    """Upper bounds of a histogram's buckets in cell units, rising; empty otherwise."""
    scale: float = 1
    """Exposed value = cell value x scale."""
    merge: str = SUM

    @property
    def block(self) -> int:
        """Cells for one combination of label values."""
        return len(self.bounds) + 2 if self.kind == HISTOGRAM else 1

    @property
    def combinations(self) -> tuple[tuple[str, ...], ...]:
        """All combinations of label values in cell order; one empty tuple when there are no labels."""
        return tuple(itertools.product(*(label.values for label in self.labels)))

    @property
    def cells(self) -> int:
        """Cells that the whole metric takes."""
        return self.block * len(self.combinations)


def counter(name: str, text: str, *labels: Label, scale: float = 1) -> Metric:
    """A number that only rises; the sums of dead processes stay in it."""
    return Metric(name, COUNTER, text, labels, scale=scale)


def gauge(name: str, text: str, *labels: Label, merge: str = SUM, scale: float = 1) -> Metric:
    """A number that rises and falls; a dead process's share is set to 0."""
    return Metric(name, GAUGE, text, labels, merge=merge, scale=scale)


def histogram(name: str, text: str, bounds: tuple[int, ...], *labels: Label, scale: float = 1) -> Metric:
    """Counts of values by size; ``bounds`` in cell units."""
    return Metric(name, HISTOGRAM, text, labels, bounds, scale)
