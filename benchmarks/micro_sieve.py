"""What scripts cost a delivery, in microseconds of CPU for a message; ``python -m benchmarks.micro_sieve``.

Least of several runs. The first line is what every delivery to an account without a script pays.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from relay.config.sieve import SieveSettings
from relay.mda.incoming import Incoming
from relay.mda.sieve_plan import Filters
from relay.sieve import Environment, MessageView, compile_script, evaluate
from relay.sieve.default import TEXT

HEADER = (
    b"Received: from a.example.org by b.example.org; Tue, 01 Apr 2014 09:06:31 -0700\r\n" * 4
    + b"".join(b"X-Field-%d: some value as fields have them\r\n" % number for number in range(18))
    + b"From: ann@example.org\r\nSubject: hello\r\n\r\n"
)
MESSAGE = HEADER + b"x" * 1024
TYPICAL = b"""\
require ["fileinto", "envelope", "subaddress", "variables"];
if header :contains "List-Id" ["dev.example.org", "ops.example.org"] { fileinto "Lists"; stop; }
if address :domain "from" ["example.com", "example.net"] { fileinto "Work"; stop; }
if envelope :detail "to" "shop" { fileinto "Shop"; stop; }
if header :matches "Subject" "[*] *" { fileinto "Tagged/${1}"; }
"""


def best(call: Callable[[], object], number: int = 5_000) -> float:
    found = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(number):
            call()
        found.append((time.process_time() - began) / number * 1e6)
    return min(found)


def main() -> None:
    environment = Environment(datetime.now(UTC), reverse_path="ann@example.org", recipient="bob@demo.test")
    default, typical = compile_script(TEXT), compile_script(TYPICAL)
    with tempfile.TemporaryDirectory() as folder:
        filters = Filters(
            SieveSettings(), hostname="mx", delimiter="+", global_dir=Path(folder) / "global", lifetime=432_000
        )
        incoming = Incoming("Q", b"ann@example.org", b"bob@demo.test", b"bob@demo.test", len(MESSAGE), MESSAGE, None)
        account = Path(folder)
        print(f"an account without a script   {best(lambda: filters.plan(account, incoming, 1.7e9)):8.2f} µs")
    for name, script in (("the default script, run", default), ("a script of four tests", typical)):
        cost = best(lambda: evaluate(script, MessageView(MESSAGE, len(MESSAGE)), environment))  # noqa: B023 - called here
        print(f"{name:<29} {cost:8.2f} µs")
    print(f"compiling that one            {best(lambda: compile_script(TYPICAL), 300):8.2f} µs")


if __name__ == "__main__":
    main()
