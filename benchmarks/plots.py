"""Plots of the results, as PNG and SVG, with matplotlib (needed for nothing else: deploy/lock/bench.txt).

One subject a plot, the value written at its bar, the same colour for the same server everywhere.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

COLOURS: Final = {
    "direct": "#9aa0a6", "relay": "#1a66c2", "postfix": "#c0504d", "exim": "#8064a2", "opensmtpd": "#e2a33a",
    "haraka": "#5aa469", "email": "#e2a33a",
}  # fmt: skip
_WIDE: Final = 50
Works = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Work -> server -> values, as in a result file."""


def is_possible() -> bool:
    """Whether matplotlib is there."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def bars(works: Works, value: str, title: str, path: Path) -> list[Path]:
    """One group of horizontal bars per work; on a logarithmic scale where a linear one would show only the longest."""
    rows = [
        (work, server, values[value])
        for work, servers in works.items()
        for server, values in servers.items()
        if value in values
    ]
    if not rows:
        return []
    numbers = [row[2] for row in rows]
    logarithmic = min(numbers) > 0 and max(numbers) / min(numbers) > _WIDE
    figure, axes = _figure(9, 0.6 + 0.3 * len(rows) + 0.35 * len(works))
    position, ticks, labels = 0.0, [], []
    for work in dict.fromkeys(row[0] for row in rows):
        group = [row for row in rows if row[0] == work]
        ticks.append(position + (len(group) - 1) / 2)
        labels.append(_folded(work))
        for _, server, number in group:
            axes.barh(position, number, color=COLOURS.get(server, "#555555"), height=0.85)
            axes.annotate(f" {server} {_short(number)}", (number, position), va="center", fontsize=8)
            position += 1
        position += 0.8
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.invert_yaxis()
    if logarithmic:
        axes.set_xscale("log")
    _number(axes.xaxis, logarithmic=logarithmic)
    axes.margins(x=0.22, y=0.02)
    axes.set_title(f"{title} (log scale)" if logarithmic else title, loc="left", fontsize=11)
    return _saved(figure, path)


def latency(works: Works, title: str, path: Path) -> list[Path]:
    """p50 (solid), p99 (dashed) and p99.9 (dotted) over the rate."""
    series: dict[str, list[tuple[float, Mapping[str, float]]]] = {}
    for work, servers in works.items():
        rate = work.split(" ")[0].replace(",", "")
        for server, values in servers.items():
            if rate.isdigit() and values.get("accept_p50_ms"):
                series.setdefault(server, []).append((float(rate), values))
    if not series:
        return []
    figure, axes = _figure(8, 4.5)
    for server, points in series.items():
        rates = [rate for rate, _ in points]
        for percentile, style in (("p50", "-"), ("p99", "--"), ("p99.9", ":")):
            heights = [values[f"accept_{percentile}_ms"] for _, values in points]
            label = f"{server} {percentile}"
            axes.plot(rates, heights, style, marker="o", markersize=3, color=COLOURS.get(server), label=label)
    _both_logarithmic(axes)
    axes.set_xlabel("messages/s offered")
    axes.set_ylabel("ms to the answer")
    figure.legend(loc="outside right upper", fontsize=8, handlelength=3.5, frameon=False)
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.set_title(title, loc="left", fontsize=11)
    return _saved(figure, path)


def lines(
    points: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str], title: str, path: Path
) -> list[Path]:
    """One line per name: how a cost grows with the work."""
    if not any(len(series) > 1 for series in points.values()):
        return []
    figure, axes = _figure(8, 4)
    for name, series in points.items():
        axes.plot(*zip(*series, strict=True), marker="o", markersize=3, color=COLOURS.get(name), label=name)
    _both_logarithmic(axes)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.legend(frameon=False, fontsize=8)
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.set_title(title, loc="left", fontsize=11)
    return _saved(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "relay"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _saved(figure: Any, path: Path) -> list[Path]:
    from matplotlib import pyplot as plt

    paths = [path.with_suffix(ending) for ending in (".png", ".svg")]
    for one in paths:
        # No date and a fixed salt: the same figures give the same file.
        figure.savefig(one, dpi=110, metadata={"Date": None} if one.suffix == ".svg" else None)
    plt.close(figure)
    return paths


def _both_logarithmic(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        _number(axis, logarithmic=True)


def _number(axis: Any, *, logarithmic: bool) -> None:
    """Writes the axis' numbers out, as those at the bars are."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if logarithmic:
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda number, _: _short(number)))


def _short(number: float) -> str:
    if number >= 1e6:
        millions = number / 1e6
        return f"{millions:,.0f} M" if millions >= 100 else f"{millions:.3g} M"
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def _folded(text: str) -> str:
    first, _, rest = text.partition(", ")
    return "\n".join(textwrap.wrap(f"{first},", 40) + textwrap.wrap(rest, 40)) if rest else textwrap.fill(text, 40)
