"""What is printed when the appliance is ready."""

import shlex

import argon2
import pytest

from relay.auth import AccountFile
from relay.cli.banner import Surroundings, banner
from relay.cli.serve import DEMO_FILE, make_demo_account
from relay.config import Config, demo
from relay.config.model import Listener


def text_of(config, programs=(), *, bound=None, is_demo=True, is_root=False):
    surroundings = Surroundings(
        frozenset(programs), ".venv/bin/python", ".venv/bin/relay", "relay-data/demo-password", is_root
    )
    return banner(config, bound or {}, "the built-in demo", is_demo=is_demo, surroundings=surroundings)


def commands_of(text):
    """The lines that are meant to be typed."""
    return [line.strip() for line in text.splitlines() if line.startswith("     ")]


def test_it_names_every_listener_and_the_admin_port(tmp_path):
    text = text_of(demo(tmp_path))
    for place in (
        "127.0.0.1:2525",
        "127.0.0.1:2587",
        "127.0.0.1:2465",
        "127.0.0.1:2143",
        "127.0.0.1:2995",
        "127.0.0.1:8025",
        str(tmp_path),
    ):
        assert place in text


def test_ports_that_were_chosen_at_start_are_shown_and_used(tmp_path):
    text = text_of(demo(tmp_path), ["swaks", "curl"], bound={"mx": ("127.0.0.1", 40001), "admin": ("127.0.0.1", 40002)})
    assert "--port 40001" in text
    assert "http://127.0.0.1:40002/metrics" in text
    assert "--port 2587 --tls --auth --auth-user demo@demo.test" in text
    assert "2525" not in text.replace("2526", "")


@pytest.mark.parametrize(
    ("programs", "first_words"),
    [
        (["swaks", "curl"], ["swaks", "curl", "swaks", ".venv/bin/relay", "curl"]),
        (["curl"], ["printf", "curl", "printf", ".venv/bin/relay", "curl"]),
        ([], [".venv/bin/python", ".venv/bin/python", ".venv/bin/python", ".venv/bin/relay", ".venv/bin/python"]),
    ],
)
def test_the_commands_use_only_what_is_installed(tmp_path, programs, first_words):
    commands = commands_of(text_of(demo(tmp_path), programs))
    assert [shlex.split(command)[0] for command in commands] == first_words
    for command in commands:
        for program in {"swaks", "curl", "smtp-sink"} - set(programs):
            assert program not in shlex.split(command)


def test_it_says_how_to_receive_only_when_the_program_is_there(tmp_path):
    assert "smtp-sink -c 127.0.0.1:2526 100" in text_of(demo(tmp_path), ["smtp-sink"])
    assert "smtp-sink" not in text_of(demo(tmp_path))
    assert "waits in the queue" in text_of(demo(tmp_path))


def test_the_receiver_runs_for_root_too_which_it_refuses_without_a_user(tmp_path):
    assert "smtp-sink -u nobody -c 127.0.0.1:2526 100" in text_of(demo(tmp_path), ["smtp-sink"], is_root=True)


def test_python_programs_in_it_are_python(tmp_path):
    for command in commands_of(text_of(demo(tmp_path))):
        words = shlex.split(command)
        if "-c" in words:
            compile(words[words.index("-c") + 1], "banner", "exec")


def test_with_a_configuration_it_offers_nothing_to_try():
    text = text_of(Config(listeners=(Listener("in", "mx", "::", 25),)), is_demo=False)
    assert "[::]:25" in text
    assert "Try" not in text


def test_the_demo_account_is_made_once_with_a_password_that_only_its_file_tells(tmp_path):
    config = demo(tmp_path / "data")
    make_demo_account(config)
    password = (tmp_path / "data" / DEMO_FILE).read_text().strip()
    assert (tmp_path / "data" / DEMO_FILE).stat().st_mode & 0o777 == 0o600
    account = AccountFile(config.accounts_path).find("demo@demo.test")
    assert account is not None
    assert argon2.PasswordHasher().verify(account.password_hash, password)
    make_demo_account(config)
    assert (tmp_path / "data" / DEMO_FILE).read_text().strip() == password
    assert password not in text_of(config)
