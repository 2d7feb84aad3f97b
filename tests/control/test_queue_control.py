"""relay/control/queue_control.py: whoever asks and does not read is not waited for."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from relay.control import queue_control
from relay.net.frames import FrameProtocol


class Link:
    """A connection of which nobody reads."""

    def __init__(self) -> None:
        self.is_writable = False
        self.is_connected = True

    def close(self) -> None:
        self.is_connected = False


@pytest.mark.parametrize("reads", [True, False])
def test_a_command_line_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    """I10: every wait for a peer has a deadline."""
    monkeypatch.setattr(queue_control, "PATIENCE", 0.02)
    link = Link()
    link.is_writable = reads
    assert asyncio.run(queue_control._may_write(cast("FrameProtocol", link))) is reads
    assert link.is_connected is reads
