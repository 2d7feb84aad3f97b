"""The readers of strangers' text on any octets: they agree with their slow twins, raise nothing, and give text that
is text. Used by the fuzz target ``text``; the same properties are held by the tests beside, on input made by
Hypothesis."""

from __future__ import annotations

from relay.mail import _encoded_words, charsets, dates, encoded_words, header_addresses, html_text, parameters, transfer
from tests.mail import twin_text

NAMES = sorted({charset.name for charset in charsets.CHARSETS.values()})


def text(octets: bytes) -> None:
    """The first octet chooses a charset."""
    assert _encoded_words.runs(octets) == twin_text.runs(octets)
    assert _encoded_words.unfold(octets) == twin_text.unfold(octets)
    assert transfer.decode(octets, "base64") == twin_text.base64(octets)
    assert transfer.decode(octets, "quoted-printable") == twin_text.quoted_printable(octets)
    shown = encoded_words.decode(octets)
    shown.encode()
    charsets.CHARSETS[NAMES[(octets[:1] or b"\0")[0] % len(NAMES)]].decode(octets[1:]).encode()
    html_text.text_of(shown).encode()
    dates.parse(octets)
    for parameter in parameters.parameters(octets).values():
        parameter.text.encode()
    encoded_words.decode(encoded_words.encode(shown, 10).encode())
    depth = 0
    for each in header_addresses.addresses(octets):
        depth += each.is_group_begin - each.is_group_end
        assert 0 <= depth <= 1
