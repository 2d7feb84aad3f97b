"""What is logged and counted of the outcomes of an attempt, and what an attempt is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relay.dispatch._attempt import Attempt
from relay.dispatch._report import DeliveryReport
from relay.mail.envelope import DOTS, Envelope
from relay.mail.outcome import Outcome, deferred, delivered, discarded, failed
from relay.net.clock import now_us
from relay.queue.entry import Entry
from relay.queue.group import Group, Settings
from relay.spool import LargeFile, Record
from relay.telemetry import metrics

ID = "01HV3Z0000000"
RECEIVED = 1_700_000_000_000_000
ENVELOPE = Envelope(ID, RECEIVED, b"s@example.org", (b"a@relay.test", b"b@relay.test", b"c@relay.test"), DOTS, 1000)
RECORD = Record(7, 3, 64, 1, ENVELOPE, 200, 5, None, b"abcd\n")
OK = delivered("2.0.0", "2.0.0 queued as 1", next_hop="h[192.0.2.1]:25")
FULL = deferred("4.2.2", "full", "rcpt", code=452)
NOBODY = failed("5.1.1", "nobody", "rcpt", code=550)


@pytest.fixture
def row() -> memoryview[int]:
    return memoryview(bytearray(8 * metrics.ROW_CELLS)).cast("Q")


@pytest.fixture
def report(row: memoryview[int]) -> DeliveryReport:
    return DeliveryReport(row)


def entry(key: str = "smtp://h:25", indexes: tuple[int, ...] | None = None) -> Entry:
    return Entry(7, 3, 64, 300, ID, RECEIVED, Group(key, object(), Settings()), indexes, len(indexes or (0, 1, 2)))


def tell(report: DeliveryReport, *outcomes: Outcome, **changes: Any) -> bool:
    attempt = Attempt(changes.pop("entry", entry()), RECORD, b"abcd\n")
    return report.settled(attempt.entry, ENVELOPE, attempt.recipients, outcomes, attempt, 2, 1)


def lines(report: DeliveryReport) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.take().splitlines()]


def test_an_attempt_is_the_delivery_of_the_recipients_of_its_entry() -> None:
    attempt = Attempt(entry(indexes=(0, 2)), RECORD, b"abcd\n")
    assert attempt.recipients == (b"a@relay.test", b"c@relay.test")
    assert (attempt.reverse_path, attempt.flags, attempt.size) == (b"s@example.org", DOTS, 1000)
    assert (attempt.content, attempt.path) == (b"abcd\n", None)
    assert attempt.message == (RECORD, b"abcd\n")


def test_an_attempt_with_a_large_content_names_its_file() -> None:
    large = LargeFile(Path("/spool/large/x"), 10, 0)
    assert Attempt(entry(), RECORD._replace(large=large), b"").path == "/spool/large/x"


def test_recipients_with_one_outcome_share_a_line(report: DeliveryReport) -> None:
    tell(report, OK, delivered(*OK[2:4], next_hop=OK.next_hop), OK)
    (line,) = lines(report)
    assert line["recipients"] == ["a@relay.test", "b@relay.test", "c@relay.test"]
    assert line["queue_id"] == ID
    assert (line["code"], line["text"], line["next_hop"]) == (250, OK.text, OK.next_hop)


def test_outcomes_that_differ_have_a_line_each(report: DeliveryReport) -> None:
    tell(report, OK, FULL, NOBODY)
    assert [(line["recipients"], line["outcome"]) for line in lines(report)] == [
        (["a@relay.test"], "delivered"),
        (["b@relay.test"], "deferred"),
        (["c@relay.test"], "failed"),
    ]


def test_lines_are_handed_out_once(report: DeliveryReport) -> None:
    tell(report, OK, OK, OK)
    assert report.take()
    assert report.take() == b""


@pytest.mark.parametrize(
    ("outcomes", "is_over"),
    [
        ((OK, OK, OK), False),
        ((OK, FULL, FULL), False),
        ((discarded("x", "queue"),) * 3, False),
        ((OK, NOBODY, OK), True),
    ],
)
def test_only_what_failed_or_expired_is_the_end_for_the_sender(
    report: DeliveryReport, outcomes: tuple[Outcome, ...], is_over: bool
) -> None:
    assert tell(report, *outcomes) is is_over


def test_each_recipient_is_counted(report: DeliveryReport, row: memoryview[int]) -> None:
    tell(report, OK, FULL, NOBODY)
    counted = {kind: row[metrics.index("relay_delivery_recipients_total", kind)] for kind in ("delivered", "failed")}
    assert counted == {"delivered": 1, "failed": 1}
    assert row[metrics.index("relay_delivery_failures_total", "rcpt")] == 2
    assert row[metrics.index("relay_delivery_replies_total", "250")] == 1


@pytest.mark.parametrize(
    ("key", "transport"), [("smtp://h:25", "smtp"), ("lmtp://h:24", "lmtp"), ("local:3", "local"), ("mx-set:h", "smtp")]
)
def test_an_attempt_is_counted_for_its_transport(
    report: DeliveryReport, row: memoryview[int], key: str, transport: str
) -> None:
    attempt = Attempt(entry(key), RECORD, b"abcd\n")
    attempt.taken_at, attempt.finished_at = 10.0, 10.5
    report.tried(attempt, (FULL, OK, NOBODY), 2)
    assert row[metrics.index("relay_delivery_attempts_total", transport)] == 1
    assert row[metrics.index("relay_delivery_sent_bytes_total", transport)] == 1000
    assert row[metrics.index("relay_delivery_connections_reused_total")] == 1


def test_nothing_was_sent_when_nobody_took_it(report: DeliveryReport, row: memoryview[int]) -> None:
    report.tried(Attempt(entry(), RECORD, b""), (FULL, NOBODY, FULL), 1)
    assert row[metrics.index("relay_delivery_sent_bytes_total", "smtp")] == 0
    assert row[metrics.index("relay_delivery_connections_reused_total")] == 0


def test_a_line_has_the_times_of_its_attempt(report: DeliveryReport) -> None:
    attempt = Attempt(entry(), RECORD, b"")
    attempt.taken_at, attempt.finished_at, attempt.connect_seconds = 10.0, 10.25, 0.125
    report.settled(attempt.entry, ENVELOPE, attempt.recipients, (OK,) * 3, attempt, 1, 1)
    (line,) = lines(report)
    assert (line["transfer_seconds"], line["connect_seconds"]) == (0.25, 0.125)
    assert line["queue_seconds"] + line["transfer_seconds"] == pytest.approx(line["delay_seconds"])


def test_no_time_is_negative_when_the_clock_of_the_door_is_ahead(report: DeliveryReport, row: memoryview[int]) -> None:
    """The clocks of two processes are up to a second apart."""
    received = now_us() + 900_000
    ahead = Entry(7, 3, 64, 300, ID, received, Group("smtp://h:25", object(), Settings()), None, 3)
    attempt = Attempt(ahead, RECORD, b"")
    attempt.taken_at, attempt.finished_at = 10.0, 10.25
    report.settled(ahead, ENVELOPE._replace(received_at=received), attempt.recipients, (OK,) * 3, attempt, 1, 1)
    (line,) = lines(report)
    assert (line["queue_seconds"], line["delay_seconds"]) == (0, 0)
    assert row[(cells := metrics.histogram_cells("relay_delivery_delay_seconds")).first + len(cells.bounds) + 1] == 0


def test_an_entry_whose_record_is_gone_is_told_without_its_envelope(report: DeliveryReport) -> None:
    report.settled(entry(), None, (b"", b"", b""), (NOBODY,) * 3, None, 0, 1)
    (line,) = lines(report)
    assert "size" not in line
    assert "transfer_seconds" not in line
    assert line["outcome"] == "failed"
