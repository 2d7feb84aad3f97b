"""Types of the compiled module; see _entries.pyx."""

from typing import Any

def pack_entries(entries: list[tuple[Any, ...]]) -> bytes:
    """One msgpack array of ``entries``, octet for octet as msgpack.Packer makes it."""
