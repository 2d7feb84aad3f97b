"""The command line: which scenarios and options there are, what --quick and --short choose, where figures go."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks import command, machine
from benchmarks.command import main
from benchmarks.results import RESULTS
from benchmarks.scenarios import SIZES, SUMMARIES, WITHOUT, scenario
from benchmarks.scenarios.settings import QUICK, SHORT, USUAL, Settings

Asked = list[tuple[str, Settings, Path]]


@pytest.fixture
def asked(monkeypatch) -> Asked:
    """What would have been measured, instead of measuring; ``crash`` fails."""
    seen: Asked = []

    def measure(name, settings, _folder, results):
        seen.append((name, settings, results))
        if name == "crash":
            raise click.ClickException("it did not start")

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr("benchmarks.report.write", lambda results: results)
    return seen


def invoke(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(("words", "sets"), [((), USUAL), (("--short",), SHORT), (("--quick",), QUICK)])
def test_all_scenarios_run_in_turn_and_one_that_fails_does_not_stop_the_others(asked, words, sets):
    output = invoke(*words)
    assert [name for name, _, _ in asked] == list(SUMMARIES)
    assert "crash: failed, it did not start" in output
    assert all(settings == sets[name] for name, settings, _ in asked if name in sets)
    assert output.splitlines()[-1].startswith("written: ")


def test_the_figures_of_a_quick_look_do_not_touch_the_results_page(asked):
    invoke("--quick", "mime")
    invoke("--short", "mime")
    assert [results for _, _, results in asked] == [machine.ROOT / "build" / "quick" / "results", RESULTS]


def test_what_is_given_for_a_scenario_goes_over_what_is_chosen_for_all(asked):
    invoke("--short", "relay", "--seconds", "0.2", "--server", "relay", "--server", "exim", "--work", "lock-step")
    assert asked[0][1] == Settings(("relay", "exim"), None, 0.2, works=("lock-step",))


def test_a_short_run_has_every_server_and_five_turns_where_there_are_targets_beside_others():
    assert all(settings.servers == Settings().servers for name, settings in SHORT.items() if name != "mailbox")
    assert all(SHORT[name].repetitions is None for name in ("relay", "accept", "fanout", "tls", "slow-destination"))
    assert all(settings.size is None for settings in SHORT.values()), "targets name sizes"


def test_every_work_that_a_quick_look_names_is_there():
    for name in ("relay", "accept"):
        titles = [work.name for work in scenario(name).WORKS]
        assert all(any(part in title for title in titles) for part in QUICK[name].works)


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_scenario_has_no_option_that_means_nothing_to_it(name):
    source = Path(str(scenario(name).__file__)).read_text()
    options = {parameter.name for parameter in main.commands[name].params}
    for setting in ("servers", "repetitions", "seconds", "size", "works"):
        used = f"settings.{setting}" in source or (setting == "works" and "settings.wanted" in source)
        assert (setting in options) is used, setting
    assert ("size" in options) is (name in SIZES)
    assert all(set(names) <= set(SUMMARIES) for names in WITHOUT.values())


def test_the_help_tells_what_each_scenario_does():
    text = " ".join(invoke("--help").split())
    assert all(f"{name} {summary}" in text for name, summary in SUMMARIES.items())


def test_quick_and_short_are_not_for_the_same_run():
    assert "not both" in CliRunner().invoke(main, ["--quick", "--short"]).output


def test_the_revision_is_that_of_the_commit_and_results_do_not_make_it_dirty(monkeypatch):
    said = {"rev-parse": "0123456789", "status": ""}
    monkeypatch.setattr(machine, "_git", lambda *words: said[words[0]])
    assert machine.revision() == "0123456789"
    said["status"] = " M relay/x.py"
    assert machine.revision() == "0123456789-dirty"


@pytest.mark.parametrize(
    ("schemes", "arguments", "said"),
    [
        (("deb_system", "posix_prefix"), "'--enable-shared'", "by Debian, with a profile"),
        (("posix_prefix",), "'--prefix=/x' '--enable-optimizations' '--with-lto'", "with --enable-optimizations"),
        (("posix_prefix",), "'--prefix=/x' '--enable-shared'", "without --enable-optimizations"),
        (("posix_prefix",), None, "without --enable-optimizations"),
    ],
)
def test_the_facts_say_whether_this_python_was_optimised(monkeypatch, tmp_path, schemes, arguments, said):
    monkeypatch.setattr(sysconfig, "get_scheme_names", lambda: schemes)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: arguments)
    facts = machine.facts(tmp_path)
    assert facts["python_build"] == said
    assert machine.as_text(facts)[1].endswith(f"Python {facts['python']}, built {said}")
    del facts["python_build"]
    assert machine.as_text(facts)[1].endswith(f"Python {facts['python']}"), "a result from before"
