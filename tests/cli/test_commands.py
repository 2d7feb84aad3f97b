"""The relay command: what it prints, and what its exit codes mean."""

import json
import os
import re
import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.config import ConfigErrors


@pytest.fixture
def relay(tmp_path, monkeypatch):
    """Runs a command line with the current folder in tmp_path and no variables of ours."""
    for name in [name for name in os.environ if name.startswith("RELAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("relay.cli.configuration.SYSTEM_FILE", tmp_path / "etc-relay.toml")

    def run(*words, text=None):
        return CliRunner().invoke(main, list(words), input=text, prog_name="relay")

    return run


SOUND = """\
hostname = "mx.example.org"
data_dir = "data"
allow_root = true
domains.local = ["a.test"]

[[listener]]
name = "mx"
kind = "mx"
address = "127.0.0.1"
port = 0

[admin]
port = 0
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(SOUND)
    return path


def all_commands(command=main, words=()):
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from all_commands(command.get_command(context, name), (*words, name))


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_every_command_has_help_that_reads_well(relay, words):
    result = relay(*words, "--help")
    assert result.exit_code == 0
    text = result.output.split("Options:")[0]
    assert re.search(r"\n  [A-Z][^\n]{10,}", text), "a sentence that says what it does"
    assert len(max(result.output.splitlines(), key=len)) <= 80


def test_the_help_explains_the_exit_codes(relay):
    assert "3  the configuration has errors" in relay("--help").output


def test_a_misspelled_command_is_answered_with_the_right_one(relay):
    result = relay("quue", "list")
    assert result.exit_code == 2
    assert "Did you mean 'queue'?" in result.output


def test_check_reports_all_errors_and_exits_3(relay, tmp_path):
    (tmp_path / "bad.toml").write_text("hostnam = 1\n[smtp]\nmax_line = 1\n")
    result = relay("check", "--config", "bad.toml")
    assert result.exit_code == 3
    assert f"{tmp_path}/bad.toml:1: hostnam: " in result.output
    assert f"{tmp_path}/bad.toml:3: smtp.max_line: " in result.output
    assert "2 errors in the configuration" in result.output


def test_check_of_a_good_file_says_what_it_means_and_changes_nothing(relay, config_file, tmp_path):
    result = relay("check", "--config", str(config_file))
    assert result.exit_code == 0
    assert "mx.example.org" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["relay.toml"]


def test_check_knows_whether_anybody_reads_mail_for_postmaster(relay, config_file):
    """Mail that is kept where nobody can open it is lost."""
    result = relay("check", "--config", str(config_file))
    assert (result.exit_code, "postmaster: there is no account, so mail for postmaster" in result.output) == (0, True)
    relay("account", "add", "a@a.test", "--generate", "--config", str(config_file))
    result = relay("check", "--config", str(config_file))
    assert (result.exit_code, "postmaster" in result.output) == (0, False)
    text = config_file.read_text()
    config_file.write_text(f'postmaster = "boss@a.test"\n{text}')
    for command in ("check", "serve"):
        result = relay(command, "--config", str(config_file))
        assert (result.exit_code, 'postmaster: "boss@a.test" names no account' in result.output) == (3, True)
    config_file.write_text(f'postmaster = "boss@elsewhere.test"\n{text}')
    assert relay("check", "--config", str(config_file)).exit_code == 0


def test_check_reports_a_broken_account_file(relay, config_file, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "accounts").write_text("nonsense\n")
    result = relay("check", "--config", str(config_file))
    assert result.exit_code == 3
    assert f"{config_file}: accounts_file: " in result.output
    assert "accounts:1: not an account" in result.output


def test_check_reports_what_the_machine_lacks_beside_what_is_seldom_meant(relay, config_file, tmp_path):
    """It said "no errors", and the appliance did not start, or its sessions failed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = SOUND.replace("port = 0", f"port = {port}", 1).replace("allow_root = true", 'user = "no-such-user"')
        config_file.write_text(
            text + f"[log]\ndestination = '{tmp_path}/no/log'\n[sieve]\ndefault_script = 'x.sieve'\n"
        )
        result = relay("check", "--config", str(config_file))
    assert result.exit_code == 3
    for expected in (
        f"error: {config_file}:3: user: user 'no-such-user': no such account",
        f"error: {config_file}:10: listener[1].port: mx on 127.0.0.1:{port}: ",
        f"error: {config_file}:15: log.destination: there is no folder {tmp_path}/no",
        f"error: {config_file}:17: sieve.default_script: there is no file {tmp_path}/x.sieve",
        f"warning: {config_file}:4: domains.local: there is no account yet",
        "4 errors, 2 warnings",
    ):
        assert expected in result.output


def test_check_as_json_has_errors_warnings_and_the_summary(relay, config_file):
    found = json.loads(relay("check", "--json", "--config", str(config_file)).output)
    assert found["errors"] == []
    assert {each["key"]: each["line"] for each in found["warnings"]} == {"postmaster": 0, "domains.local": 4}
    assert found["summary"]["hostname"] == "mx.example.org"
    config_file.write_text("hostnam = 1\n")
    result = relay("check", "--json", "--config", str(config_file))
    assert result.exit_code == 3
    assert json.loads(result.output)["errors"][0]["key"] == "hostnam"


def test_the_configuration_is_the_option_then_the_variable_then_the_system_file_then_the_demo(
    relay, config_file, tmp_path, monkeypatch
):
    assert "the built-in demo: " in relay("check").output
    (tmp_path / "etc-relay.toml").write_text(SOUND)
    assert "etc-relay.toml: no errors" in relay("check").output
    (tmp_path / "other.toml").write_text(SOUND)
    monkeypatch.setenv("RELAY_CONFIG", "other.toml")
    assert "other.toml: no errors" in relay("check").output
    assert "relay.toml: no errors" in relay("check", "-c", str(config_file)).output
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path))
    assert f"{config_file}: no errors" in relay("check").output, "a folder stands for relay.toml in it"


