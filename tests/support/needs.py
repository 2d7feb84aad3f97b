"""What a test needs of the machine: it skips with the reason where that is missing, but never in .ci/run."""

from __future__ import annotations

import os

import pytest


def need(is_there: bool, what_is_missing: str) -> None:
    """Goes on when ``is_there``; else skips, or fails under RELAY_CI=1, where everything is to be installed."""
    if is_there:
        return
    if os.environ.get("RELAY_CI") == "1":
        pytest.fail(f"RELAY_CI=1, but {what_is_missing}")
    pytest.skip(what_is_missing)
