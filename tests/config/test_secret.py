"""Secrets: from files, from the environment, and never shown. Tried with a model of its own, then with ours."""

from __future__ import annotations

import dataclasses
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.config import Config, ConfigErrors, load
from relay.config.declare import Section, Setting, declarations, secrets, section, sections, setting
from relay.config.kinds import Whole
from relay.config.load import _Reader
from relay.config.secret import LARGEST, Secret, SecretText
from relay.config.sources import read

VALUE = "correct-horse"


@dataclass(frozen=True, slots=True)
class Login:
    password: Secret | None = setting(SecretText(shortest=8), "Its password.", default=None, example="password")
    tries: int = setting(Whole(1, 9), "How often.", default=1)


@dataclass(frozen=True, slots=True)
class Route:
    password: Secret = setting(SecretText(shortest=8), "Its password.", example="password")


@dataclass(frozen=True, slots=True)
class Model:
    key: Secret | None = setting(SecretText(), "A key.", default=None, example="key")
    login: Login = section(Login, "A login.")
    routes: tuple[Route, ...] = sections(Route, "Routes.", key="route")


@pytest.fixture
def read_model(tmp_path):
    def read_text(text: str, environ: dict[str, str] | None = None) -> tuple[Any, list[str]]:
        """The model, and the errors without the folder's name."""
        (tmp_path / "relay.toml").write_text(text)
        reader = _Reader(read(tmp_path / "relay.toml"), Model())
        reader.read_environment(environ or {})
        model = reader.table(Model, reader.tree.values, (), reader.defaults)
        return model, [str(error).replace(f"{tmp_path}/", "") for error in reader.errors]

    return read_text


@pytest.fixture
def secret_file(tmp_path: Path):
    def write(content: bytes = VALUE.encode(), mode: int = 0o600, name: str = "secret") -> Path:
        file = tmp_path / name
        file.write_bytes(content)
        file.chmod(mode)
        return file

    return write


def test_a_secret_may_stand_in_the_file_itself(read_model):
    model, errors = read_model(f"key = '{VALUE}'\n[login]\npassword = 'battery staple'\n")
    assert not errors
    assert (model.key.reveal(), model.login.password.reveal()) == (VALUE, "battery staple")
    assert read_model("")[0].key is None


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_secret_in_a_file_of_its_own_loses_one_line_end(read_model, secret_file, end):
    file = secret_file(VALUE.encode() + end)
    model, errors = read_model(f"[login]\npassword_file = '{file.name}'\n[[route]]\npassword_file = '{file}'\n")
    assert not errors
    assert model.login.password == Secret(VALUE, file)
    assert model.routes[0].password.reveal() == VALUE


def test_a_mounted_secret_is_read_through_its_links(read_model, secret_file, tmp_path):
    """Kubernetes: ``password -> ..data/password``, mode 0644."""
    (tmp_path / "..2026").mkdir()
    secret_file(mode=0o644, name="..2026/password")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "password").symlink_to("..data/password")
    model, errors = read_model("login.password_file = 'password'\n")
    assert not errors
    assert model.login.password.reveal() == VALUE


def test_variables_give_a_secret_or_its_file_and_count_before_the_files(read_model, secret_file):
    file = secret_file()
    text = "key = 'from the file'\n[login]\npassword_file = 'nowhere'\n"
    model, errors = read_model(text, {"RELAY_KEY_FILE": str(file), "RELAY_LOGIN__PASSWORD": "battery staple"})
    assert not errors
    assert (model.key.reveal(), model.login.password.reveal()) == (VALUE, "battery staple")


