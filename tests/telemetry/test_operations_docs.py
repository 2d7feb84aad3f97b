"""The pages, rules and board for operators say what the tables say."""

import json
import re
from pathlib import Path

import pytest

from relay.telemetry import collector, lines, metrics, reference
from relay.telemetry.declaration import COUNTER, HISTOGRAM

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/relay.rules.yaml"
BOARD = ROOT / "deploy/grafana/relay.json"
KNOWN = {metric.name: metric for metric in metrics.TABLE}
LABELS = {metric.name: {label.name: set(label.values) for label in metric.labels} for metric in metrics.TABLE} | {
    name: {label: set() for label in labels} for name, _, labels in collector.COMPUTED
}
LABELS["up"] = {}
SELECTOR = re.compile(r"\b(relay_[a-z0-9_]+|up(?={))(?:\{([^}]*)\})?(\[[^\]]+\])?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def base(name: str) -> str:
    """The declared metric that a series belongs to."""
    for suffix in ("_bucket", "_count", "_sum"):
        stem = name.removesuffix(suffix)
        if name.endswith(suffix) and stem in KNOWN and KNOWN[stem].kind == HISTOGRAM:
            return stem
    return name


def check(expression: str) -> None:
    """That an expression names only what there is, and takes rates of counters only."""
    found = list(SELECTOR.finditer(expression))
    assert found, expression
    for match in found:
        name = base(match[1])
        assert name in LABELS, f"{match[1]} in {expression}"
        for label, operator, value in MATCHER.findall(match[2] or ""):
            if label in {"job", "instance"}:
                continue
            assert label in LABELS[name], f"{label} of {name}"
            allowed = LABELS[name][label]
            if allowed and not operator.endswith("~"):
                assert value in allowed, f"{label}={value} of {name}"
            elif allowed:
                assert any(re.fullmatch(value, each) for each in allowed), f"{label}{operator}{value} of {name}"
        if match[3]:
            is_rising = name in KNOWN and KNOWN[name].kind in {COUNTER, HISTOGRAM}
            before = expression[: match.start()]
            is_rate = re.search(r"\b(rate|increase)\($", before) is not None
            assert is_rising == is_rate, expression
    for label in re.findall(r"by \(([^)]*)\)", expression):
        for each in label.replace(" ", "").split(","):
            assert each in {"le", "instance"} or any(each in LABELS[base(match[1])] for match in found), expression


@pytest.mark.parametrize("name", ["metrics.md", "log.md"])
def test_the_page_is_not_stale(name):
    """Make it anew with ``python -m relay.telemetry.reference docs/operations``."""
    expected = {"metrics.md": reference.metrics_page, "log.md": reference.log_page}[name]()
    assert (ROOT / "docs/operations" / name).read_text(encoding="utf-8") == expected


def test_the_pages_tell_of_everything():
    text = reference.metrics_page()
    for name in LABELS.keys() - {"up"}:
        assert f"| `{name}` |" in text
    text = reference.log_page()
    for field in (*lines.TRANSACTION_FIELDS, *lines.DELIVERY_FIELDS, *lines.SESSION_FIELDS, *lines.EVENT_FIELDS):
        assert f"| `{field.name}` |" in text


def test_both_pages_can_be_written(tmp_path):
    reference.main(tmp_path)
    assert (tmp_path / "metrics.md").read_text(encoding="utf-8") == reference.metrics_page()
    assert (tmp_path / "log.md").read_text(encoding="utf-8") == reference.log_page()


def rules() -> list[dict[str, str]]:
    """The rules of the file, read by its layout: two spaces a level, one rule per ``- alert``."""
    found: list[dict[str, str]] = []
    for rule in re.split(r"^      - alert: ", RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        expression = re.search(r"^        expr: (?:>-\n((?:          .*\n)+)|(.*)\n)", rule, re.MULTILINE)
        assert expression, rule
        found.append({"alert": rule.split("\n")[0], "expr": expression[1] or expression[2], "rule": rule})
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_is_about_what_there_is_and_says_what_to_do(rule):
    check(rule["expr"])
    assert re.fullmatch(r"Relay[A-Za-z]+", rule["alert"])
    assert re.search(r"^          severity: (critical|warning)$", rule["rule"], re.MULTILINE)
    assert re.search(r"^          summary: .+$", rule["rule"], re.MULTILINE)
    assert re.search(r"^          description: .+", rule["rule"], re.MULTILINE)


def test_alerts_have_names_of_their_own():
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 12


def panels() -> list[dict]:
    return [panel for panel in json.loads(BOARD.read_text(encoding="utf-8"))["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_shows_what_there_is(panel):
    assert panel["targets"]
    for target in panel["targets"]:
        check(target["expr"])
    assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    everything = json.loads(BOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    "wrong",
    [
        "rate(relay_smtp_repleis_total[5m])",
        'rate(relay_smtp_replies_total{code="299"}[5m])',
        'relay_queue_entries{status="hold"}',
        "rate(relay_queue_entries[5m])",
        "sum by (kind) (relay_queue_entries)",
        "1 + 1",
    ],
)
def test_the_check_itself_finds_what_is_wrong(wrong):
    with pytest.raises(AssertionError):
        check(wrong)
