"""The shared page: who owns a row, and what stays of it."""

import os

import pytest

from relay.telemetry import page as pages
from relay.telemetry.metrics import ROW_CELLS, histogram_cells, index
from relay.telemetry.page import CountersPage, NoRowLeftError

ACCEPTED = index("relay_smtp_messages_accepted_total", "mx")
OPEN = index("relay_smtp_sessions_open", "mx")
FREE = index("relay_spool_free_bytes")


def test_what_a_forked_process_counts_is_seen_here():
    page = CountersPage(4)
    number = page.take_row("smtp", 1, 3)
    child = os.fork()
    if child == 0:
        page.row(number)[ACCEPTED] += 7
        os._exit(0)
    os.waitpid(child, 0)
    assert page.total(ACCEPTED) == 7


def test_counters_outlive_the_process_and_gauges_do_not():
    page = CountersPage(3)
    first = page.take_row("smtp")
    row = page.row(first)
    row[ACCEPTED] = 5
    row[OPEN] = 9
    row[FREE] = 1000
    histogram_cells("relay_spool_sync_seconds").observe(row, 300)
    page.release(first)
    assert page.total(ACCEPTED) == 5
    assert page.total(OPEN) == page.largest(FREE) == 0
    assert page.total(histogram_cells("relay_spool_sync_seconds").first + 2) == 1
    second = page.take_row("delivery")
    page.row(second)[ACCEPTED] += 1
    assert page.total(ACCEPTED) == 6


def test_two_living_processes_never_share_a_row():
    page = CountersPage(5)
    taken = [page.take_row("smtp", slot, 1) for slot in range(4)]
    assert len({0, *taken}) == 5
    with pytest.raises(NoRowLeftError):
        page.take_row("smtp")
    page.release(taken[2])
    assert page.take_row("smtp") == taken[2]


@pytest.mark.parametrize("number", [0, 1])
def test_a_row_that_was_not_taken_cannot_be_released(number):
    with pytest.raises(ValueError, match="not taken"):
        CountersPage(3).release(number)


def test_processes_tell_who_they_are_and_how_they_do():
    page = CountersPage(4)
    number = page.take_row("delivery", 2, 7)
    page.mark(number, pages.STANDBY, pid=4711)
    page.row(number)[pages.BEAT_CELL] = 123
    supervisor, process = page.processes()
    assert (supervisor.role, supervisor.row) == ("supervisor", 0)
    assert (process.role, process.slot, process.generation, process.pid) == ("delivery", 2, 7, 4711)
    assert (process.state, process.beat) == ("standby", 123)
    page.release(number)
    assert [each.role for each in page.processes()] == ["supervisor"]


def test_the_next_owner_of_a_row_inherits_no_beat_and_no_pid():
    """Else a new worker would be taken for one that has hung since its predecessor died."""
    page = CountersPage(2)
    page.mark(page.take_row("smtp"), pages.READY, pid=1)
    page.row(1)[pages.BEAT_CELL] = 99
    page.release(1)
    page.take_row("smtp")
    assert page.processes()[1]._replace(started_at=0) == (1, "smtp", 0, 0, 0, "starting", 0, 0)


def test_an_unknown_role_and_a_wrong_state_do_no_harm():
    page = CountersPage(2)
    number = page.take_row("experiment")
    assert page.processes()[1].role == "other"
    with pytest.raises(ValueError, match="state"):
        page.mark(number, 9)


def test_rows_start_on_pages_of_their_own():
    """No two processes write the same cache line."""
    page = CountersPage(3)
    page.row(1)[ROW_CELLS - 1] = 1
    page.row(2)[0] = 2
    assert page.row(0).nbytes == ROW_CELLS * 8
    assert page.row(1)[ROW_CELLS - 1] == 1
    with pytest.raises(IndexError):
        page.row(1)[ROW_CELLS] = 1
