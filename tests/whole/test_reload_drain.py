"""Reload and drain under load: no refused connection, no lost message, exit code 0 (DESIGN section 2)."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink
from tests.support.source import Source, name_of


def test_reloads_under_load_lose_and_refuse_nothing(tmp_path: Path) -> None:
    with Sink() as sink, Appliance(tmp_path, sink.port) as relay:
        source = Source(relay.smtp_port, sessions=8, messages=10**9, size=1000)
        source.start()
        for generation in range(2, 6):
            relay.write_config(smtp_workers=1 + generation % 2)
            assert relay.process is not None
            relay.process.send_signal(signal.SIGHUP)
            wait_for(partial(relay.serves, generation), 20, lambda: f"a new generation\n{relay.tail()}")
        source.stop.set()
        source.join(30)
        assert len(source.acknowledged) > 50
        assert {line[:9] for line in source.refused} <= {"421 4.3.2"}, set(source.refused)
        wait_for(lambda: source.acknowledged <= {name_of(message.content) for message in sink.messages}, 30,
                 lambda: f"missing\n{relay.tail()}")
        names = [name_of(message.content) for message in sink.messages]
        assert len(names) == len(set(names)), "none twice"
        assert relay.terminate() == 0


def test_a_bad_configuration_never_replaces_a_good_one(tmp_path: Path) -> None:
    """I6."""
    with Sink() as sink, Appliance(tmp_path, sink.port, expects=("reload refused",)) as relay:
        relay.write_config(more='[smtp]\nmax_recipient = 3\nlarge_content = "7 parsecs"')
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        wait_for(lambda: relay.metrics()['relay_supervisor_reloads_total{result="refused"}'] == 1, 10, "refused")
        text = relay.tail()
        for part in ("max_recipient", "7 parsecs"):
            assert part in text, text
        source = Source(relay.smtp_port, sessions=1, messages=5)
        source.start()
        source.join(20)
        assert relay.metrics()["relay_supervisor_generation"] == 1


def test_sigterm_under_load_drains_and_exits_0(tmp_path: Path) -> None:
    with Sink() as sink, Appliance(tmp_path, sink.port) as relay:
        source = Source(relay.smtp_port, sessions=8, messages=10**9, size=1000)
        source.start()
        wait_for(lambda: len(source.acknowledged) > 100, 20, "some load")
        assert relay.terminate() == 0
        source.stop.set()
        source.join(30)
        known = set(source.acknowledged)
        relay.start()
        wait_for(lambda: known <= {name_of(message.content) for message in sink.messages}, 30, "all at the sink")
        names = [name_of(message.content) for message in sink.messages]
        assert len(names) == len(set(names)), "none twice"
