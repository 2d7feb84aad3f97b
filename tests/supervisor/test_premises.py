"""What a configuration needs of the machine: each finding with its setting, whether it is an error, and a remedy."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pwd
import shutil
import socket
import tempfile
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.cli.data_dir import enter_or_stop
from relay.config import Config, Listener, RelayDomain
from relay.config.model import AdminSettings, CertificateFiles, LogSettings
from relay.config.secret import Secret
from relay.config.sieve import SieveSettings
from relay.mail.next_hop import NextHop
from relay.net.certificates import self_signed
from relay.net.listeners import Endpoint
from relay.supervisor import ports, premises, privileges
from relay.supervisor.premises import Finding

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = privileges.identity("nobody", "")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may enter (tmp_path is root's alone)."""
    made = Path(tempfile.mkdtemp(prefix="relay-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def config(folder) -> Config:
    data = folder / "data"
    privileges.make_data_dir(data, NOBODY if os.geteuid() == 0 else None)
    return Config(hostname="mx.example.org", data_dir=data, user="nobody" if os.geteuid() == 0 else "")


def seen(config: Config, **how) -> dict[tuple[str | int, ...], str]:
    """What the account that would serve finds wrong, by setting."""
    found = premises.as_account(premises.serving_account(config), lambda: premises.needed_by_account(config, **how))
    return {each.path: each.text for each in found if each.is_error}


def test_a_machine_that_has_everything_is_not_complained_of(config):
    assert not seen(config)


@as_root
def test_root_needs_an_account_to_become():
    (found,) = premises.account(Config())
    assert found.is_error
    assert found.path == ("user",)
    assert "useradd" in found.text
    assert not list(premises.account(Config(allow_root=True)))


def test_an_account_or_group_that_does_not_exist_is_an_error():
    (found,) = premises.account(Config(user="no-such-user"))
    assert found[:2] == (True, ("user",))
    assert "useradd" in found.text
    errors = [each for each in premises.account(Config(user="nobody", group="no-such-group")) if each.is_error]
    assert [each.path for each in errors] == [("group",)]


@as_root
@pytest.mark.parametrize("what", ["cert", "key", "accounts", "recipients", "script", "log", "secret"])
def test_a_file_that_the_account_cannot_use_is_named_with_its_setting(config, folder, what):
    file = folder / "file"
    file.write_text("")
    file.chmod(0o600)
    pair = CertificateFiles(folder / "open", file) if what == "key" else CertificateFiles(file, folder / "open")
    (folder / "open").write_text("")
    changed, key = {
        "cert": (dataclasses.replace(config, certificates=(pair,)), ("certificate", 0, "cert")),
        "key": (dataclasses.replace(config, certificates=(pair,)), ("certificate", 0, "key")),
        "accounts": (dataclasses.replace(config, accounts_file=file), ("accounts_file",)),
        "recipients": (
            dataclasses.replace(
                config,
                relay_domains=(RelayDomain("b.test", NextHop("smtp", "b", 25), recipients_file=file),),
            ),
            ("relay_domain", 0, "recipients_file"),
        ),
        "script": (
            dataclasses.replace(config, sieve=SieveSettings(default_script=file)),
            ("sieve", "default_script"),
        ),
        "secret": (
            dataclasses.replace(config, admin=AdminSettings(token=Secret("a" * 16, file))),
            ("admin", "token_file"),
        ),
        "log": (dataclasses.replace(config, log=LogSettings(destination=str(file))), ("log", "destination")),
    }[what]
    text = seen(changed)[key]
    assert str(file) in text
    assert "nobody" in text
    assert "mode 0600" in text


@as_root
def test_a_folder_above_that_is_closed_is_the_one_that_is_named(config, folder):
    (folder / "closed").mkdir(mode=0o700)
    inside = folder / "closed" / "cert.pem"
    inside.write_text("")
    text = seen(dataclasses.replace(config, certificates=(CertificateFiles(inside, inside),)))[
        ("certificate", 0, "cert")
    ]
    assert f"{folder}/closed is closed to it" in text
    assert "chmod o+x" in text


def test_a_log_in_a_data_directory_that_is_made_at_the_start_is_no_fault(config, folder):
    data = folder / "a" / "b"
    changed = dataclasses.replace(config, data_dir=data, log=LogSettings(destination=str(data / "log")))
    assert not seen(changed, root_makes_data_dir=True)


@as_root
def test_a_folder_that_the_log_cannot_be_made_in_has_another_remedy_than_one_that_is_missing(config, folder):
    changed = dataclasses.replace(config, log=LogSettings(destination=str(folder / "relay.log")))
    assert f"install -o nobody -m 640 /dev/null {folder}/relay.log" in seen(changed)[("log", "destination")]


@as_root
def test_commands_say_who_may_ask_when_the_data_directory_is_closed_to_the_asker(folder):
    """A queue that cannot be seen was an empty one, and an account list a stack trace."""
    (folder / "data" / "spool").mkdir(parents=True)
    (folder / "data").chmod(0o700)
    config = Config(data_dir=folder / "data")

    def look() -> list[Finding]:
        told = io.StringIO()
        with contextlib.redirect_stderr(told), pytest.raises(SystemExit) as ended:
            enter_or_stop(config)
        return [premises.error((), f"{ended.value.code}: {told.getvalue()}")]

    (found,) = premises.as_account(NOBODY, look)
    assert found.text == f"1: {folder}/data: permission denied; ask as root\n"
    enter_or_stop(config)


def test_missing_files_and_folders_are_named(config, folder):
    changed = dataclasses.replace(
        config,
        log=LogSettings(destination=str(folder / "logs" / "relay.log")),
        certificates=(CertificateFiles(folder / "cert", folder / "key"),),
        sieve=SieveSettings(default_script=folder / "x.sieve"),
    )
    found = seen(changed)
    assert f"there is no folder {folder}/logs" in found[("log", "destination")]
    assert "install -d" in found[("log", "destination")]
    assert {("certificate", 0, "cert"), ("certificate", 0, "key"), ("sieve", "default_script")} < set(found)


@as_root
def test_a_data_directory_of_another_account_is_an_error(config):
    (config.data_dir / "spool").mkdir()
    assert f"chown -R nobody {config.data_dir}/spool" in seen(config)[("data_dir",)]
    shutil.rmtree(config.data_dir)
    config.data_dir.mkdir(mode=0o700)
    assert f"chown -R nobody {config.data_dir}" in seen(config)[("data_dir",)]


@as_root
def test_a_data_directory_that_root_makes_at_the_start_may_be_missing(config, folder):
    changed = dataclasses.replace(config, data_dir=folder / "a" / "b")
    assert ("data_dir",) in seen(changed)
    assert not seen(changed, root_makes_data_dir=True)


@as_root
def test_the_folders_above_the_data_directory_are_made_for_the_account(folder):
    """They were root's and, with a umask of 027, closed to it."""
    old = os.umask(0o077)
    try:
        privileges.make_data_dir(folder / "a" / "b", NOBODY)
    finally:
        os.umask(old)
    above, data = (folder / "a").stat(), (folder / "a" / "b").stat()
    assert (above.st_uid, above.st_mode & 0o777) == (NOBODY.uid, 0o755)
    assert (data.st_uid, data.st_mode & 0o777) == (NOBODY.uid, 0o700)
    assert folder.stat().st_uid == 0


def test_a_default_script_with_an_error_is_told_with_its_line(config, folder):
    script = folder / "default.sieve"
    script.write_text('keep;\nfileinto "Junk";\n')
    text = seen(dataclasses.replace(config, sieve=SieveSettings(default_script=script)))[("sieve", "default_script")]
    assert "line 2" in text
    assert "relay sieve check" in text


@as_root
def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(config, folder):
    """Nobody writes to it: reading it would never end."""
    pipe = folder / "pipe"
    os.mkfifo(pipe, 0o644)
    files = CertificateFiles(pipe, pipe)
    bad = dataclasses.replace(
        config, sieve=SieveSettings(default_script=pipe), accounts_file=pipe, certificates=(files,)
    )
    found = seen(bad)
    assert {path[0] for path in found} == {"sieve", "accounts_file", "certificate"}
    assert all(f"{pipe} is no regular file" in text for text in found.values())
    assert "holds no certificate" in premises.read_certificates(bad)[1][0].text


def test_a_configuration_file_that_the_account_cannot_read_is_a_warning_because_of_reloads(config, folder):
    file = folder / "relay.toml"
    file.write_text("")
    file.chmod(0o600)
    (found,) = premises.as_account(NOBODY, lambda: premises.needed_by_account(config, [file]))
    assert not found.is_error
    assert "reload" in found.text


def test_a_secret_that_every_account_can_read_is_a_warning(config, folder):
    file = folder / "token"
    file.write_text("a" * 16)
    config = dataclasses.replace(config, admin=AdminSettings(token=Secret("a" * 16, file)))
    for mode, is_warned in ((0o444, True), (0o640, False)):
        file.chmod(mode)
        shutil.chown(file, "nobody" if os.geteuid() == 0 else None, os.getgid())
        found = premises.as_account(premises.serving_account(config), lambda: list(premises.needed_by_account(config)))
        assert [each.path for each in found if "chmod o-r" in each.text] == [("admin", "token_file")] * is_warned
        assert not any(each.is_error for each in found)


@as_root
def test_code_that_the_account_cannot_read_is_named(folder):
    (folder / "closed").mkdir(mode=0o700)
    (folder / "closed" / "some.py").write_text("")
    module = types.ModuleType("some")
    module.__file__ = str(folder / "closed" / "some.py")

    def look() -> list[Finding]:
        return [premises.error((), premises.unreadable_code([module]))]

    (found,) = premises.as_account(NOBODY, look)
    assert f"{folder}/closed" in found.text
    assert "its own code" in found.text
    assert not premises.unreadable_code([module])


def test_a_certificate_for_another_name_is_a_warning(tmp_path):
    files = self_signed(tmp_path, "other.example.org", datetime.now(UTC))
    config = Config(hostname="mx.example.org", certificates=(CertificateFiles(files.cert, files.key),))
    _, (found,) = premises.read_certificates(config)
    assert not found.is_error
    assert found.path == ("hostname",)
    assert "other.example.org" in found.text
    matching = dataclasses.replace(config, hostname="other.example.org")
    assert not premises.read_certificates(matching)[1]


def test_a_broken_certificate_is_told_at_its_table(tmp_path):
    (tmp_path / "x").write_text("nonsense")
    config = Config(certificates=(CertificateFiles(tmp_path / "x", tmp_path / "x"),))
    _, (found,) = premises.read_certificates(config)
    assert found[:2] == (True, ("certificate", 0))


# ---- addresses and ports --------------------------------------------------------------------------------------------


def config_for(address: str, port: int) -> tuple[Config, list[Endpoint]]:
    config = Config(listeners=(Listener("mx", "mx", address, port),))
    return config, [Endpoint("mx", address, port)]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_in_use_is_told_with_who_has_it(taken):
    (found,) = ports.of_listeners(*config_for("127.0.0.1", taken))
    assert found[:2] == (True, ("listener", 0, "port"))
    assert f"(pid {os.getpid()})" in found.text


def test_ports_that_the_running_appliance_holds_are_as_they_should_be(taken, monkeypatch):
    monkeypatch.setattr(ports, "holders_of", lambda _port: [ports.Holder(7, "smtp-0@relay")])
    assert not list(ports.of_listeners(*config_for("127.0.0.1", taken), is_running=True))
    monkeypatch.setattr(ports, "holders_of", lambda _port: [ports.Holder(7, "master")])
    (found,) = ports.of_listeners(*config_for("127.0.0.1", taken), is_running=True)
    assert "master (pid 7)" in found.text


def test_an_address_of_another_machine_is_an_error():
    (found,) = ports.of_listeners(*config_for("192.0.2.77", 2525))
    assert found[:2] == (True, ("listener", 0, "address"))
    assert "does not have that address" in found.text


def test_free_ports_are_no_finding():
    assert not list(ports.of_listeners(*config_for("127.0.0.1", 0)))


@pytest.mark.parametrize(("answers", "is_error"), [(["127.0.0.1"], True), ([], False), (["192.0.2.1"], None)])
def test_a_name_that_leads_back_to_this_machine_is_an_error(monkeypatch, answers, is_error):
    monkeypatch.setattr(ports, "_look_up", lambda names: dict.fromkeys(names, answers))
    config = dataclasses.replace(config_for("0.0.0.0", 2525)[0], smarthost=NextHop("smtp", "alias.example.org", 2525))
    found = [(each.is_error, each.path) for each in ports.of_next_hops(config)]
    assert found == ([] if is_error is None else [(is_error, ("smarthost",))])


def test_accounts_have_names():
    assert privileges.name_of(0) == pwd.getpwuid(0).pw_name
    assert privileges.name_of(987_654) == "uid 987654"
