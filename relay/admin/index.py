"""The page at /: what is where and how it goes, in plain HTML without script, image or anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from relay import __version__
from relay.admin.facts import Facts, Listening, QueueCounts
from relay.admin.readiness import Reason

_STYLE: Final = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.good,.bad{padding:.5rem .75rem;border-left:.4rem solid #2a7d3f}.bad{border-color:#b3261e}
code{font-family:ui-monospace,monospace}
"""
STYLE_HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""The only style that the security policy lets through."""

_PLACES: Final = (
    ("/metrics", "Prometheus metrics of all processes, dead ones included"),
    ("/livez", "200 while the appliance should go on running"),
    ("/readyz", "200 when mail may be sent here; 503 with the reasons when not"),
    ("/api/status", "processes, generation, listeners, as JSON"),
    ("/api/queue", "what waits, by state and age, as JSON"),
)


def page(
    *,
    hostname: str,
    facts: Facts,
    reasons: tuple[Reason, ...],
    listeners: Sequence[Listening],
    queue: QueueCounts,
) -> str:
    """The whole page; everything that is not from here is escaped."""
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>Relay on {escape(hostname)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n",
            f"<h1>Relay {escape(__version__)} on {escape(hostname)}</h1>\n",
            _state(facts, reasons),
            "<h2>Here</h2>\n",
            _table(("Address", "What it tells"), ((_link(path), escape(text)) for path, text in _PLACES)),
            "<h2>Listeners</h2>\n",
            _table(
                ("Name", "Kind", "Address", "Port"),
                ((escape(each.name), escape(each.kind), escape(each.address), str(each.port)) for each in listeners),
            ),
            "<h2>Processes</h2>\n",
            _table(
                ("Role", "Slot", "Generation", "State", "Process id"),
                (
                    (escape(each.role), str(each.slot), str(each.generation), escape(each.state), str(each.pid))
                    for each in facts.processes
                ),
            ),
            "<h2>Queue</h2>\n",
            _table(("State", "Entries"), ((escape(state), str(count)) for state, count in queue.states.items())),
            "</main>\n</body>\n</html>\n",
        )
    )


def _state(facts: Facts, reasons: tuple[Reason, ...]) -> str:
    lines = []
    if reasons:
        why = "; ".join(escape(reason.text) for reason in reasons)
        lines.append(f'<p class="bad" role="status">Not ready: {why}.</p>\n')
    else:
        lines.append(f'<p class="good" role="status">Ready, generation {facts.generation}.</p>\n')
    if facts.is_reload_refused:
        lines.append('<p class="bad">The last reload was refused (the log says why); the one before serves.</p>\n')
    return "".join(lines)


def _link(path: str) -> str:
    return f'<a href="{escape(path)}"><code>{escape(path)}</code></a>'


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; ``rows`` hold HTML."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def _cell(text: str) -> str:
    return f'<td class="n">{text}</td>' if text.isdecimal() else f"<td>{text}</td>"
