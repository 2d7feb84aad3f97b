# cython: language_level=3
"""The states of a session and what moves it from one to the next, as one table.

Theory: a session changes its state in one place (Replies.move() in _replies.pyx), by an event that the table has for the
state that it is in. What the table does not have is a fault of ours: TransitionError, which ends that session with
421 and leaves the others alone. Commands that are answered at once and timers that find nothing to do change no state,
so they are no events.

A question about a content is no state: the content waits by itself, the session reads on (_policy.pyx). The same is true
of contents that are being synced.

Not here: which command may come when in a transaction (the table in _commands.pyx).
"""

from typing import Final

STATE_NAMES: Final = (
    "connected", "greeting", "command", "recipients", "asking", "login", "content", "chunk", "handshake", "over", "gone",
)
"""In the order of State."""
EVENT_NAMES: Final = (
    "tls_begins", "tls_first", "tls_done", "admitted", "greeted", "asked", "rcpt_asked", "answered", "challenged",
    "responded", "data_begins", "chunk_begins", "data_ends", "ended", "lost",
)
"""In the order of Event."""

TRANSITIONS: Final = {
    "connected": {"tls_begins": "handshake", "admitted": "greeting", "ended": "over"},
    "greeting": {"greeted": "command", "ended": "over"},
    "command": {
        "tls_begins": "handshake", "asked": "asking", "rcpt_asked": "recipients", "challenged": "login",
        "data_begins": "content", "chunk_begins": "chunk", "ended": "over",
    },
    "recipients": {"rcpt_asked": "recipients", "answered": "command", "ended": "over"},
    "asking": {"answered": "command", "ended": "over"},
    "login": {"responded": "command", "ended": "over"},
    "content": {"data_ends": "command", "ended": "over"},
    "chunk": {"data_ends": "command", "ended": "over"},
    "handshake": {"tls_first": "connected", "tls_done": "command", "ended": "over"},
    "over": {"lost": "gone"},
    "gone": {},
}
"""State and event: the next state. What is not here cannot happen."""

cdef enum:
    IMPOSSIBLE = -1

cdef signed char[STATES][EVENTS] _NEXT


class TransitionError(Exception):
    """Something has happened in a state in which it cannot: a fault of ours."""


cdef int next_state(int state, int event) except -1:
    """The state after ``event``; TransitionError when the table has none."""
    cdef int after = _NEXT[state][event]
    if after == IMPOSSIBLE:
        raise TransitionError(f"{EVENT_NAMES[event]} in state {STATE_NAMES[state]}")
    return after


def after(str state not None, str event not None):
    """next_state() by names."""
    return STATE_NAMES[next_state(STATE_NAMES.index(state), EVENT_NAMES.index(event))]


cdef int _fill() except -1:
    """Makes the array of the table."""
    cdef int state, event
    if len(STATE_NAMES) != STATES or len(EVENT_NAMES) != EVENTS or set(TRANSITIONS) != set(STATE_NAMES):
        raise TransitionError("the names are not those of the enumerations")
    for state in range(STATES):
        row = TRANSITIONS[STATE_NAMES[state]]
        for event in range(EVENTS):
            name = row.get(EVENT_NAMES[event])
            _NEXT[state][event] = IMPOSSIBLE if name is None else <signed char><int>STATE_NAMES.index(name)
    return 0


_fill()
