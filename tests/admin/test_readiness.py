"""When mail may be sent to us, and when we are to be started anew."""

import pytest

from relay.admin.facts import Facts, look
from relay.admin.readiness import not_alive, not_ready
from relay.config.queue import SpoolSettings
from relay.telemetry import metrics
from relay.telemetry.page import DRAINING, READY, CountersPage, Process

BEAT = 10.0
SPOOL = SpoolSettings()
NOW = 1_000_000_000


def process(role: str, state: str = "ready", beat: int = NOW) -> Process:
    return Process(row=1, role=role, slot=0, generation=1, pid=9, state=state, started_at=0, beat=beat)


GOOD = Facts(processes=(process("supervisor"), process("smtp"), process("delivery")), now=NOW, generation=1)


def codes(facts: Facts) -> list[str]:
    return [reason.code for reason in not_ready(facts, BEAT, SPOOL)]


def test_an_appliance_whose_workers_are_ready_is_ready():
    assert codes(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"is_draining": True}, "draining"),
        ({"throttled": (("smtp", 1),)}, "crash_loop"),
        ({"disk_low_workers": 1}, "disk_low"),
        ({"sync_failed_workers": 2}, "sync_failed"),
        ({"stuck": (("mailbox-0", 0.5), ("mailbox-1", 10.5))}, "store_threads"),
        ({"processes": (process("supervisor"), process("delivery"))}, "no_worker"),
        ({"processes": (process("supervisor"), process("smtp"))}, "no_worker"),
        ({"processes": (process("smtp", "starting"), process("delivery"))}, "no_worker"),
        ({"processes": (process("smtp", "draining"), process("delivery"))}, "no_worker"),
        ({"processes": (process("supervisor", beat=1), *GOOD.processes[1:])}, "supervisor_hung"),
    ],
)
def test_each_reason_makes_us_unready_by_itself(changes, code):
    assert codes(GOOD._replace(**changes)) == [code]


def test_busy_threads_of_which_some_come_back_do_not():
    assert codes(GOOD._replace(stuck=(("mailbox-0", 9.5), ("delivery-0", 2.0)))) == []


def test_the_page_tells_of_stuck_threads_of_workers_that_serve():
    page = CountersPage(4)
    for number, state in ((0, READY), (1, DRAINING)):
        row = page.take_row("mailbox", slot=number)
        page.mark(row, state)
        page.row(row)[metrics.index("relay_store_stuck_seconds")] = 12_000_000
    assert look(page).stuck == (("mailbox-0", 12.0),)


def test_one_lost_worker_of_several_does_not():
    assert codes(GOOD._replace(processes=(*GOOD.processes, process("smtp", "starting")))) == []


def test_a_reload_does_not():
    """DESIGN 2: the delivery workers of the new generation stand by until those of the old one are gone."""
    between = (process("smtp"), process("smtp", "draining"), process("delivery", "standby"))
    assert codes(GOOD._replace(processes=(*between, process("delivery", "draining")))) == []


def test_a_refused_reload_does_not():
    """I6: the old configuration serves on."""
    assert codes(GOOD._replace(is_reload_refused=True)) == []


def test_all_reasons_are_told_in_words():
    facts = Facts(is_draining=True, throttled=(("smtp", 2),), disk_low_workers=1, free_bytes=40 << 20,
                  free_inodes=7, sync_failed_workers=2)  # fmt: skip
    texts = [reason.text for reason in not_ready(facts, BEAT, SPOOL)]
    assert texts == [
        "the appliance drains to stop",
        "no smtp worker is ready",
        "no delivery worker is ready",
        "2 smtp workers are held back after dying again and again",
        (
            "the spool's file system is nearly full: 40.0 MiB free, and spool.min_free_bytes is 256MiB; 7 inodes "
            "free, and spool.min_free_inodes is 5000; 1 worker is refusing new mail"
        ),
        "writing to the spool fails; 2 workers are refusing new mail",
    ]


def test_only_a_stuck_supervisor_is_a_reason_to_start_anew():
    """A restart would not make room on a disk."""
    bad = GOOD._replace(is_draining=True, disk_low_workers=3, sync_failed_workers=3, throttled=(("smtp", 2),))
    assert not_alive(bad, BEAT) == ()
    for age, is_hung in ((0, False), (39, False), (41, True)):
        facts = GOOD._replace(processes=(process("supervisor", beat=NOW - age * 1_000_000),))
        assert bool(not_alive(facts, BEAT)) == is_hung


def test_a_supervisor_that_never_beat_is_not_judged():
    assert not_alive(Facts(processes=(process("supervisor", beat=0),), now=NOW), BEAT) == ()