def test_the_system_folder_alone_is_a_configuration(relay, tmp_path):
    """Otherwise the demo would be served, for want of a file that nobody needs."""
    (tmp_path / "etc-relay.d").mkdir()
    (tmp_path / "etc-relay.d" / "10.toml").write_text(SOUND)
    assert "etc-relay.toml: no errors" in relay("check").output


def test_check_looks_at_every_file_and_names_them(relay, config_file, tmp_path):
    (tmp_path / "relay.d").mkdir()
    more = tmp_path / "relay.d" / "10-admin.toml"
    more.write_text('admin.token_file = "token"\n')
    assert (
        f"{more}:1: admin.token_file: {tmp_path}/token cannot be read: No such file"
        in relay("check", "--config", "relay.toml").output
    )
    (tmp_path / "token").write_text("0123456789abcdef")
    (tmp_path / "token").chmod(0o644)
    output = relay("check", "--config", "relay.toml").output
    assert f"  files      {config_file}, {more}\n" in output
    assert f"warning: {more}:1: admin.token_file: {tmp_path}/token can be read by every account" in output


def test_check_warns_of_a_secret_in_a_file_that_everybody_can_read(relay, config_file):
    config_file.write_text(SOUND + 'token = "0123456789abcdef"\n')
    for mode, is_warned in ((0o644, True), (0o640, False)):
        config_file.chmod(mode)
        output = relay("check", "--config", "relay.toml").output
        assert (f"{config_file}:14: admin.token: every account of this machine can read" in output) is is_warned
        assert "0123456789abcdef" not in output


def test_config_show_tells_what_is_set_and_where(relay, config_file, tmp_path, monkeypatch):
    (tmp_path / "relay.d").mkdir()
    (tmp_path / "relay.d" / "10.toml").write_text('\n[admin]\ntoken = "0123456789abcdef"\n')
    config_file.write_text(SOUND.replace("[admin]", '[listener.smtp]\nmax_message_size = "1MiB"\n[admin]'))
    monkeypatch.setenv("RELAY_SMTP__MAX_LINE", "1000")
    lines = relay("config", "show", "--config", "relay.toml").output.splitlines()
    assert lines[0] == f'hostname = "mx.example.org"  # {config_file}:1'
    assert f"listener[1].port = 0  # {config_file}:10" in lines
    assert f'listener[1].smtp.max_message_size = "1MiB"  # {config_file}:13' in lines
    assert f"admin.token = (secret)  # {tmp_path}/relay.d/10.toml:3" in lines
    assert "smtp.max_line = 1000  # environment variable RELAY_SMTP__MAX_LINE" in lines
    assert not [line for line in lines if "default" in line]
    output = relay("config", "show", "smtp.max_line", "queue", "accounts_file", "-c", "relay.toml").output
    assert output.startswith("accounts_file = (not given)  # default\nsmtp.max_line = 1000  #")
    assert "queue.jitter = 0.2  # default\n" in output
    assert "hostname" not in output
    table = [json.loads(line) for line in relay("config", "show", "--all", "--json").output.splitlines()]
    found = {each["key"]: each for each in table}
    assert found["smtp.max_line"] == {
        "key": "smtp.max_line",
        "value": 1000,
        "source": "environment variable RELAY_SMTP__MAX_LINE",
        "line": 0,
    }
    assert (found["accounts_file"]["value"], found["allow_root"]["value"]) == (None, True)
    nothing = relay("config", "show", "smtp.max_lin", "-c", "relay.toml")
    assert (nothing.exit_code, nothing.output) == (1, "")


