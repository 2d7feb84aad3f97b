"""Makes docs/operations/metrics.md and docs/operations/log.md from the tables of metrics and of log fields.

``python -m relay.telemetry.reference docs/operations`` writes both; a test fails when they are stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from relay.telemetry import lines
from relay.telemetry.collector import COMPUTED
from relay.telemetry.declaration import HISTOGRAM, MAX, Metric
from relay.telemetry.lines import Field, Value
from relay.telemetry.metrics import TABLE

_HEAD: Final = "<!-- Made by `python -m relay.telemetry.reference docs/operations`; do not edit. -->\n"

_METRICS_INTRO: Final = """\
# Metrics

`GET /metrics` on the admin port gives all of them, as Prometheus text or OpenMetrics, whichever is asked for;
`/metrics?name[]=relay_queue_entries` gives only that one. The values are those of the whole appliance: each process
counts in memory that it shares with the others, and what a process counted stays in the sums when it dies or is
replaced by a reload. Counters start at 0 when the appliance starts. A gauge is the sum over all processes unless its
line says `largest`.

With `admin.token_file` set, a scraper has to send what is in that file; Prometheus:

    scrape_configs:
      - job_name: relay
        authorization: { credentials_file: /etc/prometheus/relay-token }
        static_configs: [{ targets: ["mx.example.org:8025"] }]

Labels have the values listed here and no others, so the number of series is fixed. Alert rules are in
`deploy/prometheus/relay.rules.yaml`, a board in `deploy/grafana/relay.json`.
"""

_LOG_INTRO: Final = """\
# The log

One JSON object on each line, in UTF-8, to the place that `log.destination` names. There are four kinds of lines:
`transaction`, `delivery`, `session` and `event`. Times are RFC 3339 in UTC with milliseconds; names ending in
`_seconds` are seconds with microseconds behind the point; sizes are octets. A field that has nothing to say is absent.
Fields may be added in later versions; none changes its meaning.

What peers send is shown, never obeyed: control characters, line separators and marks that turn the direction of
text are written as `\\uXXXX`, an octet that is not UTF-8 as `\\xNN` (in the JSON `\\\\xNN`). A text is cut after
{text_limit} octets and then ends in `…`; a list after {list_limit} values, and then ends in `… and N more`. No line
holds a password or anything of a message's content.

