"""What a log line, a count and a place in the sink cost; ``python -m benchmarks.micro_lines``.

The design allows 1.5 µs for a line of 15 fields (``logging`` takes 12.6). Figures are the best of several runs, in
microseconds a call.
"""

from __future__ import annotations

import json
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from relay.telemetry.collector import registry
from relay.telemetry.lines import DELIVERY, TRANSACTION, Line
from relay.telemetry.metrics import histogram_cells, index
from relay.telemetry.page import CountersPage
from relay.telemetry.sink import LogSink

NOW = 1_767_323_045_678_901
FIFTEEN = (
    "01KDYN2J9E000", "7f3a91c2", 1, "mx", "192.0.2.17", b"mail.example.org", "ESMTP", b"ann@example.org",
    (b"bob@demo.test",), 0, 1834, 250, "2.0.0", "Ok: queued as 01KDYN2J9E000", 412,
)  # fmt: skip
ACCEPTED: Final[dict[str, Any]] = {
    "queue_id": "01KDYN2J9E000", "session_id": "7f3a91c2", "transaction": 1, "listener": "mx", "client": "192.0.2.17",
    "client_port": 40123, "helo": b"mail.example.org", "protocol": "ESMTP", "reverse_path": b"ann@example.org",
    "recipients": (b"bob@demo.test",), "recipients_refused": 0, "size": 1834, "result": "accepted", "stage": "spool",
    "code": 250, "status": "2.0.0", "text": "Ok: queued as 01KDYN2J9E000",
    "decisions": ((b'{"check":"relaying","stage":"rcpt","result":"pass","us":', 2),),
    "envelope_seconds": 1210, "content_seconds": 2954, "spool_seconds": 412,
}  # fmt: skip
"""An accepted message, by the names of TRANSACTION_FIELDS."""
WHOLE: Final = tuple(ACCEPTED.get(name) for name in TRANSACTION.names)
SENT = (
    "01KDYN2J9E000", 1, "smtp", "smtp:mail.relay.test:25", "mail.relay.test[198.51.100.4]:25", None, b"ann@example.org",
    (b"eve@relay.test",), 2011, "delivered", "reply", 250, "2.0.0", "Ok", 3, None, 1244, None, 5310, 6554,
)  # fmt: skip


def best(call: Callable[[], object], number: int = 100_000) -> float:
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def main() -> None:
    fifteen = Line("transaction", [(f"field_{number}", 0) for number in range(15)])
    names = [f"field_{number}" for number in range(15)]
    plain: list[object] = [value.decode() if isinstance(value, bytes) else value for value in FIFTEEN[:8]]
    plain += [["bob@demo.test"], *FIFTEEN[9:]]
    print(f"a line of 15 fields             {best(lambda: fifteen.build(NOW, FIFTEEN)):8.3f} µs")
    print(f"  json.dumps of a dict of them  {best(lambda: json.dumps(dict(zip(names, plain, strict=True)))):8.3f} µs")
    print(f"a transaction line              {best(lambda: TRANSACTION.build(NOW, WHOLE)):8.3f} µs")
    print(f"a delivery line                 {best(lambda: DELIVERY.build(NOW, SENT)):8.3f} µs")
    hostile = (b"\x00\xff\x1b[31m" * 40,)
    one = Line("test", [("helo", 0)])
    print(f"a line with 240 hostile octets  {best(lambda: one.build(NOW, hostile)):8.3f} µs")

    line = TRANSACTION.build(NOW, WHOLE)
    with tempfile.TemporaryDirectory() as folder:
        sink = LogSink(Path(folder) / "log", 1 << 30)
        print(f"append to the sink              {best(lambda: sink.append(line), 50_000):8.3f} µs")
        began = timeit.default_timer()
        sink.finish(60)
        print(f"  and the rest written in       {(timeit.default_timer() - began) * 1000:8.1f} ms")

    page = CountersPage()
    rows = [page.row(page.take_row("smtp")) for _ in range(8)]
    row, cell, wait = rows[0], index("relay_smtp_replies_total", 250), histogram_cells("relay_spool_sync_seconds")

    def count() -> None:
        row[cell] += 1

    print(f"a count from Python             {best(count):8.3f} µs")
    print(f"a histogram value from Python   {best(lambda: wait.observe(row, 300)):8.3f} µs")
    from prometheus_client.exposition import generate_latest

    ours = registry(page)
    print(f"a scrape of 9 rows              {best(lambda: generate_latest(ours), 20):8.0f} µs")


if __name__ == "__main__":
    main()