def test_accounts_are_added_changed_listed_and_removed(relay, config_file):
    def account(*words, text=None):
        return relay("account", *words, "--config", str(config_file), text=text)

    assert account("add", "a@A.test", "--password-stdin", text="correct horse\n").output == "a@a.test added\n"
    assert account("add", "b@a.test", text="tr0ubadour\ntr0ubadour\n").exit_code == 0
    generated = account("passwd", "a@a.test", "--generate")
    assert re.search(r"password: \S{20}\n", generated.output)
    assert account("list").output == "a@a.test\nb@a.test\n"
    assert account("remove", "a@a.test").exit_code == 0
    assert account("list").output == "b@a.test\n"
    assert account("remove", "a@a.test").exit_code == 1
    assert account("add", "b@a.test", "--password-stdin", text="x" * 1025 + "\n").exit_code == 1
    assert account("add", "c@a.test", "--password-stdin", text="\n").exit_code == 1
    assert account("add", "c@a.test", "--password-stdin", "--generate").exit_code == 2


@pytest.mark.parametrize("action", ["add", "passwd"])
def test_a_weak_password_is_taken_only_when_that_is_meant(relay, config_file, action):
    """NIST SP 800-63B 5.1.1.2."""
    if action == "passwd":
        relay("account", "add", "a@a.test", "--generate", "--config", str(config_file))
    words = ("account", action, "a@a.test", "--password-stdin", "--config", str(config_file))
    for password in ("x", "Password1", "12345678"):
        refused = relay(*words, text=f"{password}\n")
        assert refused.exit_code == 1
        assert "--generate" in refused.output
        assert password not in refused.output or password == "x"
    assert relay(*words, "--allow-weak", text="x\n").exit_code == 0


def test_an_account_at_a_domain_that_is_not_local_is_added_with_a_note(relay, config_file):
    result = relay("account", "add", "a@b.test", "--generate", "--config", str(config_file))
    assert result.exit_code == 0
    assert "b.test is not in domains.local" in result.output


def test_the_password_is_never_shown_when_it_was_given(relay, config_file):
    result = relay("account", "add", "a@a.test", "--config", str(config_file), text="open sesame\nopen sesame\n")
    assert "sesame" not in result.output


def test_config_prints_the_documents(relay):
    docs = Path(__file__).parents[2] / "docs"
    assert relay("config", "example").output == (docs / "relay.toml").read_text()
    assert relay("config", "reference").output == (docs / "CONFIG.md").read_text()


def test_version_names_relay_first(relay):
    assert re.match(r"relay \d+\.\d+\.\d+\n", relay("version").output)


def test_serve_with_a_bad_configuration_exits_3(relay, tmp_path):
    (tmp_path / "bad.toml").write_text("hostnam = 1\n")
    assert relay("serve", "--config", "bad.toml").exit_code == 3


def test_errors_of_the_configuration_are_an_exception_with_all_of_them(tmp_path):
    with pytest.raises(ConfigErrors, match=r"(?s)no\.toml: cannot be read"):
        raise_for(tmp_path / "no.toml")


def raise_for(path):
    from relay.cli.configuration import source_of

    source_of(path).load()


def test_spool_commands_without_a_spool_say_so(relay, config_file):
    for command in ("verify", "dump"):
        result = relay("spool", command, "--config", str(config_file))
        assert result.exit_code == 1
        assert "there is no spool at" in result.output


