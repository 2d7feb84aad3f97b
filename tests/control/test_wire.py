"""Requests and answers as tables, and what is said of tables that are none."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.control.registry import COMMANDS, End
from relay.control.vocabulary import QueueEntry, Selection
from relay.control.wire import WireError, from_table, to_table
from relay.net.frames import FrameBuffer, encode
from tests.control.samples import ENTRY

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
WHOLE = st.integers(0, 2**63)
ENTRIES = st.builds(
    QueueEntry,
    queue_id=TEXT,
    state=st.sampled_from(["incoming", "active", "deferred", "hold", "corrupt"]),
    waits_for=TEXT,
    reverse_path=TEXT,
    recipients=st.lists(TEXT).map(tuple),
    size=WHOLE,
    received_at=WHOLE,
    due_at=WHOLE,
    attempts=WHOLE,
    code=WHOLE,
    status=TEXT,
    text=TEXT,
    stage=TEXT,
    next_hop=TEXT,
    record=st.tuples(WHOLE, WHOLE, WHOLE),
)
SELECTIONS = st.builds(Selection, TEXT, TEXT, st.floats(allow_nan=False, allow_infinity=False))
VALUES: dict[type, st.SearchStrategy[Any]] = {QueueEntry: ENTRIES, Selection: SELECTIONS}


def crossed(value: NamedTuple) -> Any:
    """What comes out at the other end of a socket."""
    ((name, table),) = FrameBuffer().feed(encode(("part", to_table(value))))
    assert name == "part"
    return table


@pytest.mark.parametrize("name", COMMANDS)
@given(data=st.data())
def test_the_request_and_the_answer_of_each_command_survive_the_wire(name: str, data: st.DataObject) -> None:
    command = COMMANDS[name]
    assert command.name == name
    for kind in (command.request, command.part):
        value = data.draw(VALUES[kind])
        assert from_table(kind, crossed(value)) == value


def test_what_is_left_out_has_its_default() -> None:
    assert from_table(Selection, {"domain": "a.test"}) == Selection(domain="a.test")


@pytest.mark.parametrize(
    ("kind", "table", "said"),
    [
        (Selection, None, "Selection is a table, not NoneType"),
        (Selection, ("x",), "not tuple"),
        (Selection, {"older": 1.0}, "has no 'older'"),
        (Selection, {5: 1.0}, "has no '5'"),
        (Selection, {"domain": b"a.test"}, "domain cannot be b'a.test'"),
        (Selection, {"queue_id": None}, "queue_id cannot be None"),
        (Selection, {"older_than": True}, "older_than cannot be True"),
        (Selection, {"older_than": float("nan")}, "older_than cannot be nan"),
        (Selection, {"older_than": float("inf")}, "older_than cannot be inf"),
        (QueueEntry, {"queue_id": "x"}, "lacks state, waits_for"),
        (QueueEntry, ENTRY._asdict() | {"state": "lost"}, "state cannot be 'lost'"),
        (QueueEntry, ENTRY._asdict() | {"size": 1.5}, "size cannot be 1.5"),
        (QueueEntry, ENTRY._asdict() | {"attempts": True}, "attempts cannot be True"),
        (QueueEntry, ENTRY._asdict() | {"recipients": ("a", 1)}, "recipients cannot be"),
        (QueueEntry, ENTRY._asdict() | {"record": (1, 2)}, "record cannot be"),
        (QueueEntry, ENTRY._asdict() | {"record": (1, 2, "3")}, "record cannot be"),
        (End, {"parts": "many"}, "parts cannot be 'many'"),
    ],
)
def test_a_table_that_is_not_the_value_says_what_is_wrong(kind: type[Any], table: object, said: str) -> None:
    with pytest.raises(WireError, match=re.escape(said)):
        from_table(kind, table)


class WithFlag(NamedTuple):
    is_on: bool


def test_a_truth_value_is_no_number() -> None:
    assert from_table(WithFlag, {"is_on": True}) == WithFlag(True)
    with pytest.raises(WireError):
        from_table(WithFlag, {"is_on": 1})
