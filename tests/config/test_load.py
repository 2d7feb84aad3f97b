"""Reading a configuration: values, errors with their places, the environment."""

import os
import pickle
from pathlib import Path

import pytest

from relay.config import Config, ConfigErrors, demo, load
from relay.config.model import Listener
from relay.mail.next_hop import NextHop

GOOD = """\
hostname = "MX.Example.org"
data_dir = "data"
trusted_networks = ["192.0.2.0/24", "2001:db8::1"]
smarthost = "smtp://[2001:db8::2]:587"

[domains]
local = ["Example.org", "bücher.example"]

[[relay_domain]]
domain = "partner.example"
next_hop = "lmtp:///run/lmtp"
recipients = ["a@partner.example"]
recipients_file = "partner.txt"

[smtp]
max_message_size = "10MiB"
command_timeout = "1m30s"

[delivery]
dns_servers = ["192.0.2.53", "[::1]:5353"]

[[listener]]
name = "in"
kind = "mx"
address = "::"
port = 2525
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="relay.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def errors_of(path, environ=None):
    with pytest.raises(ConfigErrors) as caught:
        load(path, environ or {})
    return [(error.line, error.key, error.message) for error in caught.value.errors]


def test_values_arrive_checked_and_in_their_units(write, tmp_path):
    write("# ours\nb@Partner.example # Bea\n\n", "partner.txt")
    config = load(write(GOOD), {})
    assert config.hostname == "mx.example.org"
    assert config.data_dir == tmp_path / "data"
    assert config.accounts_path == tmp_path / "data" / "accounts"
    assert config.trusted_networks == ("192.0.2.0/24", "2001:db8::1/128")
    assert config.smarthost == NextHop("smtp", "2001:db8::2", 587)
    assert config.domains.local == ("example.org", "xn--bcher-kva.example")
    assert config.relay_domains[0].next_hop == NextHop("lmtp", path="/run/lmtp")
    assert config.relay_domains[0].recipients == ("a@partner.example", "b@partner.example")
    assert config.smtp.max_message_size == 10 * 2**20
    assert config.smtp.command_timeout == 90.0
    assert config.delivery.dns_servers == (("192.0.2.53", 53), ("::1", 5353))
    assert config.listeners == (Listener("in", "mx", "::", 2525),)
    assert config.queue == Config().queue


def test_a_configuration_can_be_sent_to_another_process(write):
    write("", "partner.txt")
    config = load(write(GOOD), {})
    assert pickle.loads(pickle.dumps(config)) == config


def test_an_empty_file_gives_the_defaults(write):
    assert load(write(""), {}) == Config()


def test_all_errors_come_at_once_with_line_and_key(write):
    path = write(
        """\
hostnam = "mx.example.org"
trusted_networks = ["10.0.0.1/8"]

[smtp]
max_line = "2048"
command_timeout = 300
max_recipients = 0

[[listener]]
name = "mx"
kind = "mxx"
address = "localhost"
port = 25

