"""The chain of ticket keys: the same in every process, turned by the clock, forgetting."""

import copy

import pytest

from relay.net import _tickets
from relay.net.tickets import HOUR, KEY_SIZE, TicketKeys

START = 1000 * HOUR + 17.0
DAY = 24 * HOUR


def sealing(keys):
    window, current = keys.window()
    return window[current]


def test_a_key_seals_for_an_hour_and_then_opens_for_as_long_as_a_ticket_lives():
    keys = TicketKeys(START)
    first = sealing(keys)
    assert len(first) == KEY_SIZE
    for hour in range(1, 5):
        keys.advance(START + hour * HOUR, 4 * HOUR)
        assert sealing(keys) != first
        assert first in keys.window()[0]
    keys.advance(START + 5 * HOUR, 4 * HOUR)
    assert first not in keys.window()[0]


def test_processes_forked_at_different_times_agree():
    """A fork is a copy; each then turns its chain when it gets to it."""
    supervisor = TicketKeys(START)
    early = copy.deepcopy(supervisor)
    for minute in range(1, 600):
        early.advance(START + minute * 60, 4 * HOUR)
    supervisor.advance(START + 599 * 60, 4 * HOUR)
    late = copy.deepcopy(supervisor)
    late.advance(START + 600 * 60, 4 * HOUR)
    early.advance(START + 600 * 60, 4 * HOUR)
    assert sealing(early) == sealing(late)


def test_a_successor_opens_what_its_predecessor_sealed_hours_ago():
    supervisor = TicketKeys(START)
    sealed = sealing(copy.deepcopy(supervisor))
    for hour in range(1, 4):
        supervisor.advance(START + hour * HOUR, 4 * HOUR)
    assert sealed in copy.deepcopy(supervisor).window()[0]


def test_the_key_of_the_coming_hour_is_known_ahead():
    """A worker whose tick comes a little later opens what another has sealed already."""
    slow, quick = TicketKeys(START), None
    quick = copy.deepcopy(slow)
    quick.advance(START + HOUR, HOUR)
    assert sealing(quick) in slow.window()[0]


def test_what_is_kept_does_not_give_away_old_keys():
    """Nothing of an hour that is over, neither its key nor the secret that it came from."""
    keys = TicketKeys(START)
    old = sealing(keys), keys._secret
    keys.advance(START + DAY, 2 * HOUR)
    assert old[0] not in keys._keys.values()
    assert old[1] != keys._secret
    assert len(keys._keys) == 4


def test_advance_tells_whether_there_is_a_new_key():
    keys = TicketKeys(START)
    assert not keys.advance(START + 60, HOUR)
    assert keys.advance(START + HOUR, HOUR)
    assert not keys.advance(START + HOUR, HOUR)


def test_a_clock_that_goes_back_changes_nothing():
    keys = TicketKeys(START)
    keys.advance(START + 2 * HOUR, 4 * HOUR)
    before = keys.window()
    assert not keys.advance(START, 4 * HOUR)
    assert keys.window() == before


def test_two_appliances_have_nothing_in_common():
    assert not set(TicketKeys(START).window()[0]) & set(TicketKeys(START).window()[0])


def test_the_longest_lifetime_fits_the_table_of_keys():
    keys = TicketKeys(START)
    for hour in range(200):
        keys.advance(START + hour * HOUR, 7 * DAY)
    assert 168 < len(keys.window()[0]) <= _tickets.MOST_KEYS
    _tickets.set_keys(*keys.window())


@pytest.mark.parametrize(("keys", "current"), [([], 0), ([b"x" * 79], 0), ([b"x" * 80], 1), ([b"x" * 80], -1),
                                               ([b"x" * 80] * 257, 0)])  # fmt: skip
def test_what_is_no_table_of_keys_is_refused(keys, current):
    with pytest.raises(ValueError, match="ticket keys"):
        _tickets.set_keys(keys, current)
