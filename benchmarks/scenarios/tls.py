"""STARTTLS, one message per connection: what of OpenSSL's handshake rate is left when mail is taken in as well?

The ceiling is the direct path: the same generator against the sink, whose TLS is OpenSSL's own through Python's ``ssl``
and which keeps nothing. Resumed handshakes are TLS 1.3 with a ticket. Nothing is delivered meanwhile, so that no
server's outgoing TLS is in the figures. All have the same certificate, with a key of P-256. "resumed" is the share of
handshakes that took an earlier session up again, as the generator saw it: a server that resumes nothing shows there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.comparison import Comparison, Work
from benchmarks.results import Column, Run
from benchmarks.scenarios.settings import Settings
from benchmarks.tools import Load
from tests.support.tls import make_pair

TLS: Final = ("--tls", "starttls")
WORKS: Final = (
    Work("STARTTLS, a connection per message, resumed, 1 KiB", Load("own", "new-connection", more=TLS)),
    Work(
        "STARTTLS, a connection per message, full handshakes, 1 KiB",
        Load("own", "new-connection", more=(*TLS, "--no-resumption")),
    ),
)
SERVERS: Final = ("direct", "relay", "postfix")
"""Those whose configuration here knows TLS."""
COLUMNS: Final = (
    Column("accept_per_second", "accepted/s"),
    Column("resumed", "resumed %", 0, 100),
    Column("cpu_us", "CPU µs/message"),
    Column("generator_cpu_us", "generator µs", 1),
    Column("sink_cpu_us", "sink µs", 1),
    Column("messages", "messages each"),
)


def run(run: Run, settings: Settings) -> None:
    """Both works by every server that can do TLS here."""
    files = make_pair(run.folder / "tls", "mx.relay.example")
    for path in (files.cert, files.key):
        path.chmod(0o644)  # servers that give root up read it too; it is made for this run and thrown away
    comparison = Comparison(
        run,
        [name for name in settings.servers if name in SERVERS],
        settings.repetitions or 5,
        settings.seconds or 3.0,
        delivers=False,
        count_syncs=False,
        settings=server_settings(files.cert, files.key),
        sink_options=(*TLS, "--certificate", str(files.cert), "--key", str(files.key)),
    )
    comparison.measure([work for work in WORKS if settings.wanted(work.name)])


def server_settings(cert: Path, key: Path) -> dict[str, dict[str, str]]:
    """What each server's configuration gets for this certificate."""
    return {
        "relay": {"[certificate]": f'cert = "{cert}"\nkey = "{key}"'},
        "postfix": {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": str(cert),
            "smtpd_tls_key_file": str(key),
        },
    }
