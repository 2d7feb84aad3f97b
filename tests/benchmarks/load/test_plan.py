"""Sizes, templates, stages, addresses, and the texts of messages."""

import socket

import pytest

from benchmarks.load import address
from benchmarks.load._mark import Reader
from benchmarks.load._messages import Address, Messages
from benchmarks.load.contents import make_texts
from benchmarks.load.plan import (
    MIX,
    parse_delays,
    parse_drops,
    parse_refusals,
    parse_size,
    parse_sizes,
    parse_template,
)


def test_sizes_have_units_and_weights():
    assert parse_size("10KiB") == 10240
    assert parse_sizes("1KiB:30,2KiB:10") == [(1024, 0.75), (2048, 0.25)]
    assert parse_sizes("mix") == parse_sizes(MIX)


@pytest.mark.parametrize("text", ["", "1kb", "100", "65MiB", "1KiB:x", "1KiB:0", "1KiB:-1"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        parse_sizes(text)


def test_templates_are_filled():
    assert Address(parse_template("r{r}@d{n%3}.test")).of(7, 5) == b"r5@d1.test"
    assert Address(parse_template("{n}{r%2}@x.test")).of(4_000_000_000, 3) == b"40000000001@x.test"
    assert not Address(parse_template("r{r}@x.test")).varies


@pytest.mark.parametrize("text", ["a{x}@b", "a{n@b", "a}@b", "a b@c", "a", "{n%0}@x", "a@b>c", "a" * 200 + "@b.test"])
def test_a_template_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        parse_template(text)


def test_stages_take_codes_shares_and_seconds():
    assert parse_refusals(("rcpt=451:0.1", "mail=550")) == {"rcpt": (451, 0.1), "mail": (550, 1.0)}
    assert parse_delays(("content=0.05",)) == {"content": 0.05}
    assert parse_drops(("content:0.01", "data")) == {"content": 0.01, "data": 1.0}


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (parse_refusals, ("rcpt=250",)),
        (parse_refusals, ("rcpt=451:2",)),
        (parse_refusals, ("quit=451",)),
        (parse_refusals, ("rcpt=451", "rcpt=452")),
        (parse_delays, ("mail=soon",)),
        (parse_drops, ("mail:1.5",)),
    ],
)
def test_a_stage_that_is_none_is_refused(parse, texts):
    with pytest.raises(ValueError):
        parse(texts)


def test_only_loopback_is_spoken_to_unless_it_is_allowed():
    assert address.resolve("127.0.0.1:25", allow_remote=False) == (socket.AF_INET, ("127.0.0.1", 25))
    assert address.resolve("[::1]:25", allow_remote=False)[0] == socket.AF_INET6
    with pytest.raises(ValueError, match="loopback"):
        address.resolve("192.0.2.1:25", allow_remote=False)
    assert address.resolve("192.0.2.1:25", allow_remote=True)[1] == ("192.0.2.1", 25)


@pytest.mark.parametrize("size", [400, 1024, 1025, 70_001, 1_000_000])
def test_a_message_has_the_size_that_was_asked_for_and_is_well_formed(size):
    texts = make_texts(size, 1.0, "load@source.test")
    messages = Messages(3, [(1.0, texts)], (parse_template("r{r}@x.test"),), 1)
    for number in range(min(len(texts), 4)):
        content = messages.content(number)
        assert len(content) == size
        assert content.endswith(b"\r\n")
        lines = content.split(b"\r\n")
        assert not any(b"\r" in line or b"\n" in line for line in lines)
        assert max(map(len, lines)) <= 90
        reader = Reader()
        assert reader.read(content[:86] + texts[number % len(texts)].stuffed) == b""
        assert reader.mark is not None
        assert reader.mark[1] == number
        assert not reader.is_altered


def test_some_messages_have_a_line_that_begins_with_a_dot():
    texts = make_texts(1024, 1.0, "load@source.test")
    assert any(b"\r\n." in text.plain for text in texts)
    assert not all(b"\r\n." in text.plain for text in texts)


def test_sizes_come_in_their_shares():
    sizes = [(0.75, make_texts(500, 0.5, "a@b.test")), (0.25, make_texts(600, 0.5, "a@b.test"))]
    messages = Messages(1, sizes, (parse_template("r@x.test"),), 1)
    small = sum(len(messages.content(number)) == 500 for number in range(4000))
    assert 2800 < small < 3200
