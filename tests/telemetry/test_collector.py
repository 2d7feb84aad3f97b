"""What a scrape says of the page."""

import os

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from relay.telemetry import collector
from relay.telemetry.metrics import TABLE, histogram_cells, index
from relay.telemetry.page import READY, CountersPage


@pytest.fixture
def page() -> CountersPage:
    return CountersPage(8)


def samples(page: CountersPage) -> dict[tuple[str, str], float]:
    text = generate_latest(collector.registry(page)).decode()
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_are_summed_over_living_and_dead(page):
    cell = index("relay_smtp_replies_total", 250)
    for count in (1, 2, 4):
        number = page.take_row("smtp")
        page.row(number)[cell] += count
        if count == 2:
            page.release(number)
    assert samples(page)["relay_smtp_replies_total", "code=250"] == 7


def test_what_all_see_alike_is_not_added_up(page):
    cell = index("relay_spool_free_bytes")
    for free in (500, 400):
        page.row(page.take_row("smtp"))[cell] = free
    assert samples(page)["relay_spool_free_bytes", ""] == 500


def test_a_histogram_is_cumulative_and_in_seconds(page):
    wait = histogram_cells("relay_spool_sync_seconds")
    for microseconds in (100, 101, 300, 5_000_000, 6_000_000):
        wait.observe(page.row(page.take_row("smtp")), microseconds)
    found = samples(page)
    assert found["relay_spool_sync_seconds_bucket", "le=0.0001"] == 1
    assert found["relay_spool_sync_seconds_bucket", "le=0.0003"] == 3
    assert found["relay_spool_sync_seconds_bucket", "le=5.0"] == 4
    assert found["relay_spool_sync_seconds_bucket", "le=+Inf"] == 5
    assert found["relay_spool_sync_seconds_count", ""] == 5
    assert found["relay_spool_sync_seconds_sum", ""] == pytest.approx(11.000501)


def test_a_histogram_with_a_label_keeps_its_series_apart(page):
    row = page.row(page.take_row("delivery"))
    histogram_cells("relay_delivery_stage_seconds", "transfer").observe(row, 2_000_000)
    found = samples(page)
    assert found["relay_delivery_stage_seconds_sum", "stage=transfer"] == 2
    assert found["relay_delivery_stage_seconds_sum", "stage=connect"] == 0


def test_every_declared_metric_is_exposed_in_both_formats(page):
    registry = collector.registry(page)
    plain = {family.name for family in text_string_to_metric_families(generate_latest(registry).decode())}
    opened = {family.name for family in parse_openmetrics(generate_openmetrics(registry).decode())}
    names = {metric.name.removesuffix("_total") for metric in TABLE} | {name for name, _, _ in collector.COMPUTED}
    assert names == {name.removesuffix("_total") for name in plain} == opened


def test_processes_are_counted_by_state_with_their_memory(page):
    number = page.take_row("smtp")
    page.mark(number, READY, pid=os.getpid())
    page.take_row("smtp")
    found = samples(page)
    assert found["relay_worker_processes", "role=smtp,state=ready"] == 1
    assert found["relay_worker_processes", "role=smtp,state=starting"] == 1
    assert found["relay_worker_resident_bytes", "role=smtp"] > 1_000_000
    assert found["relay_worker_resident_bytes", "role=delivery"] == 0
