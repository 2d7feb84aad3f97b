"""The declarations themselves, and the documents made from them."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from relay.config import Config, load
from relay.config.declare import Overrides, Section, Setting, declarations
from relay.config.kinds import Server
from relay.config.reference import example, reference

DOCS = Path(__file__).parents[2] / "docs"


def all_settings():
    for _, declared in declarations(Config):
        if isinstance(declared, Section):
            for name, inner in declarations(declared.of):
                if isinstance(inner, Overrides):
                    continue
                yield pytest.param(inner, id=f"{declared.key}.{name}")
        else:
            yield pytest.param(declared, id=declared.key)


@pytest.mark.parametrize(("name", "text"), [("CONFIG.md", reference()), ("relay.toml", example())])
def test_the_document_is_what_the_model_says(name, text):
    assert (DOCS / name).read_text() == text, "stale: run make docs"


def test_the_sample_with_every_comment_mark_taken_away_is_a_configuration(tmp_path):
    text = re.sub(r"^#(?=\[|[a-z_]+ = )", "", example(), flags=re.MULTILINE)
    (tmp_path / "recipients.txt").write_text("")
    (tmp_path / "admin-token").write_text("0123456789abcdef\n")
    path = tmp_path / "relay.toml"
    path.write_text(text)
    config = load(path, {})
    assert config.smtp == Config().smtp
    assert config.queue == Config().queue
    assert config.delivery == Config().delivery
    assert len(config.listeners) == len(config.relay_domains) == 1


def test_the_sample_as_it_is_gives_the_defaults(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(example())
    assert load(path, {}) == Config()


@pytest.mark.parametrize("declared", list(all_settings()))
def test_every_setting_says_what_it_is_and_its_default_is_in_its_range(declared):
    assert isinstance(declared, Setting)
    assert len(declared.doc) > 8
    assert declared.doc.endswith((".", ")"))
    assert declared.kind.describe()
    assert declared.example is not None or not (declared.is_required or declared.default_doc)


def test_every_field_is_a_declared_setting():
    """What is not declared could not be set, and would not be documented."""
    sections = [declared.of for _, declared in declarations(Config) if isinstance(declared, Section)]
    for of in (Config, *sections):
        assert {field.name for field in fields(of)} == {name for name, _ in declarations(of)}


@pytest.mark.parametrize("text", ["256.0.0.1", "a.test", "192.0.2.1:0", "192.0.2.1:65536", "[::1", "::1:53:x"])
def test_what_is_no_resolver_is_refused(text):
    with pytest.raises(ValueError, match=r"is not|a port is"):
        Server(53).parse(text)
