"""Against the tools that everybody has: Postfix' smtp-source and smtp-sink."""

import os
import shutil
import socket
import subprocess
import time

import pytest

from tests.benchmarks.load.stand import generate, sink
from tests.support.appliance import free_port
from tests.support.needs import need

PATH = "/usr/sbin:/usr/bin:/usr/local/sbin"
SOURCE = shutil.which("smtp-source", path=PATH) or ""
SINK = shutil.which("smtp-sink", path=PATH) or ""


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
@pytest.mark.parametrize("reuse", [(), ("-d",)])
def test_smtp_source_is_served(protocol, reuse):
    need(bool(SOURCE), "smtp-source is not installed (Debian: postfix)")
    with sink("--protocol", protocol, "--verify") as running:
        lmtp = ("-L",) if protocol == "lmtp" else ()
        plan = ("-s", "5", "-m", "50", "-l", "2000", "-r", "3", "-f", "a@b.test", "-t", "someone@relay.test")
        subprocess.run([SOURCE, *lmtp, *reuse, *plan, running.address], check=True, timeout=30)
    totals = running.totals
    assert (totals["messages"], totals["recipients"], totals["foreign"]) == (50, 150, 50)
    assert totals["replies"]["content"] == {"250": 150 if protocol == "lmtp" else 50}
    assert totals["connections"]["lost"] == 0


@pytest.fixture
def smtp_sink(request):
    """Its port; the parameter is further options."""
    need(bool(SINK), "smtp-sink is not installed (Debian: postfix)")
    port = free_port()
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    with subprocess.Popen(
        [SINK, *user, *request.param, f"127.0.0.1:{port}", "100"], stdout=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
        yield port
        process.terminate()


@pytest.mark.parametrize("dialogue", ["lock-step", "grouped", "pipelined"])
@pytest.mark.parametrize(("smtp_sink", "protocol"), [((), "smtp"), (("-L",), "lmtp")], indirect=["smtp_sink"])
def test_smtp_sink_takes_what_is_generated(smtp_sink, protocol, dialogue):
    result = generate(
        f"127.0.0.1:{smtp_sink}", "--protocol", protocol, "--dialogue", dialogue, "--messages", 60, "--sessions", 4,
        "--recipients", 2, "--messages-per-connection", 10,
    )  # fmt: skip
    assert result["messages"]["accepted"] == 60
    assert result["recipients"]["accepted"] == 120
    assert result["errors"] == {}


@pytest.mark.parametrize("smtp_sink", [("-f", "RCPT")], indirect=True)
def test_smtp_sink_refuses_and_it_is_seen(smtp_sink):
    result = generate(f"127.0.0.1:{smtp_sink}", "--dialogue", "lock-step", "--messages", 20, "--sessions", 2)
    assert result["messages"] == {"offered": 20, "accepted": 0, "refused": 20, "unsure": 0, "broken": 0}
