"""``relay sieve``: checking, trying out, managing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.auth import AccountFile
from relay.cli import main

CONFIG = 'hostname = "mx.test"\ndata_dir = "{data}"\n\n[domains]\nlocal = ["local.test"]\n'
SCRIPT = 'require "fileinto";\nif header "subject" "hello" { fileinto "A"; } else { discard; }\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    AccountFile(tmp_path / "data" / "accounts").add("ann@local.test", "correct horse battery")
    path = tmp_path / "relay.toml"
    path.write_text(CONFIG.format(data=tmp_path / "data"))
    return path


def relay(*words: str, said: str | None = None) -> Result:
    return CliRunner().invoke(main, ["sieve", *words], input=said)


def test_check_tells_all_errors_with_their_places(tmp_path):
    (tmp_path / "s").write_text("foo;\nkeep 1;\n")
    done = relay("check", str(tmp_path / "s"))
    assert done.exit_code == 1
    assert f'{tmp_path}/s: line 1, column 1: "foo" is no command\n{tmp_path}/s: line 2, column 6: ' in done.output
    assert relay("check", "-", said=SCRIPT).output == "-: correct\n"
    assert relay("check", str(tmp_path / "none")).exit_code == 1


def test_test_says_what_would_be_done_and_why(tmp_path):
    (tmp_path / "s").write_text(SCRIPT)
    (tmp_path / "m").write_text("From: a@b.c\nSubject: hello\n\nx\n")
    done = relay("test", str(tmp_path / "s"), str(tmp_path / "m"))
    assert done.output == 'line 2: header is true\nline 2: fileinto "A"\n\nThe script\n  stores it in A\n'
    (tmp_path / "m").write_text("Subject: bye\n\n")
    assert relay("test", str(tmp_path / "s"), str(tmp_path / "m")).output.endswith("  discards it\n")


def test_test_says_when_a_script_fails_and_finds_included_scripts_beside_it(tmp_path):
    (tmp_path / "m").write_text("Subject: hello\n\n")
    (tmp_path / "s").write_text('require "include"; include "other";')
    done = relay("test", str(tmp_path / "s"), str(tmp_path / "m"))
    assert done.exit_code == 1
    assert "there is no personal script" in done.output
    (tmp_path / "other.sieve").write_text("discard;")
    assert "discards it" in relay("test", str(tmp_path / "s"), str(tmp_path / "m")).output


def test_scripts_of_an_account_are_put_listed_activated_got_and_deleted(config, tmp_path):
    (tmp_path / "s").write_text(SCRIPT)
    at = ("--config", str(config))
    assert relay("put", "ann@local.test", "mine", str(tmp_path / "s"), *at).exit_code == 0
    assert relay("activate", "ann@local.test", "mine", *at).output == "ann@local.test: mine is active\n"
    assert relay("list", "ann@local.test", *at).output == "mine\tactive\n"
    assert relay("get", "Ann@Local.test", "mine", *at).output == SCRIPT, "accounts are found in any case"
    assert relay("delete", "ann@local.test", "mine", *at).exit_code == 1
    assert relay("activate", "ann@local.test", *at).output == "ann@local.test: no script is active\n"
    assert relay("delete", "ann@local.test", "mine", *at).exit_code == 0
    assert relay("list", "ann@local.test", *at).output == ""


def test_a_broken_script_and_an_unknown_account_are_refused(config, tmp_path):
    at = ("--config", str(config))
    assert relay("put", "ann@local.test", "mine", "-", *at, said="foo;").exit_code == 1
    assert relay("list", "ann@local.test", *at).output == ""
    done = relay("list", "bob@local.test", *at)
    assert done.exit_code == 1
    assert "there is no account bob@local.test" in done.output


def test_check_and_test_have_json(tmp_path):
    script = tmp_path / "x.sieve"
    script.write_text('keep;\nfileinto "Junk";\n')
    result = CliRunner().invoke(main, ["sieve", "check", str(script), "--json"])
    assert result.exit_code == 1
    (problem,) = json.loads(result.output)["problems"]
    assert (problem["line"], "fileinto" in problem["text"]) == (2, True)
    script.write_text('require "fileinto";\nif header :is "Subject" "a" { fileinto "Junk"; }\n')
    assert json.loads(CliRunner().invoke(main, ["sieve", "check", str(script), "--json"]).output)["problems"] == []
    (tmp_path / "message").write_text("Subject: a\n\nbody\n")
    told = json.loads(
        CliRunner().invoke(main, ["sieve", "test", str(script), str(tmp_path / "message"), "--json"]).output
    )
    assert told["does"] == ["stores it in Junk"]
    assert told["steps"][0]["line"] == 2
