"""What the documents show is true: their configurations load, their scripts compile, their commands exist and work."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from relay.cli import main
from relay.config import load
from relay.sieve import compile_script
from tests.support.appliance import free_port, wait_for

TREE = Path(__file__).parents[1]
DOCUMENTS = [
    TREE / "README.md",
    *sorted((TREE / "docs").glob("*.md")),
    *sorted((TREE / "docs" / "operations").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def fenced(language: str) -> list[Any]:
    found: list[Any] = []
    for document in DOCUMENTS:
        for number, match in enumerate(FENCE.finditer(document.read_text("utf-8"))):
            if match[1] == language:
                found.append(pytest.param(match[2], id=f"{document.name}-{number}"))
    return found


@pytest.mark.parametrize("text", fenced("toml"))
def test_every_configuration_in_a_document_has_no_errors(text, tmp_path):
    (tmp_path / "relay.toml").write_text(text)
    load(tmp_path / "relay.toml", {})


@pytest.mark.parametrize("text", fenced("sieve"))
def test_every_script_in_a_document_is_correct(text):
    compile_script(text.encode())


@pytest.mark.parametrize("text", fenced("json"))
def test_every_json_in_a_document_can_be_read(text):
    for line in text.splitlines():
        json.loads(line)


def test_code_in_documents_says_its_language_where_a_test_can_look_at_it():
    """Otherwise a broken example is not found: an indented one has no language."""
    for document in DOCUMENTS:
        for match in FENCE.finditer(document.read_text("utf-8")):
            assert match[1] in ("toml", "sieve", "json"), document
        indented = [line[4:] for line in document.read_text("utf-8").splitlines() if line.startswith("    ")]
        assert not [line for line in indented if re.match(r"\[\[?\w+\]\]?$|require \[", line)], document


# ---- commands -------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        text = FENCE.sub("", document.read_text("utf-8"))
        lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
        pieces = [piece for line in lines for piece in re.split(r"[|;&]", line.partition(" #")[0])]
        pieces += re.findall(r"`([^`\n]+)`", text)
        for piece in pieces:
            if match := re.match(r"\s*(?:\.venv/bin/)?relay ([a-z].*)", piece):
                yield document.name, match[1]


@pytest.mark.parametrize(("document", "words"), sorted(set(commands())))
def test_every_command_in_a_document_exists_with_its_options(document, words):
    command: click.Command = main
    context = click.Context(main)
    rest = shlex.split(words.replace("...", "").replace("'", ""))
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest.pop(0))
        assert found is not None, f"{document}: relay {words}"
        command = found
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)} <= known, (
        f"{document}: relay {words}"
    )


def set_up() -> tuple[str, list[str]]:
    """The first configuration of "Set it up" in README.md, and the commands behind it."""
    section = (TREE / "README.md").read_text("utf-8").partition("## Set it up")[2].partition("\n## ")[0]
    match = FENCE.search(section)
    assert match is not None
    lines = section[match.end() :].partition("On a server")[0].splitlines()
    return match[2], [line.strip().partition("  #")[0].strip() for line in lines if line.startswith("    ")]


def test_set_it_up_in_the_readme_works_as_it_is_typed(tmp_path):
    """It ended at "will not serve as root", or at a folder that only root can make."""
    text, typed = set_up()
    for port in re.findall(r"port = (\d+)", text):
        text = text.replace(port, str(free_port()))
    if os.geteuid() == 0:
        text = re.sub(r"(?m)^(data_dir.*)$", r"\1\nallow_root = true", text, count=1)  # as the text says
    (tmp_path / "relay.toml").write_text(text + f"[admin]\nport = {free_port()}\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program = tmp_path / ".venv" / "bin" / "relay"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m relay.cli "$@"\n')
    program.chmod(0o755)
    *before, serve = typed
    assert serve == ".venv/bin/relay serve"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TREE), "HOME": str(tmp_path)}
    script = "set -e; " + "; ".join(before)
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, input="a long secret\na long secret\n", text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no errors" in done.stdout
    with (
        (tmp_path / "out").open("w") as out,
        subprocess.Popen(
            ["sh", "-c", f"{before[0]}; exec {serve}"], cwd=tmp_path, env=environment, stdout=out, stderr=out
        ) as process,
    ):
        try:
            wait_for(lambda: "is ready" in (tmp_path / "out").read_text(), 20, (tmp_path / "out").read_text)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


# ---- whole documents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(document):
    for target in LINK.findall(document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def anchors(text: str) -> list[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_inside_a_document_leads_to_a_heading_of_it(document):
    text = document.read_text("utf-8")
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(anchors(text))


def test_the_rfc_page_says_each_thing_once_and_does_not_contradict_itself():
    """It said that IMAP, POP3 and Sieve are not there, below their chapters."""
    text = (TREE / "docs" / "RFC.md").read_text("utf-8")
    body, _, not_there = text.partition("\n## Not there\n")
    contents = re.findall(r"\]\(#([^)]+)\)", body.partition("\n## ")[0])
    assert sorted(contents) == sorted({*anchors(text)} & {*contents}), "each chapter once"
    chapters = anchors("\n".join(line for line in text.splitlines() if line.startswith("## ")))
    assert set(chapters) == set(contents), "all of them"
    lines = [line for line in text.splitlines() if len(line) > 30 and not line.startswith(("| RFC |", "| section |"))]
    assert len(lines) == len(set(lines)), "no line twice"
    rows = {number for row in re.findall(r"(?m)^\| ([^|]+) \|", body) for number in re.findall(r"\b\d{4}\b", row)}
    parts_of_what_is_there = {"3030"}  # BINARYMIME, beside CHUNKING
    assert not rows & set(re.findall(r"\b\d{4}\b", not_there)) - parts_of_what_is_there
