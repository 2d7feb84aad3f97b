"""Postfix's own load tools around Relay: ``smtp-source`` sends 20,000 messages, ``smtp-sink`` receives them.

Every message must arrive once, and octet for octet as it arrives without Relay in between, but for the Received field
that Relay puts on top (RFC 5321 4.4).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port, open_to_all, wait_for
from tests.support.needs import need
from tests.support.waiting import accepts, wait_until

MESSAGES = 20_000
MESSAGE_ID = re.compile(rb"^Message-Id: <([^>]+)>$", re.MULTILINE)
DATE = re.compile(rb"^Date: .*$", re.MULTILINE)
RECEIVED = re.compile(rb"^Received: .*\n(?:[ \t].*\n)*")


@contextmanager
def smtp_sink(folder: Path) -> Iterator[int]:
    """Debian's smtp-sink, which writes every message into a file of its own in ``folder``; its port."""
    folder.mkdir()
    folder.chmod(0o777)
    port = free_port()
    sink = subprocess.Popen(
        ["smtp-sink", "-u", "nobody", "-R", str(folder), "-d", "m.", f"127.0.0.1:{port}", "1000"],
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: sink.poll() is not None or accepts(port), "smtp-sink does not listen")
        assert sink.poll() is None, sink.communicate()
        yield port
    finally:
        sink.kill()
        sink.communicate()


def smtp_source(port: int, messages: int) -> None:
    """``messages`` messages of 1 KiB over 50 sessions; raises when one is refused."""
    subprocess.run(
        ["smtp-source", "-d", "-s", "50", "-m", str(messages), "-l", "1024", "-f", "a@source.test", "-t",
         "b@relay.test", f"127.0.0.1:{port}"],
        check=True, timeout=120,
    )  # fmt: skip


def content_of(dumped: bytes) -> bytes:
    """What the sink was sent: its own header fields, up to its Received field, taken off."""
    start = dumped.index(b"Received: ")
    return RECEIVED.sub(b"", dumped[start:], count=1)


def unspecific(content: bytes) -> bytes:
    """``content`` without what differs from message to message."""
    return DATE.sub(b"Date:", MESSAGE_ID.sub(b"Message-Id:", content))


@pytest.mark.timeout(300)
def test_twenty_thousand_messages_arrive_once_and_unaltered(tmp_path: Path) -> None:
    need(all(map(shutil.which, ("smtp-source", "smtp-sink"))), "smtp-source and smtp-sink are not installed")
    open_to_all(tmp_path)  # the sink runs as nobody
    with smtp_sink(tmp_path / "direct") as port:
        smtp_source(port, 1)
        wait_for(lambda: any((tmp_path / "direct").iterdir()), 10, "the message that was sent directly")
    wanted = unspecific(content_of(next((tmp_path / "direct").iterdir()).read_bytes()))
    assert wanted.count(b"\n") > 10

    arrived = tmp_path / "arrived"
    with smtp_sink(arrived) as port, Appliance(tmp_path, port) as relay:
        smtp_source(relay.smtp_port, MESSAGES)
        wait_for(
            lambda: len(list(arrived.iterdir())) >= MESSAGES, 60, lambda: f"{len(list(arrived.iterdir()))} arrived"
        )
        wait_for(lambda: relay.metrics()['relay_queue_entries{state="active"}'] == 0, 20, "an empty queue")
    ids = set()
    for path in arrived.iterdir():
        content = content_of(path.read_bytes())
        assert content.startswith(b"Received: from ")
        content = RECEIVED.sub(b"", content, count=1)
        found = MESSAGE_ID.search(content)
        assert found is not None
        ids.add(found[1])
        assert unspecific(content) == wanted, path.read_bytes()[:2000]
    assert len(ids) == MESSAGES
    assert len(list(arrived.iterdir())) == MESSAGES, "none twice"