[[listener]]
name = "other"
kind = "mx"
address = "::"
"""
    )
    errors = errors_of(path)
    assert [(line, key) for line, key, _ in errors] == [
        (1, "hostnam"),
        (2, "trusted_networks"),
        (5, "smtp.max_line"),
        (6, "smtp.command_timeout"),
        (7, "smtp.max_recipients"),
        (11, "listener[1].kind"),
        (12, "listener[1].address"),
        (15, "listener[2].port"),
    ]
    messages = [message for _, _, message in errors]
    assert "did you mean hostname?" in messages[0]
    assert 'did you mean "10.0.0.0/8"?' in messages[1]
    assert "no quotes" in messages[2]
    assert '"5m"' in messages[3]
    assert "from 1 to 100000, not 0" in messages[4]
    assert 'did you mean "mx"?' in messages[5]
    assert "not an IP address" in messages[6]
    assert messages[7] == "is missing"


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("[smtp]\nhostname = 'x'\n", 2, "smtp.hostname", "stands at the top of the file"),
        ("max_line = 5\n", 1, "max_line", "belongs in [smtp]"),
        ("[smpt]\n", 1, "smpt", "did you mean smtp?"),
        ("smtp = 5\n", 1, "smtp", "must be a table: [smtp]"),
        ("[listener]\nname = 'x'\n", 1, "listener", "[[listener]]"),
        ("nothing_like_it = 1\n", 1, "nothing_like_it", "there is no such setting"),
        ("a = 1\n\nb = = 2\n", 3, "", "is not TOML"),
        ("a = 1\na = 2\n", 2, "", "is not TOML"),
        ('a = "', 1, "", "is not TOML"),
        ("smarthost = 'mail.example.org'\n", 1, "smarthost", "smtp://host:port"),
        ("drain_timeout = '2d'\n", 1, "drain_timeout", 'from "1s" to "1h"'),
        ("group = 'mail'\n", 1, "group", "without user"),
        ("user = 'root'\n", 1, "user", "allow_root"),
        ("[queue]\nretry_first = '5h'\n", 2, "queue.retry_first", 'queue.retry_max ("4h")'),
        ("[smtp]\nmemory_budget = '16MiB'\nlarge_content = '16MiB'\n", 2, "smtp.memory_budget", "at least twice"),
    ],
)
def test_an_error_says_where_and_what_is_right(write, text, line, key, message):
    errors = errors_of(write(text))
    assert len(errors) == 1
    assert errors[0][:2] == (line, key)
    assert message in errors[0][2]


LISTENER = '[[listener]]\nname = "{}"\nkind = "mx"\naddress = "127.0.0.1"\nport = {}\n'


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (LISTENER.format("a", 25) + LISTENER.format("a", 26), 7, "names another listener"),
        (LISTENER.format("a", 25) + LISTENER.format("b", 25), 10, '"a" listens on 127.0.0.1 port 25 already'),
        (LISTENER.format("a", 8025), 0, '"a" listens on 127.0.0.1 port 8025 already'),
        (
            "domains.local = ['a.test']\n[[relay_domain]]\ndomain = 'a.test'\nnext_hop = 'smtp://b'\n",
            3,
            "either local or relayed",
        ),
        (
            "[[relay_domain]]\ndomain = 'a.test'\nnext_hop = 'smtp://b'\nrecipients = ['x@b.test']\n",
            4,
            "not an address of a.test",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_errors(write, text, line, message):
    errors = errors_of(write(text))
    assert len(errors) == 1
    assert errors[0][0] == line
    assert message in errors[0][2]


def test_two_listeners_on_any_free_port_are_no_conflict(write):
    assert len(load(write(LISTENER.format("a", 0) + LISTENER.format("b", 0)), {}).listeners) == 2


def test_a_bad_address_in_a_recipients_file_is_reported_with_its_own_line(write, tmp_path):
    write("fine@a.test\nnot an address\n", "list")
    path = write("[[relay_domain]]\ndomain = 'a.test'\nnext_hop = 'smtp://b'\nrecipients_file = 'list'\n")
    with pytest.raises(ConfigErrors) as caught:
        load(path, {})
    assert [(error.source, error.line) for error in caught.value.errors] == [(str(tmp_path / "list"), 2)]


def test_a_pipe_in_the_place_of_a_recipients_file_is_not_waited_for(write, tmp_path):
    os.mkfifo(tmp_path / "list")
    path = write("[[relay_domain]]\ndomain = 'a.test'\nnext_hop = 'smtp://b'\nrecipients_file = 'list'\n")
    assert errors_of(path) == [(4, "relay_domain[1].recipients_file", "is a pipe, not a file")]


def test_a_recipients_file_that_is_not_there_is_an_error_at_its_key(write):
    path = write("[[relay_domain]]\ndomain = 'a.test'\nnext_hop = 'smtp://b'\nrecipients_file = 'list'\n")
    assert errors_of(path) == [(4, "relay_domain[1].recipients_file", "cannot be read: No such file or directory")]


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path):
    assert errors_of(tmp_path / "no.toml") == [(0, "", "cannot be read: No such file or directory")]


def test_a_file_that_is_not_text_is_one_clear_error(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_bytes(b"# fine\n\xff\xfe\n")
    assert errors_of(path) == [(2, "", "is not UTF-8 text")]


def test_a_file_nested_too_deep_is_an_error_and_no_crash(write):
    assert errors_of(write("a = " + "[" * 100_000))[0][1] == ""


def test_windows_line_ends_are_read_and_counted(write):
    assert errors_of(write("hostname = 'a.test'\r\n\r\nport = 1\r\n"))[0][0] == 3


def test_a_listener_has_settings_of_its_own_and_the_others_have_those_of_the_section(write):
    text = LISTENER.format("a", 25) + "[listener.smtp]\nmax_recipients = 5\nbanner_delay = '2s'\n"
    text += LISTENER.format("b", 26) + "smtp = { max_message_size = '1MiB' }\n" + LISTENER.format("c", 27)
    config = load(write(text + "[smtp]\nmax_recipients = 50\n"), {"RELAY_SMTP__MAX_RECIPIENTS": "60"})
    first, second, third = (config.smtp_of(each) for each in config.listeners)
    assert (first.max_recipients, first.banner_delay, first.max_message_size) == (5, 2.0, 25 * 2**20)
    assert (second.max_recipients, second.max_message_size) == (60, 2**20), "what is near counts before what is far"
    assert third == config.smtp
    assert pickle.loads(pickle.dumps(config)) == config


def test_listeners_of_the_environment_have_settings_of_their_own_too(write):
    listener = '[{ name = "x", kind = "mx", address = "::", port = 25, smtp = { max_hops = 9 } }]'
    config = load(write(LISTENER.format("a", 25)), {"RELAY_LISTENER": listener})
    assert config.smtp_of(config.listeners[0]).max_hops == 9


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("[listener.smtp]\n\nmax_recipients = 0", 8, "listener[1].smtp.max_recipients", "from 1 to 100000, not 0"),
        ("[listener.smtp]\nmax_recipient = 1", 7, "listener[1].smtp.max_recipient", "did you mean max_recipients?"),
        ("[listener.smtp]\ntls = 'none'", 7, "listener[1].smtp.tls", "it belongs in [[listener]]"),
        ("smtp = 5", 6, "listener[1].smtp", "must be a table: [listener.smtp]"),
        (
            "[listener.smtp]\nmemory_budget = '1GiB'",
            7,
            "listener[1].smtp.memory_budget",
            "cannot be set here: the worker has one for the sessions of all its listeners; set smtp.memory_budget",
        ),
        (
            "[listener.smtp]\nrecipient_delimiter = '-'",
            7,
            "listener[1].smtp.recipient_delimiter",
            "cannot be set here: an address means the same",
        ),
        (
            "[[listener]]\nname = 'i'\nkind = 'imap'\naddress = '::'\nport = 143\nsmtp = { max_hops = 9 }",
            11,
            "listener[2].smtp",
            "no SMTP is spoken at a listener of kind imap",
        ),
    ],
)
def test_what_a_listener_cannot_have_of_its_own_is_said_with_its_place(write, text, line, key, message):
    ((found_line, found_key, found),) = errors_of(write(LISTENER.format("a", 25) + text))
    assert (found_line, found_key) == (line, key)
    assert message in found


def test_the_environment_overrides_the_file(write):
    environ = {
        "RELAY_HOSTNAME": "other.example",
        "RELAY_SMTP__MAX_MESSAGE_SIZE": "1MiB",
        "RELAY_SMTP__MAX_RECIPIENTS": "100",
        "RELAY_QUEUE__JITTER": "0.5",
        "RELAY_ALLOW_ROOT": "true",
        "RELAY_TRUSTED_NETWORKS": "10.0.0.0/8, ::1",
        "RELAY_DOMAINS__LOCAL": '["a.test"]',
        "RELAY_LISTENER": '[{ name = "env", kind = "mx", address = "127.0.0.1", port = 1025 }]',
        "RELAY_DATA_DIR": "/data",
        "PATH": "/bin",
    }
    config = load(write("hostname = 'mx.example.org'\nallow_root = false\n" + LISTENER.format("file", 25)), environ)
    assert config.hostname == "other.example"
    assert config.smtp.max_message_size == 2**20
    assert config.smtp.max_recipients == 100
    assert config.queue.jitter == 0.5
    assert config.allow_root is True
    assert config.trusted_networks == ("10.0.0.0/8", "::1/128")
    assert config.domains.local == ("a.test",)
    assert config.listeners == (Listener("env", "mx", "127.0.0.1", 1025),)
    assert config.data_dir == Path("/data")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RELAY_SMTP__MAX_LIN", "1", "did you mean RELAY_SMTP__MAX_LINE?"),
        ("RELAY_HOSTNAM", "x", "did you mean RELAY_HOSTNAME?"),
        ("RELAY_SMTP__MAX_LINE", "many", 'must be a whole number, not "many"'),
        ("RELAY_QUEUE__JITTER", "much", "must be a number"),
        ("RELAY_ALLOW_ROOT", "yes", "must be true or false"),
        ("RELAY_SMTP__COMMAND_TIMEOUT", "5", "is not a duration"),
        ("RELAY_LISTENER", "nonsense", "is not a TOML value"),
        ("RELAY_LISTENER", "[]\nx = 1", "more than one TOML value"),
        ("RELAY_LISTENER", "[{ name = 'x' }]", "is missing"),
        ("RELAY_LISTENER", "[1]", "[[listener]]"),
    ],
)
def test_errors_in_the_environment_name_the_variable(name, value, message):
    with pytest.raises(ConfigErrors) as caught:
        load(None, {name: value})
    assert caught.value.errors[0].source == f"environment variable {name}"
    assert message in str(caught.value)


def test_variables_that_kubernetes_sets_for_a_service_named_relay_are_left_alone():
    """A pod gets RELAY_PORT and the like for every service of that name."""
    names = ("RELAY_PORT", "RELAY_SERVICE_HOST", "RELAY_SERVICE_PORT_SMTP", "RELAY_PORT_25_TCP_ADDR", "RELAY_CI")
    assert load(None, dict.fromkeys(names, "tcp://10.0.0.1:25")) == Config()


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ('expiry = "30d"', "mailbox_limit[1].expiry: says of a mailbox when its messages go: name the mailbox"),
        ('mailbox = "Lists"', "mailbox_limit[1].mailbox: has no limit"),
        ('mailbox = "\\\\Spam"\nquota_messages = 1', "mailbox_limit[1].mailbox: no special use (RFC 6154)"),
    ],
)
def test_a_mailbox_limit_that_limits_nothing_is_refused(tmp_path, limit, message):
    path = tmp_path / "relay.toml"
    path.write_text(f"[[mailbox_limit]]\n{limit}\n")
    with pytest.raises(ConfigErrors) as caught:
        load(path, {})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Sent \\\\Send", "no special use"),
        ("\\\\Sent", "a mailbox needs a name"),
        ("a//b", "a mailbox needs a name"),
        ("Gone \\\\Sent", "\\Sent is given twice"),
        ("Mine \\\\Junk", '"Mine" is there twice'),
    ],
)
def test_default_mailboxes_are_checked(tmp_path, line, message):
    path = tmp_path / "relay.toml"
    path.write_text(f'[mailbox]\ndefaults = ["My Sent \\\\Sent", "Mine", "{line}"]\n')
    with pytest.raises(ConfigErrors) as caught:
        load(path, {})
    assert message in str(caught.value)


def test_the_demo_is_overridden_by_the_environment_and_keeps_the_rest(tmp_path):
    config = load(None, {"RELAY_ADMIN__PORT": "9025"}, demo(tmp_path))
    assert config.admin.port == 9025
    assert config.admin.address == "127.0.0.1"
    assert config.domains.local == ("demo.test",)
    assert config.data_dir == tmp_path


def test_the_demo_listens_on_loopback_only(tmp_path):
    config = demo(tmp_path)
    assert {listener.address for listener in config.listeners} | {config.admin.address} == {"127.0.0.1"}
    assert all(listener.port > 1023 for listener in config.listeners)
