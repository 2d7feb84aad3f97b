"""Next hops as they are written in the configuration."""

import pytest

from relay.mail.next_hop import NextHop, parse_next_hop


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("smtp://mail.example.org:2525", NextHop("smtp", "mail.example.org", 2525)),
        ("smtp://Mail.Example.org.", NextHop("smtp", "mail.example.org", 25)),
        ("smtp://192.0.2.1", NextHop("smtp", "192.0.2.1", 25)),
        ("smtp://[2001:DB8::1]:26", NextHop("smtp", "2001:db8::1", 26)),
        ("lmtp://localhost", NextHop("lmtp", "localhost", 24)),
        ("lmtp:///run/dovecot/lmtp", NextHop("lmtp", path="/run/dovecot/lmtp")),
    ],
)
def test_a_next_hop_is_read_and_shown_as_it_would_be_read_again(text, hop):
    assert parse_next_hop(text) == hop
    assert parse_next_hop(str(hop)) == hop


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mail.example.org", "is not a next hop"),
        ("http://mail.example.org", "is not a next hop"),
        ("smtp://", "must be host"),
        ("smtp://a b", "must be host"),
        ("smtp://user@host", "must be host"),
        ("smtp://host/path", "must be host"),
        ("smtp://2001:db8::1", "must be host"),
        ("smtp://host:0", "a port is from 1 to 65535"),
        ("smtp://host:65536", "a port is from 1 to 65535"),
        ("smtp://256.1.1.1", "is not a host name or IP address"),
        ("smtp://[192.0.2.1]", "is not a host name or IP address"),
        ("smtp://-host", "is not a host name or IP address"),
        ("smtp:///run/socket", "a Unix socket speaks LMTP"),
        ("lmtp:///" + "x" * 107, "at most 107 octets"),
        ("lmtp:///run/", "not a usable path"),
    ],
)
def test_what_is_no_next_hop_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=why):
        parse_next_hop(text)
