"""Which slot listens on what, and what stays open over reloads."""

import socket

import pytest

from relay.net.listeners import Endpoint
from relay.supervisor.sockets import ListeningSockets

MX = Endpoint("mx", "127.0.0.1", 0)


@pytest.fixture
def sockets():
    held = ListeningSockets()
    yield held
    held.keep_only([])


def can_connect(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True


def test_every_slot_has_a_socket_of_its_own_on_the_same_port(sockets):
    sockets.ensure({MX: 3})
    given = [sockets.of_slot(MX, slot, 3) for slot in range(3)]
    assert [len(mine) for mine in given] == [1, 1, 1]
    assert {mine[0].getsockname() for mine in given} == {sockets.bound(MX)}
    assert len({mine[0].fileno() for mine in given}) == 3


def test_fewer_slots_share_all_sockets_and_none_is_left_unserved(sockets):
    sockets.ensure({MX: 5})
    everything = {mine[0] for mine in (sockets.of_slot(MX, slot, 5) for slot in range(5))}
    sockets.ensure({MX: 2})
    shared = [sockets.of_slot(MX, slot, 2) for slot in range(2)]
    assert [len(mine) for mine in shared] == [3, 2]
    assert {one for mine in shared for one in mine} == everything


def test_an_address_keeps_its_sockets_under_another_name(sockets):
    sockets.ensure({MX: 1})
    old = Endpoint("old", *sockets.bound(MX))
    sockets.keep_only([])
    sockets.ensure({old: 1})
    new = old._replace(name="new")
    sockets.ensure({new: 1})
    sockets.keep_only([new])
    assert sockets.of_slot(new, 0, 1) == sockets.of_slot(old, 0, 1)
    assert can_connect(sockets.bound(new))


def test_vanished_addresses_are_closed(sockets):
    other = Endpoint("submission", "127.0.0.1", 0)
    sockets.ensure({MX: 2, other: 2})
    gone = sockets.bound(other)
    sockets.keep_only([MX])
    assert can_connect(sockets.bound(MX))
    assert not can_connect(gone)
    assert sockets.of_slot(other, 0, 2) == ()


def test_when_one_address_cannot_be_had_nothing_is_opened(sockets):
    sockets.ensure({MX: 1})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = Endpoint("taken", *taken.getsockname())
        new = Endpoint("new", "127.0.0.1", 0)
        with pytest.raises(OSError, match="taken on"):
            sockets.ensure({MX: 3, new: 2, bad: 1})
    assert len(sockets.of_slot(MX, 0, 1)) == 1
    assert sockets.of_slot(new, 0, 1) == ()


def test_our_own_port_on_another_address_is_no_stranger(sockets):
    """From 127.0.0.1 to every address, or back, in one reload."""
    sockets.ensure({MX: 1})
    everywhere = Endpoint("mx", "0.0.0.0", sockets.bound(MX)[1])
    fixed = Endpoint("mx", *sockets.bound(MX))
    sockets.keep_only([])
    sockets.ensure({fixed: 1})
    sockets.ensure({everywhere: 1})
    sockets.keep_only([everywhere])
    assert can_connect(fixed[1:])
