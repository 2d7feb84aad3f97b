"""Log lines: valid, one line each, plain to look at, whatever a peer sends."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.telemetry import lines
from relay.telemetry._lines import ALWAYS, PLAIN, SECONDS, TIME, Line, event_line
from relay.telemetry.lines import DELIVERY, LIST_LIMIT, TEXT_LIMIT, TRANSACTION, escape, timestamp
from tests.telemetry.agreement import RAW_CONTROL, log_text

NOW = 1_767_323_045_678_901
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(max_size=80),
    st.text(st.characters(exclude_categories=())),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=5), st.tuples(SCALARS, SCALARS))


def parsed(line: bytes) -> dict[str, Any]:
    """The line's object, after the checks that every line must pass."""
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    text = line[:-1].decode("utf-8", "strict")
    assert not RAW_CONTROL.search(text)

    def constant(name):
        raise AssertionError(f"{name} is not JSON")

    value = json.loads(text, parse_constant=constant)
    assert isinstance(value, dict)
    return value


@given(st.binary(max_size=600))
@example(b"\xed\xa0\x80 \xc0\x80 \xf4\x90\x80\x80 \xf0\x80\x80\x80 \xe0\x9f\xbf \xc2")
@example("é€😀\u202e\x85\ufeff".encode())
@example(bytes(range(256)))
def test_any_octets_become_a_string_that_reads_as_the_slow_twin_says(octets):
    log_text(octets)


def test_log_text_cannot_break_out_of_its_string_or_line():
    """Invariant I8's neighbour: a peer must not write log records of its own."""
    hostile = b'x","code":250}\n{"a":"\r\0\x1b[2J\x7f\xff\xc2\x9b' + "\u202e\u2028é".encode()
    escaped = escape(hostile)
    shown = 'x","code":250}\n{"a":"\r\0\x1b[2J\x7f\\xff\x9b\u202e\u2028é'
    assert json.loads(b'{"text":"' + escaped + b'"}') == {"text": shown}
    assert escaped == (
        b'x\\",\\"code\\":250}\\n{\\"a\\":\\"\\r\\u0000\\u001b[2J\\u007f\\\\xff\\u009b\\u202e\\u2028' + "é".encode()
    )


@given(st.lists(st.tuples(st.text(max_size=20), VALUES), max_size=12, unique_by=lambda pair: pair[0]))
def test_any_values_make_one_line_of_valid_json(pairs):
    line = Line("test", [(name, PLAIN) for name, _ in pairs])
    parsed(line.build(NOW, tuple(value for _, value in pairs)))


@given(st.dictionaries(st.text(max_size=20), VALUES, max_size=8))
def test_any_event_is_one_line_of_valid_json(fields):
    found = parsed(event_line(NOW, {f"x{name}": value for name, value in fields.items()}))
    assert found["kind"] == "event"


def test_values_come_out_as_they_went_in():
    line = Line("test", [(name, PLAIN) for name in "abcdefgh"])
    values = (b"caf\xc3\xa9", "ü", -12, True, False, 2**70, (b"x", 1), 1.5)
    found = parsed(line.build(NOW, values))
    assert [found[name] for name in "abcdefgh"] == ["café", "ü", -12, True, False, 2**70, ["x", 1], 1.5]
    assert list(found)[:2] == ["time", "kind"]
    assert found["kind"] == "test"


def test_integers_at_their_ends():
    for number in (0, -1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1):
        assert parsed(Line("t", [("a", PLAIN)]).build(NOW, (number,)))["a"] == number


def test_what_says_nothing_is_left_out_unless_it_must_be_there():
    line = Line("test", [("a", PLAIN), ("b", ALWAYS), ("c", PLAIN), ("d", ALWAYS), ("e", PLAIN), ("f", PLAIN)])
    found = parsed(line.build(NOW, (b"", b"", (), None, 0, None)))
    assert set(found) == {"time", "kind", "b", "e"}
    assert found["b"] == ""


def test_durations_are_seconds_and_times_are_timestamps():
    line = Line("test", [("a", SECONDS), ("b", SECONDS), ("c", TIME), ("d", SECONDS)])
    text = line.build(NOW, (1_000_001, -5, NOW, 0)).decode()
    assert '"a":1.000001,"b":-0.000005,"c":"2026-01-02T03:04:05.678Z","d":0.000000}' in text


