"""The part of a DSN for people: what this server judged itself is told as that, and nothing else (RFC 6522 3)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from relay.dsn.words import bounce_words, own_sentence
from relay.mail.envelope import Envelope
from relay.mail.outcome import DEFERRED, FAILED, Outcome, deferred, failed
from relay.queue.settle import expired
from relay.telemetry.metrics import STAGES

RELAY = Path(__file__).parents[2] / "relay"
HOP = "mx1.y.example[192.0.2.1]:25"
ENVELOPE = Envelope("01HV3Z0000000", 1_700_000_000_000_000, b"a@b.example", (b"x@y.example",), 0, 100)
SPOKEN_TO = [stage for stage in STAGES if stage not in {"queue", "route", "dns", "store"}]


def in_python(path: Path) -> set[tuple[str, str, str]]:
    """(kind, status, stage) of every call of failed() and deferred() whose code is not a reply's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or len(node.args) < 3:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        status, stage = node.args[0], node.args[2]
        if name in {FAILED, DEFERRED} and isinstance(status, ast.Constant):
            assert isinstance(stage, ast.Constant), f"{path}:{node.lineno}: the stage is not written out"
            found.add((name, str(status.value), str(stage.value)))
    return found


def in_cython(path: Path) -> set[tuple[str, str, str]]:
    """The same of the client: own_fault() at any stage at which a peer is spoken to, and objections to a delivery."""
    text = path.read_text()
    found = {
        ("deferred", status, stage) for status in re.findall(r'own_fault\("([\d.]+)"', text) for stage in SPOKEN_TO
    }
    return found | {
        (kind.lower(), status, "helo") for kind, status in re.findall(r'_(FAILED|DEFERRED), "([\d.]+)"', text)
    }


def judgements() -> list[tuple[str, str, str]]:
    found: set[tuple[str, str, str]] = set()
    for path in RELAY.rglob("*.py"):
        if path.parent.name not in {"mail", "supervisor"}:
            found |= in_python(path)
    for path in RELAY.rglob("*.pyx"):
        found |= in_cython(path)
    return sorted(found)


def test_the_judgements_are_found() -> None:
    found = judgements()
    for known in (
        ("failed", "5.1.2", "dns"),
        ("failed", "5.1.10", "dns"),
        ("failed", "5.4.6", "dns"),
        ("failed", "5.6.7", "helo"),
        ("failed", "5.6.3", "helo"),
        ("failed", "5.3.4", "helo"),
        ("deferred", "4.4.2", "rcpt"),
        ("deferred", "4.4.7", "queue"),
    ):
        assert known in found


@pytest.mark.parametrize(("kind", "status", "stage"), judgements())
@pytest.mark.parametrize("next_hop", [HOP, "", "alice@local.test", "/run/lmtp"])
def test_every_judgement_of_ours_has_a_sentence_that_is_true(kind: str, status: str, stage: str, next_hop: str) -> None:
    """None falls through, and only a failed connection is one to a server that could not be reached."""
    made = failed if kind == FAILED else deferred
    outcome = made(status, "why", stage, next_hop=next_hop)
    for each in (outcome, expired(outcome)):
        sentence = own_sentence(each)
        assert sentence.endswith(":")
        assert ("could not be reached" in sentence) == (stage == "connect")
        assert "(nothing was said)" not in sentence
        assert "{" not in sentence
        words = " ".join(bounce_words(ENVELOPE, [(0, each)], "mx.relay.example", ENVELOPE.received_at).split())
        assert sentence in words
        assert "did not answer" not in words
        if stage in {"queue", "route", "dns", "store"}:
            assert "mx1.y.example" not in words


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            failed("5.3.4", "up to 600 octets", "helo", next_hop=HOP),
            "mx1.y.example was reached, and takes no messages of",
        ),
        (failed("5.1.10", "null MX", "dns"), "The domain of this address says in DNS that it takes no mail at all"),
        (failed("5.4.6", "back to this host", "dns"), "The message would go in a circle"),
        (failed("5.1.2", "no such domain", "dns"), "The domain of this address has no mail server"),
        (deferred("4.4.1", "refused", "connect", next_hop=HOP), "The mail server mx1.y.example could not be reached"),
        (
            deferred("4.4.2", "timed out", "rcpt", next_hop=HOP),
            "was reached, but the attempt failed when told who",
        ),
        (Outcome(FAILED, 552, "5.2.2", "full", "rcpt", HOP), "mx1.y.example refused it when told who the recipient is"),
    ],
)
def test_the_sentences(outcome: Outcome, said: str) -> None:
    assert said in " ".join(bounce_words(ENVELOPE, [(0, outcome)], "mx.relay.example", 0).split())


def test_no_judgement_quotes_an_exception() -> None:
    """The text of an OSError has a path of ours in it, and an outcome's text goes to senders (I8)."""
    quoting = re.compile(r"""(?:failed|deferred|own_fault)\([^\n]*\{fault\}""")
    found = {
        str(path.relative_to(RELAY))
        for ending in ("*.py", "*.pyx")
        for path in RELAY.rglob(ending)
        if quoting.search(path.read_text())
    }
    assert found <= {"dispatch/feed.py"}, "MissingRecord names log, segment and offset, and no path"