@pytest.mark.parametrize(
    ("text", "environ", "error"),
    [
        (
            "[login]\npassword = 'battery staple'\npassword_file = 'secret'\n",
            {},
            "relay.toml:3: login.password_file: is set beside password (relay.toml:2): take one of them out",
        ),
        (
            "",
            {"RELAY_KEY": "a", "RELAY_KEY_FILE": "b"},
            "environment variable RELAY_KEY_FILE: key_file: is set beside key (environment variable RELAY_KEY): take",
        ),
        ("\nlogin.password_fil = 'x'\n", {}, "relay.toml:2: login.password_fil: there is no such setting; did you"),
        ("", {"RELAY_LOGIN__PASSWORD_FIL": "x"}, "RELAY_LOGIN__PASSWORD_FIL: there is no such setting; did you mean"),
        ("[login]\npassword = 12345678\n", {}, "relay.toml:2: login.password: must be text in quotes"),
        ("[login]\npassword_file = ''\n", {}, "relay.toml:2: login.password_file: must be a path"),
        ("[[route]]\n", {}, "relay.toml:1: route[1].password: is missing"),
        ("[[route]]\npassword_file = 'no'\n", {}, "relay.toml:2: route[1].password_file: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(read_model, secret_file, text, environ, error):
    secret_file()
    (found,) = read_model(text, environ)[1]
    assert error in found


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (VALUE.encode() + b"\n\n", 0o600, "holds control characters or a line break inside"),
        (b"horse", 0o600, "is shorter than 8 characters"),
        (b"horse" * 1000, 0o600, "is longer than 4096 characters"),
        (b"x" * (LARGEST + 1), 0o600, "is larger than 65536 octets"),
        (b"horse\xff\xff\xff", 0o600, "is not UTF-8 text"),
        (VALUE.encode(), 0o602, "can be changed by everybody (mode 0602): chmod o-w it"),
    ],
)
def test_a_secret_file_that_will_not_do_is_named_and_nothing_of_it_is_shown(
    read_model, secret_file, content, mode, message
):
    """I8."""
    secret_file(content, mode)
    (found,) = read_model("\nlogin.password_file = 'secret'\n")[1]
    assert found == f"relay.toml:2: login.password_file: secret {message}"
    assert "horse" not in found


def test_what_is_no_file_is_not_waited_for(read_model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is no regular file" in read_model("key_file = 'pipe'\n")[1][0]
    (tmp_path / "folder").mkdir()
    assert "folder cannot be read: Is a directory" in read_model("key_file = 'folder'\n")[1][0]
    assert "none cannot be read: No such file or directory" in read_model("key_file = 'none'\n")[1][0]


def test_a_secret_is_never_shown_by_accident(secret_file):
    """I8."""
    file = secret_file()
    for secret, shown in ((Secret(VALUE), "(secret)"), (Secret(VALUE, file), f"(secret, from {file})")):
        model = Model(key=secret)
        for text in (str(secret), repr(secret), f"{secret}", f"{model}", str(dataclasses.asdict(model))):
            assert VALUE not in text
            assert shown in text
        assert SecretText().show(secret) == shown
        assert pickle.loads(pickle.dumps(secret)) == secret


def test_secrets_are_compared_by_what_they_are():
    assert Secret(VALUE) == Secret(VALUE)
    assert len({Secret(VALUE), Secret(VALUE), Secret("other"), Secret(VALUE, Path("x"))}) == 3
    assert Secret(VALUE).matches(VALUE.encode())
    assert not Secret(VALUE).matches(VALUE.upper().encode())
    assert Secret(VALUE) != VALUE


def test_all_secrets_of_a_model_are_found_with_the_keys_that_give_them():
    file = Path("/x")
    model = Model(login=Login(Secret(VALUE, file)), routes=(Route(Secret("other")),))
    assert dict(secrets(model)) == {
        ("login", "password_file"): Secret(VALUE, file),
        ("route", 0, "password"): Secret("other"),
    }


def test_no_setting_has_the_name_of_a_secrets_twin():
    tables = [declared.of for _, declared in declarations(Config) if isinstance(declared, Section)]
    for of in (Config, *tables):
        keys = [declared.key for _, declared in declarations(of)]
        keys += [declared.file_key for _, declared in declarations(of) if isinstance(declared, Setting)]
        named = [key for key in keys if key]
        assert len(named) == len(set(named))


@pytest.mark.parametrize("token", ["tooshort7", "with a space in it", "müller-müller-müller"])
def test_a_token_that_cannot_be_sent_or_is_guessed_is_refused(tmp_path, token):
    (tmp_path / "relay.toml").write_text(f"[admin]\ntoken = '{token}'\n")
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "relay.toml", {})
    assert token not in str(caught.value)
