"""Gives OpenSSL the keys of session tickets, which the ssl module of Python does not."""

import ssl
from collections.abc import Sequence

MOST_KEYS: int
"""More keys than this cannot be set."""

def install(context: ssl.SSLContext, lifetime: int) -> bool:
    """From now on ``context`` seals and opens tickets with the keys of set_keys(), for ``lifetime`` seconds each.

    False, and nothing is changed, when this Python's OpenSSL cannot be reached; the context then keeps a key of its own
    that no other process has.
    """

def set_keys(keys: Sequence[bytes], current: int) -> None:
    """The keys of this process, each of tickets.KEY_SIZE octets, newest first; ``keys[current]`` seals.

    To be called on the thread that shakes hands. Raises ValueError for keys that cannot be.
    """
