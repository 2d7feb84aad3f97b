"""relay trace: the story of a message, told from the log."""

import gzip
import json
import os

import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.control.registry import SHOW
from relay.control.vocabulary import QueueEntry
from tests.control.samples import ENTRY
from tests.telemetry.test_journey import LOG, REFUSED, accepted, delivery, line


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "relay.log"
    path.write_bytes(b"\n".join(LOG) + b"\n")
    return path


WAITING = ENTRY._replace(
    queue_id="M2", waits_for="next hop", recipients=("eve@relay.test",), due_at=1_767_323_145_678_901, attempts=0,
    text="cannot connect: \x1b[2J", next_hop="mx.relay.test:25",
)  # fmt: skip


@pytest.fixture
def queue(monkeypatch):
    """What the queue has, in a list."""
    entries: list[QueueEntry] = []

    def look(_config, command, selections, on_part):
        assert command is SHOW
        for selection in selections:
            for entry in entries:
                if entry.queue_id == selection.queue_id:
                    on_part(entry)

    monkeypatch.setattr("relay.control.journeys.look", look)
    return entries


def test_mail_that_waits_is_told_with_its_reason_and_its_next_try(log, tmp_path, queue):
    """A next hop that is away leaves no line for the messages behind it: they "waited", and nobody knew for what."""
    log.write_bytes(b"\n".join(each for each in LOG if b'"delivered"' not in each) + b"\n")

    queue.append(WAITING)
    config = tmp_path / "relay.toml"
    (tmp_path / "data" / "spool").mkdir(parents=True)
    config.write_text(f'hostname = "mx.example.org"\ndata_dir = "data"\nlog.destination = "{log}"\n')
    output = trace("M2", "--config", config).output
    assert output.splitlines()[0].endswith(": deferred")
    assert "its next hop is away" in output
    assert "because:    4.4.1 cannot connect: \\x1b[2J (mx.relay.test:25)" in output
    assert "next try:   2026-01-02 03:05:45 UTC" in output
    assert "Nobody answers there" in output
    told = json.loads(trace("M2", "--json", "--config", config).output)
    assert told["queue"][0]["due_at"] == "2026-01-02T03:05:45.678Z"
    assert told["state"] == "deferred"


def test_of_mail_that_is_being_tried_the_next_hop_is_named(log, tmp_path, queue):
    """One that is silent gives no reason yet; who it is had to be looked up in the configuration."""
    log.write_bytes(b"\n".join(each for each in LOG if b'"delivered"' not in each) + b"\n")
    queue.append(WAITING._replace(state="active", waits_for="connection", due_at=0, status="", text="", stage=""))
    config = tmp_path / "relay.toml"
    (tmp_path / "data" / "spool").mkdir(parents=True)
    config.write_text(f'hostname = "mx.example.org"\ndata_dir = "data"\nlog.destination = "{log}"\n')
    output = trace("M2", "--config", config).output
    assert "active: eve@relay.test; connecting to its next hop, or waiting" in output
    assert "(mx.relay.test:25)" in output


def trace(*words: object, text: bytes | None = None):
    return CliRunner().invoke(main, ["trace", *map(str, words)], input=text, prog_name="relay")


def test_a_refused_message_is_told_with_the_step_and_what_it_means(log):
    result = trace("bub@demo.test", "--log", log)
    assert result.exit_code == 0
    assert "never a message  from <eve@example.net>: refused" in result.output
    assert "refused at RCPT TO, client 192.0.2.18" in result.output
    assert "refused:    bub@demo.test: 550 5.1.1" in result.output
    assert "has no such account" in result.output


def test_a_journey_is_told_in_order_with_what_was_said(log):
    output = trace("M1", "--log", log).output
    steps = [output.index(each) for each in ("accepted from 192.0.2.17", "deferred for bob@", "delivered to bob@")]
    assert steps == sorted(steps)
    assert "they said:  450 4.2.1" in output
    assert "message M1  from <Ann@example.org>: delivered" in output


def test_every_reason_that_a_refusal_is_counted_under_has_a_meaning():
    from relay.cli.journey_text import _REASONS
    from relay.telemetry.metrics import REASONS

    assert set(REASONS) <= set(_REASONS)


def test_standard_input_can_be_the_log(log):
    result = trace("M2", "--log", "-", text=log.read_bytes())
    assert "delivered to eve@relay.test" in result.output


def test_rotated_and_compressed_files_are_read_too(log):
    log.with_name("relay.log.2.gz").write_bytes(gzip.compress(accepted("OLD") + b"\n"))
    log.with_name("relay.log.1").write_bytes(delivery("OLD", "59.000", "failed", status="5.1.1") + b"\n")
    output = trace("OLD", "--log", log).output
    assert "failed" in output.splitlines()[0]
    for name, age in (("relay.log.2.gz", 7200), ("relay.log.1", 7200)):
        os.utime(log.with_name(name), (log.stat().st_mtime - age,) * 2)
    assert trace("OLD", "--log", log, "--since", "1h").exit_code == 1


def test_json_has_every_field(log):
    told = json.loads(trace("5e56", "--json", "--log", log).output)
    assert told == {"id": "5e56/3", "state": "refused", "steps": [json.loads(REFUSED)], "queue": []}


def test_what_a_peer_said_does_not_steer_the_terminal(log):
    log.write_bytes(line("delivery", "01.000", queue_id="M9", outcome="failed", recipients=["a@b.test"],
                         text="\x1b[2J\x9b", status="5.0.0") + b"\n")  # fmt: skip
    output = trace("M9", "--log", log).output
    assert "\\x1b[2J\\x9b" in output
    assert "\x1b" not in output


def test_nothing_found_a_missing_log_and_a_log_on_stdout_are_told(log, tmp_path):
    assert trace("nobody", "--log", log).exit_code == 1
    missing = trace("M1", "--log", tmp_path / "none.log")
    assert missing.exit_code == 1
    assert "none.log" in missing.output
    config = tmp_path / "relay.toml"
    config.write_text('hostname = "mx.example.org"\ndata_dir = "data"\n')
    unnamed = trace("M1", "--config", config)
    assert unnamed.exit_code == 2
    assert "--log -" in unnamed.output
    log.with_name("relay.log.1.gz").write_bytes(gzip.compress(accepted("OLD"))[:-12])
    assert "cannot be read" in trace("OLD", "--log", log).output
