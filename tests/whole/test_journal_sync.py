"""``queue.journal_sync``: what became of messages reaches the disk soon, without a DSN that asks for it."""

from __future__ import annotations

from pathlib import Path

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink

SYNCED = 'relay_spool_journal_syncs_total{result="synced"}'


def test_a_delivery_is_synced_in_the_background_and_an_idle_journal_is_left_alone(tmp_path: Path) -> None:
    more = '[queue]\njournal_sync = "100ms"\n'
    with Sink() as sink, Appliance(tmp_path, sink.port, more=more) as relay:
        before = relay.metrics()[SYNCED]
        relay.send("b@relay.test")
        wait_for(lambda: relay.metrics()[SYNCED] > before, 10, relay.tail)
        after = relay.metrics()[SYNCED]
        relay.send("c@relay.test")
        wait_for(lambda: relay.metrics()[SYNCED] > after, 10, relay.tail)
        assert relay.metrics()[SYNCED] <= before + 4, "two deliveries, and what the start had to say"
