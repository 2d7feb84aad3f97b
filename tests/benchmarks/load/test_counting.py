"""Histogram and ledger."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.load._histogram import Histogram
from benchmarks.load._ledger import Ledger, account, read_ledgers

ACCEPTED, REFUSED, UNSURE, BROKEN = 1, 2, 3, 4


@example([0, 283_077_389_964], 90)  # beyond 2^31 times 128
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_within_one_per_cent_of_the_value_of_its_rank(values, percent):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    rank = max(-(-len(values) * percent // 100), 1)
    assert histogram.percentile(percent) * 1e9 == pytest.approx(sorted(values)[int(rank) - 1], rel=0.01, abs=1)


def test_the_summary_has_the_extremes_exactly():
    histogram = Histogram()
    for value in (1_234_567, 7_654_321, 3_000_000):
        histogram.record(value)
    summary = histogram.summary()
    assert summary["count"] == 3
    assert summary["min"] == 1_234_567 / 1e9
    assert summary["max"] == 7_654_321 / 1e9
    assert summary["mean"] == pytest.approx((1_234_567 + 7_654_321 + 3_000_000) / 3e9)


def test_an_empty_histogram_has_a_summary():
    assert set(Histogram().summary().values()) == {0}


def two(sent, received):
    """Ledgers from {number: (recipients, total, state)} and {number: (recipients, total, altered)}."""
    ours, theirs = Ledger(5), Ledger(5)
    for number, (recipients, total, state) in sent.items():
        ours.put(number, recipients, total, state)
    for number, (recipients, total, altered) in received.items():
        theirs.put(number, recipients, total, altered)
    return ours, theirs


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [
        ((1, 10, ACCEPTED), (1, 10, 0), {}),
        ((3, 10, ACCEPTED), (1, 4, 0), {"lost": 2, "lost_numbers": [7]}),
        ((1, 10, ACCEPTED), None, {"lost": 1, "lost_numbers": [7]}),
        ((1, 10, ACCEPTED), (2, 20, 0), {"doubled": 1, "doubled_numbers": [7]}),
        ((2, 10, ACCEPTED), (2, 11, 0), {"misdirected": 1}),
        ((1, 10, ACCEPTED), (1, 10, 1), {"altered": 1}),
        ((1, 10, UNSURE), (1, 10, 0), {"unsure_delivered": 1}),
        ((1, 10, UNSURE), None, {"unsure_missing": 1}),
        ((1, 10, UNSURE), (2, 20, 0), {"unsure_delivered": 1, "doubled": 1, "doubled_numbers": [7]}),
        ((0, 0, REFUSED), None, {}),
        ((0, 0, REFUSED), (1, 10, 0), {"refused_delivered": 1}),
        ((0, 0, BROKEN), (1, 10, 0), {"refused_delivered": 1}),
        (None, (1, 10, 0), {"unknown": 1}),
    ],
)
def test_every_fault_is_told_from_the_others(sent, received, expected):
    faultless = dict.fromkeys(
        (
            "lost",
            "doubled",
            "misdirected",
            "altered",
            "unsure_delivered",
            "unsure_missing",
            "refused_delivered",
            "unknown",
        ),
        0,
    )
    result = account(*two({7: sent} if sent else {}, {7: received} if received else {}))
    found = {key: result[key] for key in (*faultless, "lost_numbers", "doubled_numbers")}
    assert found == {**faultless, "lost_numbers": [], "doubled_numbers": [], **expected}


def test_a_ledger_file_holds_several_runs(tmp_path):
    first, second = Ledger(1), Ledger(2**64 - 1)
    first.put(3, 2, 99)
    file = io.BytesIO()
    first.write(file)
    second.write(file)
    path = tmp_path / "ledger"
    path.write_bytes(file.getvalue())
    again = read_ledgers(path)
    assert [ledger.run for ledger in again] == [1, 2**64 - 1]
    assert [len(ledger) for ledger in again] == [4, 0]
    assert again[0].received() == (1, 2, 1)


@pytest.mark.parametrize("octets", [b"x", b"load ledger 1\n" + b"\1" * 16, b"load ledger 2\n" + bytes(16)])
def test_what_is_not_a_ledger_is_refused(tmp_path, octets):
    path = tmp_path / "ledger"
    path.write_bytes(octets)
    with pytest.raises(ValueError, match=r"ledger|early"):
        read_ledgers(path)


def test_a_number_beyond_the_bound_is_refused():
    with pytest.raises(ValueError, match="beyond"):
        Ledger(1).put(2**25, 1, 1)
