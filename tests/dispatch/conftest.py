"""For tests of dispatch as a whole (world.py)."""

from __future__ import annotations

import pytest

from relay.dispatch import notices


@pytest.fixture(autouse=True)
def brief_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """DSNs wait for others of their message on the loop's own clock."""
    monkeypatch.setattr(notices, "MOMENT_SECONDS", 0.05)
