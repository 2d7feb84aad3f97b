"""One Relay behind another: transactions in flight on both sides (RFC 3030)."""

from __future__ import annotations

from pathlib import Path

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink
from tests.support.source import Source, name_of


def test_a_relay_hands_whole_transactions_to_the_next(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("inner", "outer")]
    for folder in folders:
        folder.mkdir()
    with (
        Sink() as sink,
        Appliance(folders[0], sink.port) as inner,
        Appliance(folders[1], inner.smtp_port) as outer,
    ):
        source = Source(outer.smtp_port, messages=600, size=3000, ahead=12)
        source.start()
        source.join(30)
        assert source.refused == []
        wait_for(lambda: len(sink.messages) >= len(source.acknowledged), 30, outer.tail)
        for message in sink.messages:
            assert message.content.endswith(source.content(name_of(message.content)))
            assert message.content.count(b"Received: from") == 2
        assert sorted(name_of(message.content) for message in sink.messages) == sorted(source.acknowledged)
        contents = [relay.metrics().get('relay_smtp_commands_total{verb="BDAT"}', 0) for relay in (outer, inner)]
        assert contents[0] == len(source.acknowledged)
        assert contents[1] > len(source.acknowledged) / 2
        taken = 'relay_delivery_chunking_connections_total{result="taken"}'
        assert outer.metrics()[taken] > 0
