"""``relay dns``: true records, and comments where Relay cannot know."""

import dataclasses

from click.testing import CliRunner

from relay.cli import main
from relay.cli.dns import records
from relay.config.autoconfig import AutoconfigSettings
from relay.config.model import Listener
from relay.mail.next_hop import NextHop
from tests.admin.test_autoconfig import CONFIG


def zone(**changes):
    return list(records(dataclasses.replace(CONFIG, **changes), "example.org"))


def test_services_that_are_not_there_are_said_not_to_be():
    """RFC 6186 3.4: a target of "." ."""
    lines = zone()
    assert "_imaps._tcp.example.org. IN SRV 0 1 993 mail.example.org." in lines
    assert "_imap._tcp.example.org. IN SRV 10 1 143 mail.example.org." in lines
    assert "_pop3s._tcp.example.org. IN SRV 0 0 0 ." in lines
    assert "_pop3._tcp.example.org. IN SRV 0 0 0 ." in lines
    assert "example.org. IN MX 10 mail.example.org." in lines


def test_addresses_are_given_when_they_are_public():
    assert not any(" IN A 0." in line for line in zone())
    lines = zone(listeners=(Listener("mx", "mx", "8.8.8.8", 25), Listener("m6", "mx", "2606:4700::1", 25)))
    assert "mail.example.org. IN A 8.8.8.8" in lines
    assert "mail.example.org. IN AAAA 2606:4700::1" in lines


def test_with_a_smarthost_there_is_no_spf_record_of_ours():
    assert 'example.org. IN TXT "v=spf1 mx -all"' in zone()
    lines = zone(smarthost=NextHop("smtp", "smart.example", 25))
    assert not any(line.startswith("example.org. IN TXT") for line in lines)


def test_autoconfiguration_has_records_when_it_is_served():
    assert not any(line.startswith("autoconfig.") for line in zone())
    lines = zone(autoconfig=AutoconfigSettings(address="0.0.0.0", port=443, tls=True))
    assert "autoconfig.example.org. IN CNAME mail.example.org." in lines
    assert "_autodiscover._tcp.example.org. IN SRV 0 1 443 mail.example.org." in lines


def test_a_domain_that_is_not_ours_is_refused(tmp_path):
    (tmp_path / "relay.toml").write_text("allow_root = true\n[domains]\nlocal = ['example.org']\n")
    result = CliRunner().invoke(main, ["dns", "other.example", "-c", str(tmp_path / "relay.toml")])
    assert result.exit_code == 1
    assert "neither in domains.local nor a relay domain" in result.output


def test_json_has_name_type_and_value_of_each_record():
    from relay.cli.dns import as_table

    assert as_table("a.test. IN MX 10 mx.a.test.") == {"name": "a.test.", "type": "MX", "value": "10 mx.a.test."}
    assert as_table('a.test. IN TXT "v=spf1 mx -all"')["value"] == '"v=spf1 mx -all"'
    assert as_table("; fill in the address") == {"comment": "fill in the address"}
