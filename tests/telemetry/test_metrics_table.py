"""The table of metrics: names, cells, and how values are put into them."""

import functools
import re
from pathlib import Path

import pytest

from relay.mail import outcome
from relay.telemetry import metrics
from relay.telemetry.declaration import COUNTER, GAUGE, HISTOGRAM
from relay.telemetry.metrics import TABLE, UnknownMetricError, histogram_cells, index

PARTS = {
    "smtp", "policy", "reader", "store", "auth", "tls", "spool", "queue", "dsn", "sieve", "delivery", "dns",
    "imap", "pop3", "managesieve", "mailbox", "supervisor", "worker", "log", "admin",
}  # fmt: skip


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
def test_a_name_says_part_noun_and_unit(metric):
    assert re.fullmatch(r"relay_[a-z]+[0-9]?(_[a-z]+)+", metric.name)
    assert metric.name.split("_")[1] in PARTS
    assert (metric.kind == COUNTER) == metric.name.endswith("_total")
    assert metric.help.endswith(".")
    if metric.scale != 1:
        assert metric.name.endswith("_seconds")
    for label in metric.labels:
        assert len(set(label.values)) == len(label.values)


@pytest.mark.parametrize("metric", [m for m in TABLE if m.kind == HISTOGRAM], ids=lambda metric: metric.name)
def test_bounds_rise_and_fit_the_compiled_struct(metric):
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert 1 <= len(metric.bounds) <= 24


def test_no_two_cells_are_the_same_and_none_is_left_over():
    seen = set(range(metrics.PROCESS_CELLS))
    for metric in TABLE:
        for values in metric.combinations:
            first = (
                histogram_cells(metric.name, *values).first if metric.kind == HISTOGRAM else index(metric.name, *values)
            )
            block = set(range(first, first + metric.block))
            assert not block & seen
            seen |= block
    assert seen == set(range(metrics.ROW_CELLS))
    assert len({metric.name for metric in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("relay_smtp_replys_total", ()),
        ("relay_smtp_replies_total", ()),
        ("relay_smtp_replies_total", ("999",)),
        ("relay_smtp_replies_total", ("250", "x")),
        ("relay_spool_sync_seconds", ()),
    ],
)
def test_a_wrong_name_or_value_is_found_at_start(name, values):
    with pytest.raises(UnknownMetricError, match=name):
        index(name, *values)


def test_a_counter_is_not_a_histogram():
    with pytest.raises(UnknownMetricError, match="not a histogram"):
        histogram_cells("relay_spool_records_total")


def test_each_number_has_a_cell_for_its_code():
    cells = metrics.by_code("relay_smtp_replies_total")
    assert len(cells) == 1000
    assert cells[250] == index("relay_smtp_replies_total", 250)
    assert cells[999] == cells[0] == index("relay_smtp_replies_total", "other")


def test_a_value_goes_into_the_first_bucket_whose_bound_it_does_not_exceed():
    cells = histogram_cells("relay_spool_batch_records")
    for value, bucket in ((1, 0), (2, 1), (3, 2), (1024, 10), (1025, 11), (-5, 0)):
        row = [0] * metrics.ROW_CELLS
        cells.observe(row, value)
        assert row[cells.first + bucket] == 1
        assert sum(row) == 1 + max(0, value)
        assert row[cells.first + len(cells.bounds) + 1] == max(0, value)


def test_ages_are_sorted_into_their_label():
    assert metrics.age_bucket(0) == metrics.age_bucket(60) == "1m"
    assert metrics.age_bucket(61) == "10m"
    assert metrics.age_bucket(10**9) == "older"


def test_outcomes_of_the_vocabulary_have_cells():
    for kind in (outcome.DELIVERED, outcome.DEFERRED, outcome.FAILED, outcome.EXPIRED, outcome.DISCARDED):
        index("relay_delivery_recipients_total", kind)


@pytest.mark.parametrize(
    "noun",
    [
        "relay_smtp_connections_total", "relay_smtp_sessions_open", "relay_smtp_transactions_total",
        "relay_smtp_replies_total", "relay_smtp_messages_accepted_total", "relay_smtp_messages_refused_total",
        "relay_smtp_accepted_bytes_total", "relay_smtp_refused_bytes_total", "relay_smtp_refusals_total",
        "relay_queue_entries", "relay_queue_age_entries", "relay_delivery_recipients_total",
        "relay_delivery_delay_seconds", "relay_spool_sync_seconds", "relay_spool_batch_records",
        "relay_supervisor_worker_restarts_total", "relay_spool_free_bytes", "relay_spool_free_inodes",
        "relay_log_lines_lost_total", "relay_smtp_mixups_total", "relay_smtp_large_contents_total",
        "relay_smtp_buffered_bytes", "relay_supervisor_reloads_total", "relay_supervisor_generation",
    ],
)  # fmt: skip
def test_what_operators_were_promised_is_there(noun):
    assert noun in {metric.name for metric in TABLE}


def test_kinds_are_of_the_three():
    assert {metric.kind for metric in TABLE} == {COUNTER, GAUGE, HISTOGRAM}


def test_no_counter_without_its_total_has_the_name_of_another_metric():
    """OpenMetrics calls a family by the name without ``_total``: two of one name make the whole scrape invalid."""
    names = [metric.name.removesuffix("_total") for metric in TABLE]
    assert len(set(names)) == len(names)


SHOWN_ONLY = ("admin", "telemetry/metrics.py", "telemetry/reference.py", "telemetry/lines.py")
"""Parts that name metrics in order to show them; below admin, its own are fed, too."""


@functools.cache
def sources_that_count() -> str:
    root = Path(metrics.__file__).parents[1]
    found = [path for pattern in ("*.py", "*.pyx") for path in root.rglob(pattern)]
    return "\n".join(
        path.read_text() for path in found if not str(path.relative_to(root)).startswith(SHOWN_ONLY)
        or path.name in ("app.py", "server.py")
    )  # fmt: skip


def test_a_total_adds_what_its_part_counted_to_what_is_there():
    row = [0] * metrics.ROW_CELLS
    cell = index("relay_dns_cache_hits_total")
    row[cell] = 5
    total = metrics.Total(row, "relay_dns_cache_hits_total")
    for count in (0, 2, 2, 3):
        total.is_now(count)
    assert row[cell] == 8


@pytest.mark.parametrize("metric", [pytest.param(metric, id=metric.name) for metric in TABLE])
def test_every_metric_is_counted_by_somebody(metric):
    assert f'"{metric.name}"' in sources_that_count(), "declared, shown, and always 0"
