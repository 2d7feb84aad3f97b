"""``relay account app-password`` as a person uses it."""

import pytest
from click.testing import CliRunner

from relay.auth import AccountFile
from relay.auth.entries import app_password_text
from relay.cli import main


@pytest.fixture
def run(tmp_path):
    (tmp_path / "relay.toml").write_text(f'data_dir = "{tmp_path}/data"\nallow_root = true\n')

    def run_relay(*words, text=None):
        return CliRunner().invoke(main, ["account", *words, "-c", str(tmp_path / "relay.toml")], input=text)

    assert run_relay("add", "a@demo.test", "--password-stdin", "--allow-weak", text="x\n").exit_code == 0
    return run_relay


def test_an_app_password_is_shown_once_listed_without_it_and_removed(run, tmp_path):
    added = run("app-password", "add", "a@demo.test", "phone", "--for", "imap,smtp")
    assert added.exit_code == 0, added.output
    password = added.stdout.removeprefix("password: ").split()[0]
    assert app_password_text(password)
    listed = run("app-password", "list", "a@demo.test")
    assert listed.output.startswith("phone\tsmtp,imap\t")
    assert app_password_text(password) not in listed.output
    assert run("app-password", "remove", "a@demo.test", "phone").exit_code == 0
    account = AccountFile(tmp_path / "data" / "accounts").find("a@demo.test")
    assert account is not None
    assert account.app_passwords == ()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("add", "b@demo.test", "phone"), "no account b@demo.test"),
        (("add", "a@demo.test", "phone", "--for", "ftp"), "no such protocol: ftp"),
        (("remove", "a@demo.test", "phone"), "no app password phone"),
        (("list", "b@demo.test"), "no account b@demo.test"),
    ],
)
def test_what_cannot_be_done_says_why(run, words, why):
    result = run("app-password", *words)
    assert result.exit_code == 1
    assert why in result.output