def test_spool_dump_prints_json_and_verify_exits_1_for_damage(relay, config_file, tmp_path, monkeypatch):
    from relay.mail.envelope import Client, Envelope
    from relay.spool import Finding, Record

    envelope = Envelope("06A00000000AA", 1, b"\xff@a.test", (b"b@a.test",), 0, 10, "s", Client(address="192.0.2.1"))
    record = Record(1, 2, 3, 4, envelope, 5, 10, None)
    (tmp_path / "data" / "spool").mkdir(parents=True)
    monkeypatch.setattr("relay.spool.dump", lambda _folder, _log=None: iter([record]))
    dumped = json.loads(relay("spool", "dump", "--config", str(config_file)).output)
    assert dumped["queue_id"] == "06A00000000AA"
    assert dumped["reverse_path"] == "\\xff@a.test"
    assert dumped["client"] == {"address": "192.0.2.1"}
    findings = [Finding("ok", "log-1", "fine"), Finding("damage", "log-2", "bad crc")]
    monkeypatch.setattr("relay.spool.verify", lambda _folder: iter(findings))
    result = relay("spool", "verify", "--config", str(config_file))
    assert result.exit_code == 1
    assert "damage log-2: bad crc" in result.output
    assert "ok" not in relay("spool", "verify", "--quiet", "--config", str(config_file)).output
    findings.pop()
    assert relay("spool", "verify", "--config", str(config_file)).exit_code == 0


def test_the_version_is_an_option_too(relay):
    import relay as package

    for words in (("--version",), ("-V",)):
        assert relay(*words).output == f"relay {package.__version__}\n"


def test_accounts_and_app_passwords_have_json(relay, config_file):
    def run(*words):
        result = relay("account", *words, "--json", "--config", str(config_file))
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]

    assert run("add", "a@a.test", "--generate")[0].keys() == {"address", "done", "password"}
    assert run("app-password", "add", "a@a.test", "phone")[0].keys() == {"name", "password"}
    (listed,) = run("app-password", "list", "a@a.test")
    assert (listed["name"], "imap" in listed["protocols"]) == ("phone", True)
    (account,) = run("list")
    assert account["address"] == "a@a.test"
    assert account["app_passwords"] == [listed]
    assert "SCRAM-SHA-256" in account["mechanisms"]
    assert run("show", "a@a.test") == [account]
    assert "argon2" not in json.dumps(account), "no hashes, no keys"
    assert run("app-password", "remove", "a@a.test", "phone")[0]["done"] == "removed"
    assert run("remove", "a@a.test")[0] == {"address": "a@a.test", "done": "removed"}


def test_account_show_is_for_people_too(relay, config_file):
    relay("account", "add", "a@a.test", "--generate", "--config", str(config_file))
    relay("account", "app-password", "add", "a@a.test", "phone", "--for", "imap", "--config", str(config_file))
    output = relay("account", "show", "A@a.test", "--config", str(config_file)).output
    for part in ("a@a.test", "data/mail/a.test/a", "SCRAM-SHA-256", "phone for imap"):
        assert part in output
    missing = relay("account", "show", "b@a.test", "--config", str(config_file))
    assert (missing.exit_code, missing.output) == (1, "there is no account b@a.test\n")


def test_nobody_is_asked_for_a_password_that_cannot_be_used(relay, config_file):
    result = relay("account", "add", "alice", "--config", str(config_file))
    assert result.exit_code == 2
    assert "write local-part@domain" in result.output
    assert "Password" not in result.output
    result = relay("account", "passwd", "a@a.test", "--config", str(config_file))
    assert (result.exit_code, result.output) == (1, "there is no account a@a.test\n")


def test_a_log_of_the_spool_that_is_not_there_is_told(relay, config_file, tmp_path):
    (tmp_path / "data" / "spool").mkdir(parents=True)
    result = relay("spool", "dump", "--log", "99", "--config", str(config_file))
    assert result.exit_code == 1
    assert "there is no log 99" in result.output


def test_every_command_that_prints_what_it_found_has_json():
    """The others print a file (config, mailbox export, sieve get), do something, or serve."""
    context = click.Context(main)
    without = {
        ("serve",), ("bench",), ("version",), ("config", "example"), ("config", "reference"), ("spool", "dump"),
        ("mailbox", "rebuild"), ("mailbox", "restore"), ("mailbox", "purge"), ("mailbox", "export"),
        ("mailbox", "import"), ("sieve", "get"), ("sieve", "put"), ("sieve", "activate"), ("sieve", "delete"),
    }  # fmt: skip
    for words in all_commands():
        command: click.Command = main
        for word in words:
            assert isinstance(command, click.Group)
            found = command.get_command(context, word)
            assert found is not None
            command = found
        if not isinstance(command, click.Group):
            names = {name for parameter in command.params for name in parameter.opts}
            assert ("--json" in names) is (words not in without), words
