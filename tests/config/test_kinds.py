"""Single kinds of value."""

import pytest

from relay.config.kinds import Domain, Mail
from relay.mail.address import parse_address


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.ORG.", "example.org"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),  # fass.example in IDNA 2003: somebody else's domain
        ("βόλος.example", "xn--nxasmm1c.example"),  # its last letter is lost in IDNA 2003
        ("_dmarc.example", "_dmarc.example"),
    ],
)
def test_a_domain_has_the_same_form_in_the_configuration_as_in_addresses(text, name):
    """RFC 5890 2.3.2.1, RFC 5891: else mail for a configured domain would be refused as not local."""
    assert Domain().parse(text) == name
    assert Mail().parse(f"u@{text}") == f"u@{name}"
    assert parse_address(f"u@{text.rstrip('.')}") == f"u@{name}".encode()


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "-a.example", "a b", "☺☺.example-", "\udcff.example", "ü" * 60, "\N{ZERO WIDTH JOINER}.example"],
)
def test_what_is_no_domain_name_is_refused(text):
    with pytest.raises(ValueError, match="is not a domain name"):
        Domain().parse(text)


@pytest.mark.parametrize("text", ["a..b@x.example", "a.@x.example", ".a@x.example", "a.b@x.example"])
def test_addresses_elsewhere_may_have_dots_anywhere(text):
    """Large providers have such mailboxes; ours are as RFC 5321 4.1.2 has them."""
    assert Mail(may_be_elsewhere=True).parse(text) == text
    if text != "a.b@x.example":
        with pytest.raises(ValueError, match="is not a mail address"):
            Mail().parse(text)


@pytest.mark.parametrize("text", ["@x.example", ".@x.example", "..@x.example", "a b@x.example", "a"])
def test_these_are_no_addresses_anywhere(text):
    with pytest.raises(ValueError, match="is not a mail address"):
        Mail(may_be_elsewhere=True).parse(text)
