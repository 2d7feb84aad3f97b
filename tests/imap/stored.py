"""The state of a session whose open mailbox has one message."""

from __future__ import annotations

from relay.imap.state import State
from tests.imap.stand import World


def stored(octets: bytes) -> State:
    store = World().store("anna@local.test")
    appending = store.begin_append("INBOX")
    appending.add()
    appending.write(octets)
    appending.commit()
    state = State("mx.relay.example", 10_000_000, lambda: 0.0)
    state.store_or_none = store
    state.opened(store.open("INBOX"))
    return state
