"""Medians, targets and the results page, from figures made up for the purpose."""

import json

import pytest

from benchmarks import machine, plots, report
from benchmarks.results import Column, Measurement, Run, load, measurements_of, medians, spread, table
from benchmarks.targets import TARGETS, Target

WORK = "smtp-source, connections reused, 1 KiB"


def measured(server, *rates, work=WORK):
    return [Measurement(work, server, number, {"per_second": rate}) for number, rate in enumerate(rates)]


@pytest.fixture
def run(tmp_path):
    made = Run("relay", tmp_path, results=tmp_path / "results")
    made.measurements = [
        *measured("direct", 20_000, 10_000, 30_000),
        *measured("relay", 15_000, 14_000, 90_000),
        *measured("postfix", 600, 500, 1_000),
    ]
    made.servers = {"relay": {"version": "Relay", "durability": "synced", "tuning": ["none"]}}
    made.command(["smtp-source", "-m", "10 0"])
    return made


def test_a_median_is_not_moved_by_one_wild_repetition(run):
    assert medians(run.measurements)[WORK]["relay"]["per_second"] == 15_000
    assert spread(run.measurements, WORK, "relay", "per_second") == (14_000, 90_000)
    assert spread(run.measurements, WORK, "exim", "per_second") is None


def test_a_result_file_gives_back_what_was_measured(run):
    document = load(run.save())
    assert measurements_of(document) == run.measurements
    assert document["commands"] == ["smtp-source -m '10 0'"]
    assert document["machine"]["cores"] >= 1


def test_a_result_says_how_fast_the_machine_was(run):
    with run:
        pass
    facts = load(run.save())["machine"]
    assert facts["pace_before"]["loop_ms"] > 0 < facts["pace_after"]["pipe_us"]
    assert machine.as_text(facts)[-1].startswith("pace, before and after: ")
    del facts["pace_after"]
    assert not any("pace" in line for line in machine.as_text(facts))


def test_a_result_file_names_no_path_of_the_machine(run):
    run.command([f"{machine.ROOT}/build/tool", "-o", f"{machine.ROOT}/build/x"])
    text = run.save().read_text()
    assert str(machine.ROOT) not in text
    assert "build/tool" in text


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "relay.json"
    path.write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="format 1"):
        load(path)


def test_a_value_that_was_not_measured_is_a_dash():
    assert Column("syncs", "syncs").text({"per_second": 1.0}) == "–"
    assert Column("pss_bytes", "MiB", 1, 1 / 1024 / 1024).text({"pss_bytes": 1.5 * 1024 * 1024}) == "1.5"


def test_the_table_names_a_work_once(run):
    shown = table("relay", medians(run.measurements), [Column("per_second", "messages/s")])
    assert list(shown.columns[0].cells) == [WORK, "", ""]
    assert list(shown.columns[2].cells) == ["20,000", "15,000", "600"]


def target(**changed):
    settings = {"title": "t", "scenario": "relay", "work": "smtp-source, connections reused", "value": "per_second"}
    return Target(**{**settings, "limit": 1.0, **changed})


@pytest.mark.parametrize(
    ("over", "limit", "value", "reached"),
    [
        ("direct", 0.65, 0.75, True),
        ("direct", 0.80, 0.75, False),
        ("postfix", 22, 25, True),
        ("", 16_000, 15_000, False),
    ],
)
def test_a_target_is_compared_with_the_same_run(run, over, limit, value, reached):
    one = target(over=over, limit=limit)
    found = one.measured({"relay": medians(run.measurements)})
    assert found == pytest.approx(value)
    assert one.is_reached(found) is reached


def test_a_loss_is_what_is_missing_of_the_traffic_alone():
    found = {"slow-destination": medians([
        *measured("relay", 1000, work="healthy traffic alone"), *measured("relay", 950, work="beside a dead one"),
    ])}  # fmt: skip
    one = target(scenario="slow-destination", work="beside", over="alone", unit="%", at_most=True, limit=0.1)
    assert one.measured(found) == pytest.approx(0.05)
    assert one.is_reached(0.05)
    assert not one.is_reached(0.11)


def test_what_was_not_measured_has_no_value():
    assert all(one.measured({}) is None for one in TARGETS)
    assert target(over="postfix").measured({"relay": medians(measured("relay", 1))}) is None


def test_limits_are_written_with_sign_and_unit():
    assert target(over="direct", limit=0.85).limit_text() == "≥ 85 % of direct"
    assert target(over="postfix", limit=22).limit_text() == "≥ 22 × Postfix"
    assert target(limit=0.5, at_most=True, unit="ms").limit_text() == "≤ 0.50 ms"


def test_the_page_names_targets_that_are_missed_and_those_not_measured(run, monkeypatch):
    monkeypatch.setattr(plots, "is_possible", lambda: False)
    run.measurements = [one for one in run.measurements if one.server != "relay"] + measured("relay", 11_000)
    run.save()
    page = report.write(run.results).read_text()
    missed = page.partition("Not reached:")[2].partition("Not measured:")[0]
    assert "smtp-source 1 KiB, connections reused: ≥ 65 % of direct, measured 55 % of direct" in missed
    assert "Postfix, measured 18.3 × Postfix" in missed
    assert "an idle session" not in missed
    assert "an idle session" in page.partition("Not measured:")[2]
    assert "18.3 ×" in page.partition("## relay")[2]


def test_the_page_holds_what_people_found_out_about_the_figures(run, monkeypatch):
    monkeypatch.setattr(plots, "is_possible", lambda: False)
    run.save()
    (run.results.parent / "WHERE-THE-TIME-GOES.md").write_text("## Where the time goes\n\nInto the kernel.\n")
    page = report.write(run.results).read_text()
    assert page.index("## Targets") < page.index("Into the kernel.") < page.index("## relay")


def test_a_page_without_results_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        report.write(tmp_path)
