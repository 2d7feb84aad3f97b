"""Listening sockets on loopback."""

import errno
import socket

import pytest

from relay.net.listeners import Endpoint, open_listener, probe


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_two_sockets_share_an_address_and_do_not_block(address):
    first = open_listener(Endpoint("mx", address, 0))
    port = first.getsockname()[1]
    second = open_listener(Endpoint("mx", address, 0), port)
    with first, second:
        assert second.getsockname()[1] == port
        for listening in (first, second):
            assert not listening.get_inheritable()
            with pytest.raises(BlockingIOError):
                listening.accept()


def test_ipv4_and_ipv6_wildcards_do_not_collide():
    with open_listener(Endpoint("mx", "0.0.0.0", 0)) as first:
        open_listener(Endpoint("mx6", "::", first.getsockname()[1])).close()


def test_a_probe_sees_another_program_where_sharing_would_not():
    with open_listener(Endpoint("mx", "127.0.0.1", 0)) as taken:
        endpoint = Endpoint("mx", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(OSError, match="Address already in use") as caught:
            probe(endpoint)
        assert caught.value.errno == errno.EADDRINUSE
    probe(endpoint)


def test_connections_in_time_wait_are_no_hindrance():
    with open_listener(Endpoint("mx", "127.0.0.1", 0)) as listening:
        endpoint = Endpoint("mx", *listening.getsockname())
        with socket.create_connection(listening.getsockname()):
            listening.setblocking(True)
            listening.accept()[0].close()
    probe(endpoint)


def test_what_is_no_address_is_told_with_the_listeners_name():
    with pytest.raises(OSError, match=r"mx on nowhere:25: not an IP address"):
        probe(Endpoint("mx", "nowhere", 25))
    assert str(Endpoint("mx", "::1", 25)) == "mx on [::1]:25"
