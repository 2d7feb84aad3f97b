"""The results page: benchmarks/RESULTS.md and its plots, made from the files in benchmarks/results.

Every figure on it comes from a result file of this machine; what was not measured is missing or says so. The page
begins with the targets, those not reached named first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import machine, plots
from benchmarks.results import RESULTS, Column, Medians, load, measurements_of, medians, spread
from benchmarks.scenarios import SUMMARIES, scenario
from benchmarks.targets import TARGETS

_HEAD: Final = """\
# Results

<!-- Made by `python -m benchmarks report` from the files in results/. Do not edit. -->

Medians of interleaved repetitions in one run on one machine, which also runs the generator and the sink: read the
ratios, and [README.md](README.md) on what they mean and what they do not show. The result files have every single
measurement, the configurations and the exact commands.
"""


def write(results: Path = RESULTS) -> Path:
    """Writes the page and the plots beside it; its path. Raises FileNotFoundError when there are no results."""
    documents = {path.stem: load(path) for path in sorted(results.glob("*.json")) if path.stem in SUMMARIES}
    if not documents:
        raise FileNotFoundError(f"no results in {results}")
    found = {name: medians(measurements_of(document)) for name, document in documents.items()}
    lines = [_HEAD, *_targets(found), *_told(results.parent / "WHERE-THE-TIME-GOES.md")]
    for name in SUMMARIES:
        if name in documents:
            lines += _scenario(name, documents[name], found[name], results)
    page = results.parent / "RESULTS.md"
    page.write_text("\n".join(lines).rstrip() + "\n")
    return page


def _targets(found: dict[str, Medians]) -> list[str]:
    rows, missed, unknown = [], [], []
    for target in TARGETS:
        value = target.measured(found)
        what = f"{target.title}: {target.limit_text()}"
        if value is None:
            verdict, shown = "not measured", "–"
            unknown.append(what)
        else:
            verdict, shown = ("reached" if target.is_reached(value) else "**not reached**"), target.text(value)
            if not target.is_reached(value):
                missed.append(f"{what}, measured {shown}")
        rows.append(f"| {target.title} | {target.limit_text()} | {shown} | {verdict} |")
    lines = ["## Targets", "", "| work | target | measured | |", "|---|---:|---:|---|", *rows, ""]
    for title, names in (("Not reached", missed), ("Not measured", unknown)):
        if names:
            lines += [f"{title}:", "", *(f"- {name}" for name in names), ""]
    return lines


def _told(path: Path) -> list[str]:
    """What people found out about the figures: profiles, and what was tried."""
    return [path.read_text().strip(), ""] if path.exists() else []


def _scenario(name: str, document: dict[str, Any], found: Medians, results: Path) -> list[str]:
    columns: Sequence[Column] = scenario(name).COLUMNS
    lines = [f"## {name}", "", SUMMARIES[name], ""]
    for path in _plots(name, found, results):
        lines += [f"![{name}: {path.stem}](results/{path.name})", ""]
    lines += _table(name, document, found, columns)
    lines += [f"Run: `{document['command']}` → [results/{name}.json](results/{name}.json)", ""]
    lines += [f"- {line}" for line in machine.as_text(document["machine"])]
    for server, said in document["servers"].items():
        if server != "direct":
            lines.append(f"- {server}: {said['version']}; {said['durability']}. Tuning: {'; '.join(said['tuning'])}.")
    lines += [f"- {_one_line(note)}" for note in document["notes"]]
    return [*lines, ""]


def _table(name: str, document: dict[str, Any], found: Medians, columns: Sequence[Column]) -> list[str]:
    measured = measurements_of(document)
    used = [column for column in columns if any(column.value in v for s in found.values() for v in s.values())]
    main = used[0] if used else None
    ratios = name in ("relay", "accept", "fanout", "tls", "mailbox") and main is not None
    heads = ["work", "server", *(column.title for column in used)]
    heads += ["least–most", "of direct", "Relay is"] if ratios else []
    lines = [f"| {' | '.join(heads)} |", f"|---|---|{'---:|' * (len(heads) - 2)}"]
    for work, servers in found.items():
        for position, (server, values) in enumerate(servers.items()):
            cells = [work if position == 0 else "", server, *(column.text(values) for column in used)]
            if ratios and main:
                between = spread(measured, work, server, main.value)
                cells.append(f"{between[0]:,.0f}–{between[1]:,.0f}" if between else "–")
                cells += _ratios(servers, server, main.value)
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _ratios(servers: dict[str, dict[str, float]], server: str, value: str) -> list[str]:
    own, direct = servers[server].get(value), servers.get("direct", {}).get(value)
    ours = servers.get("relay", {}).get(value)
    of_direct = f"{own / direct * 100:.0f} %" if own and direct and server != "direct" else ""
    times = f"{ours / own:.1f} ×" if own and ours and server not in ("relay", "direct") else ""
    return [of_direct, times]


def _plots(name: str, found: Medians, results: Path) -> list[Path]:
    """Makes the scenario's plots; the PNGs among them, for the page."""
    if not plots.is_possible():
        return []
    made: list[Path] = []
    if name in ("relay", "fanout"):
        unit = "recipients/s" if name == "fanout" else "messages/s"
        made += plots.bars(found, "per_second", f"{unit} at the sink", results / f"{name}-throughput")
        made += plots.bars(found, "cpu_us", "CPU µs per message, the server's processes", results / f"{name}-cpu")
    if name == "accept":
        made += plots.bars(found, "accept_per_second", "messages/s answered with 250", results / "accept-throughput")
    if name == "tls":
        made += plots.bars(found, "accept_per_second", "messages/s, a handshake each", results / "tls-throughput")
    if name == "latency":
        made += plots.latency(found, "Wait for the answer to the end of data, open loop", results / "latency")
        made += plots.lines(_cpu_by_rate(found), ("messages/s offered", "CPU µs per message"),
                            "Cost of a message as the rate grows", results / "latency-cpu")  # fmt: skip
    if name == "idle":
        made += plots.bars(found, "bytes_per_session", "octets per idle session", results / "idle-memory")
    if name == "mime":
        made += plots.bars(found, "bytes_per_second", "octets/s of content scanned", results / "mime")
    if name == "slow-destination":
        made += plots.bars(found, "per_second", "healthy messages/s", results / "slow-destination")
    if name == "backlog":
        sizes = [(values["relay"]["deferred"], values["relay"]["known_seconds"]) for values in found.values()]
        made += plots.lines({"relay": sorted(sizes)}, ("deferred messages", "seconds until all are known again"),
                            "Restart with a backlog", results / "backlog-restart")  # fmt: skip
    return [path for path in made if path.suffix == ".png"]


def _cpu_by_rate(found: Medians) -> dict[str, list[tuple[float, float]]]:
    series: dict[str, list[tuple[float, float]]] = {}
    for work, servers in found.items():
        rate = work.split(" ")[0].replace(",", "")
        for server, values in servers.items():
            if rate.isdigit() and "cpu_us" in values:
                series.setdefault(server, []).append((float(rate), values["cpu_us"]))
    return series


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