Lines are written in batches, some 100 ms after they were made, and all of them before a process ends in peace. When the
destination takes no more (a full disk, a stopped reader), lines wait up to `log.buffer_limit`; what is above is
dropped, counted in `relay_log_lines_lost_total`, and reported by the event `log lines lost`. Lines of different
processes never mix, but are not sorted: order them by `time`. After the file was moved away, SIGHUP makes Relay open a
new one.
"""

_EVENT_NOTE: Final = """\
Further fields depend on the event. What Relay's libraries have to say comes as the event `library message` with
`logger`, `text` and `trace`.
"""

_NOW: Final = 1_767_323_045_678_901
_SESSION: Final = (
    "06FAQ1T4WG000", "imap", "imaps", "192.0.2.5", 51234, "TLSv1.3 TLS_AES_256_GCM_SHA384", "alice@example.org",
    "logout", 14, None, 3, None, 1, 611, 48213, 12_400_000,
)  # fmt: skip
_TRANSACTION: Final = (
    "01KDYN2J9E000", "7f3a91c2", 1, "mx", "192.0.2.17", 40123, b"mail.example.org", "ESMTP", None, None,
    b"ann@example.org", (b"bob@demo.test",), 1, (b"bub@demo.test: 550 5.1.1",), None, 1834, "accepted", "spool", 250,
    "2.0.0", "Ok: queued as 01KDYN2J9E000", None,
    ((b'{"check":"relaying","stage":"rcpt","result":"pass","us":', 2),
     (b'{"check":"relaying","stage":"rcpt","result":"reject","why":"unknown_recipient","us":', 9)), None, None,
    1210, 2954, 412,
)  # fmt: skip
_DELIVERY: Final = (
    "01KDYN2J9E000", 2, "smtp", "smtp:mail.relay.test:25", "mail.relay.test[198.51.100.4]:25", None, b"ann@example.org",
    (b"eve@relay.test",), 2011, "deferred", "rcpt", 450, "4.2.1", "Mailbox busy", 3, _NOW + 300_000_000,
    60_001_244, None, 5310, 60_006_554,
)  # fmt: skip


def metrics_page() -> str:
    """The page on metrics."""
    parts: dict[str, list[str]] = {}
    for metric in TABLE:
        parts.setdefault(metric.name.split("_")[1], []).append(_metric_row(metric))
    for name, text, labels in COMPUTED:
        shown = ", ".join(f"`{label}`" for label in labels)
        parts.setdefault(name.split("_")[1], []).append(f"| `{name}` | gauge | {text} | {shown} |")
    sections = (
        f"## {part}\n\n| Name | Kind | What it tells | Labels and buckets |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
        for part, rows in parts.items()
    )
    return "\n".join((_HEAD + _METRICS_INTRO, *sections))


def log_page() -> str:
    """The page on log lines."""
    intro = _LOG_INTRO.format(text_limit=lines.TEXT_LIMIT, list_limit=lines.LIST_LIMIT)
    identity: dict[str, Value] = {"role": "supervisor", "slot": 0, "generation": 3, "pid": 7}
    event = json.loads(lines.event(lines.ERROR, "reload refused", identity, {"errors": 2}))
    event["time"] = lines.timestamp(_NOW).decode()
    return "\n".join(
        (
            _HEAD + intro,
            "## In every line\n",
            _field_table(
                (Field("time", "when it was made"), Field("kind", "`transaction`, `delivery`, `session` or `event`")),
            ),
            "## transaction\n",
            "The end of a transaction that began with MAIL, accepted or not.\n",
            _field_table(lines.TRANSACTION_FIELDS),
            _example(lines.TRANSACTION.build(_NOW, _TRANSACTION)),
            "## delivery\n",
            "One outcome of one attempt to hand a message to one next hop or mailbox.\n",
            _field_table(lines.DELIVERY_FIELDS),
            _example(lines.DELIVERY.build(_NOW, _DELIVERY)),
            "## session\n",
            "The end of a session at a mailbox, IMAP or POP3.\n",
            _field_table(lines.SESSION_FIELDS),
            _example(lines.SESSION.build(_NOW, _SESSION)),
            "## event\n",
            "Something happened to the appliance itself.\n",
            _field_table(lines.EVENT_FIELDS),
            _EVENT_NOTE,
            _example(json.dumps(event, separators=(",", ":")).encode()),
        )
    )


def _metric_row(metric: Metric) -> str:
    kind = f"{metric.kind}, largest" if metric.merge == MAX else metric.kind
    notes = [f"`{label.name}`: {', '.join(label.values)}" for label in metric.labels]
    if metric.kind == HISTOGRAM:
        divisor = 1 if metric.scale == 1 else round(1 / metric.scale)
        notes.append("buckets: " + ", ".join(f"{bound / divisor:.10g}" for bound in metric.bounds))
    return f"| `{metric.name}` | {kind} | {metric.help} | {'; '.join(notes)} |"


def _field_table(fields: Iterable[Field]) -> str:
    rows = "\n".join(f"| `{field.name}` | {field.text} |" for field in fields)
    return f"| Field | What it says |\n| --- | --- |\n{rows}\n"


def _example(line: bytes) -> str:
    return f"```json\n{line.decode().strip()}\n```\n"


def main(folder: Path) -> None:
    """Writes both pages into ``folder``."""
    (folder / "metrics.md").write_text(metrics_page(), encoding="utf-8")
    (folder / "log.md").write_text(log_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
