"""URLs of CATENATE (RFC 4469, RFC 5092)."""

import pytest

from relay.imap import urls
from relay.imap.completion import No
from tests.imap.stored import stored

MESSAGE = b"To: a\r\nSubject: b\r\n\r\nbody\r\n"


def read(url: bytes) -> bytes:
    state = stored(MESSAGE)
    return b"".join(urls.read(state, url, 3))


@pytest.mark.parametrize(
    ("url", "octets"),
    [
        (b"/;UID=1", MESSAGE),
        (b"/INBOX;UID=1", MESSAGE),
        (b"/INBOX/;UID=1", MESSAGE),
        (b"INBOX/;UID=1", MESSAGE),
        (b"imap://anna@host:143/INBOX/;UID=1/;SECTION=TEXT", b"body\r\n"),
        (b"/INBOX;UIDVALIDITY=1700000001/;UID=1/;SECTION=HEADER", MESSAGE[:-6]),
        (b"/;uid=1/;section=text/;partial=1.2", b"od"),
        (b"/;UID=1/;PARTIAL=22", b"ody\r\n"),
        (b"/;UID=1/;PARTIAL=9999999999999999999", b""),
        (b"/;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)", b"Subject: b\r\n\r\n"),
        (b"/;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)/;PARTIAL=9.1", b"b"),
    ],
)
def test_a_url_means_octets(url, octets):
    assert read(url) == octets


@pytest.mark.parametrize(
    "url",
    [
        b"", b"x", b"/;UID=", b"/;UID=2", b"/;UID=1/;SECTION=9", b"/;UID=1/;SECTION=FOO", b"/;UID=1/;PARTIAL=x",
        b"/INBOX;UIDVALIDITY=1/;UID=1", b"/;UID=" + b"9" * 5000, b"/INBOX;UIDVALIDITY=" + b"9" * 5000 + b"/;UID=1",
        b"/;UID=1/;PARTIAL=" + b"9" * 5000, b"imap://" + b"a" * 60_000, b"imap://" + b"a/" * 30_000, b"a;" * 30_000,
        b"imap:///" + b"/" * 60_000, b";UIDVALIDITY=1" * 4000,
    ],
    ids=lambda each: each[:20].decode(),
)  # fmt: skip
def test_what_is_none_is_told_in_short(url):
    """Numbers without end, and hosts: all of it is read once."""
    with pytest.raises(No) as fault:
        read(url)
    assert fault.value.code.startswith("BADURL")
    assert len(fault.value.code) <= len("BADURL ") + urls.MAX_SHOWN
