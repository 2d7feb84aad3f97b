"""Replays tests/corpus: whatever once mattered to a parser is tried again in every run, without a fuzzer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent.parent / "corpus"
FILES = sorted(file for file in CORPUS.glob("*/*") if file.is_file())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_parser_and_twin_agree(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


def test_every_parser_has_a_corpus() -> None:
    assert {file.parent.name for file in FILES} == set(TARGETS)


def test_the_corpus_is_where_the_faults_are() -> None:
    """A corpus that was emptied or mangled (line endings!) by a checkout would pass without testing anything."""
    assert b"\n.\r\n" in (CORPUS / "content" / "smuggling-lf-dot-crlf").read_bytes()
    assert (CORPUS / ".gitattributes").read_text() == "* -text\n"