def test_infinity_is_null():
    found = parsed(Line("test", [("a", PLAIN), ("b", PLAIN)]).build(NOW, (float("inf"), float("nan"))))
    assert found["a"] is found["b"] is None


@given(st.integers(0, 253_402_300_799_999_999))
def test_a_timestamp_is_rfc3339_in_utc_with_milliseconds(now):
    """RFC 3339 5.6."""
    expected = datetime.fromtimestamp(now // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    expected = expected.rjust(19, "0") + f".{now // 1000 % 1000:03d}Z"
    assert timestamp(now).decode() == expected
    assert timestamp(now) == timestamp(now // 1000 * 1000)


@pytest.mark.parametrize(
    ("now", "text"),
    [(-1, b"1970-01-01T00:00:00.000Z"), (2**63 - 1, b"9999-12-31T23:59:59.999Z"), (0, b"1970-01-01T00:00:00.000Z")],
)
def test_a_clock_far_off_still_gives_a_timestamp(now, text):
    timestamp(NOW)
    assert timestamp(now) == text


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀", "\u202e"])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_text_is_cut_between_characters(letter, shift):
    text = "x" * shift + letter * 2000
    found = parsed(Line("t", [("a", PLAIN)]).build(NOW, (text,)))["a"]
    assert isinstance(found, str)
    assert found.endswith("…")
    assert text.startswith(found[:-1])
    assert TEXT_LIMIT - 4 < len(found[:-1].encode()) <= TEXT_LIMIT


def test_a_text_of_just_the_limit_is_whole():
    assert escape(b"x" * TEXT_LIMIT) == b"x" * TEXT_LIMIT
    assert escape(b"abc", 2) == "ab…".encode()
    assert escape(b"abc", 0) == "…".encode()


def test_a_long_list_is_cut_and_says_so():
    values = tuple(b"user%d@demo.test" % number for number in range(LIST_LIMIT + 5))
    found = parsed(Line("t", [("a", PLAIN)]).build(NOW, (values,)))["a"]
    assert found[:-1] == [value.decode() for value in values[:LIST_LIMIT]]
    assert found[-1] == "… and 5 more"


def test_a_line_far_above_the_first_buffer_is_whole():
    line = Line("t", [("a", PLAIN), ("b", PLAIN)])
    found = parsed(line.build(NOW, ([b"\x00" * 1000] * 500, [b"\xff" * 1000] * 500)))
    assert found["a"] == ["\x00" * 1000] * 500
    assert found["b"] == ["\\xff" * 1000] * 500


@pytest.mark.parametrize("value", [object(), {}, {1}, [[1]], memoryview(b"x"), bytearray(b"x"), 1j])
def test_what_is_no_plain_value_is_a_fault_of_the_caller(value):
    with pytest.raises(TypeError):
        Line("t", [("a", PLAIN)]).build(NOW, (value,))


def test_a_wrong_number_of_values_is_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="28 values, not 1"):
        TRANSACTION.build(NOW, (b"x",))


def test_declared_lines_have_the_fields_of_their_table():
    assert TRANSACTION.names == tuple(field.name for field in lines.TRANSACTION_FIELDS)
    assert DELIVERY.names == tuple(field.name for field in lines.DELIVERY_FIELDS)
    for names in (TRANSACTION.names, DELIVERY.names):
        assert len(set(names)) == len(names)
        assert not {"time", "kind"} & set(names)


@pytest.mark.parametrize("name", ["password", "secret", "content", "body", "message_id", "subject", "challenge"])
def test_no_field_is_meant_for_secrets_or_contents(name):
    """I8."""
    assert name not in TRANSACTION.names + DELIVERY.names


class Angry:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_event_is_written_whatever_its_arguments_are():
    fields = {"time": 1, "kind": "x", "level": "y", "role": "z", "a": Angry(), "b": {1}, "c": [Angry(), None], "d": {}}
    found = parsed(lines.event("warning", "tried", {"role": "smtp", "pid": 3}, fields))
    assert (found["kind"], found["level"], found["event"], found["role"]) == ("event", "warning", "tried", "smtp")
    assert (found["time_"], found["kind_"], found["level_"], found["role_"]) == (1, "x", "y", "z")
    assert found["a"] == "<Angry: RuntimeError in str()>"
    assert (found["b"], found["c"][1], found["d"]) == ([1], None, "{}")
