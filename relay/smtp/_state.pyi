"""The states of a session and what moves it from one to the next, as one table."""

from typing import Final

STATE_NAMES: Final[tuple[str, ...]]
EVENT_NAMES: Final[tuple[str, ...]]
TRANSITIONS: Final[dict[str, dict[str, str]]]

class TransitionError(Exception):
    """Something has happened in a state in which it cannot: a fault of ours."""

def after(state: str, event: str) -> str:
    """The state after ``event``; TransitionError when the table has none."""
