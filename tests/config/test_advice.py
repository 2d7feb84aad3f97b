"""What deserves a second look in a configuration without errors, and what must not be in one: from settings alone."""

from __future__ import annotations

import pytest

from relay.config import ConfigErrors, load
from relay.config.advice import advice
from relay.config.load import load_located
from relay.config.positions import show_path

LISTENER = '[[listener]]\nname = "mx"\nkind = "mx"\naddress = "{address}"\nport = {port}\n'


def config_of(tmp_path, text: str):
    path = tmp_path / "relay.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (
            'hostname = "mx.example.org"\ntrusted_networks = ["0.0.0.0/1"]',
            "trusted_networks[1]",
            "much of the internet",
        ),
        ('hostname = "mx.example.org"\ntrusted_networks = ["2000::/3"]', "trusted_networks[1]", "much of the internet"),
        ('hostname = "box.local"', "hostname", "no name in DNS"),
        ('hostname = "box"', "hostname", "no name in DNS"),
        ('hostname = "mx.example.org"\ndomains.local = []', "domains.local", "no domain whose mail"),
        (
            'hostname = "mx.example.org"\ndomains.local = ["a.test"]\n'
            + LISTENER.format(address="0.0.0.0", port=587)
            + "plaintext_login = true",
            "listener[1].plaintext_login",
            "can be read on the way",
        ),
        ('hostname = "mx.example.org"\n[admin]\naddress = "0.0.0.0"', "admin.address", "everybody may ask"),
    ],
)
def test_what_is_seldom_meant_is_advised_against(tmp_path, text, key, words):
    loaded = load_located(config_of(tmp_path, text), {})
    found = {show_path(path): said for path, said in advice(loaded.config)}
    assert words in found[key]


def test_a_sound_configuration_needs_no_advice(tmp_path):
    text = (
        'hostname = "mx.example.org"\ntrusted_networks = ["10.0.0.0/8", "fc00::/7"]\ndomains.local = ["example.org"]\n'
    )
    assert not list(advice(load(config_of(tmp_path, text), {})))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_an_open_relay_is_an_error(tmp_path, network):
    path = config_of(tmp_path, f'hostname = "mx.example.org"\ntrusted_networks = ["10.0.0.0/8", "{network}"]')
    with pytest.raises(ConfigErrors, match=r"toml:2: trusted_networks\[2\]: .*open relay"):
        load(path, {})


@pytest.mark.parametrize(
    ("address", "port", "hop"),
    [
        ("127.0.0.1", 2525, "smtp://127.0.0.1:2525"),
        ("0.0.0.0", 2525, "smtp://127.0.0.1:2525"),
        ("0.0.0.0", 2525, "smtp://localhost:2525"),
        ("192.0.2.1", 25, "smtp://192.0.2.1"),
        ("::", 25, "smtp://[::1]:25"),
        ("0.0.0.0", 25, "smtp://mx.example.org"),
        ("0.0.0.0", 24, "lmtp://mx.example.org"),
    ],
)
@pytest.mark.parametrize("is_smarthost", [True, False])
def test_a_next_hop_that_is_this_server_is_an_error(tmp_path, address, port, hop, is_smarthost):
    """Each message would come back until it has made smtp.max_hops rounds."""
    text = 'hostname = "mx.example.org"\n'
    text += f'smarthost = "{hop}"\n' if is_smarthost else ""
    text += LISTENER.format(address=address, port=port)
    text += "" if is_smarthost else f'[[relay_domain]]\ndomain = "b.test"\nnext_hop = "{hop}"\n'
    key = "smarthost" if is_smarthost else r"relay_domain\[1\].next_hop"
    with pytest.raises(ConfigErrors, match=rf"toml:\d+: {key}: .*this server itself"):
        load(config_of(tmp_path, text), {})


@pytest.mark.parametrize(
    "hop",
    [
        "smtp://127.0.0.1:2526",
        "smtp://[::1]:25",
        "smtp://other.example.org",
        "lmtp:///run/dovecot/lmtp",
        "smtp://127.0.0.2",
    ],
)
def test_another_server_is_no_error(tmp_path, hop):
    text = f'hostname = "mx.example.org"\nsmarthost = "{hop}"\n' + LISTENER.format(address="192.0.2.1", port=25)
    assert load(config_of(tmp_path, text), {}).smarthost is not None


def test_what_is_said_about_a_setting_names_the_place_it_comes_from(tmp_path):
    loaded = load_located(config_of(tmp_path, "\n\nhostname = 'mx.example.org'\n"), {"RELAY_USER": "nobody"})
    assert str(loaded.locate(("hostname",), "x")) == f"{tmp_path}/relay.toml:3: hostname: x"
    assert str(loaded.locate(("user",), "x")) == "environment variable RELAY_USER: user: x"
    assert str(loaded.locate(("log", "destination"), "x")) == f"{tmp_path}/relay.toml: log.destination: x"
