"""Facts: small values that follow from a message's octets, kept for every process until the message goes.

Theory: a message never changes, so what was once worked out of it (its structure, its ENVELOPE ready to send) stays
true. ``relay-facts`` is append-only, and each record is one ``write`` with O_APPEND, so processes need no lock; a
record that is torn or damaged is one that is not there. In memory: 16 octets a value. To be thrown away at will; bound
to one mailbox (its id and UIDVALIDITY are in the head), because UIDs mean nothing beyond.

Not here: what the values are. Kinds below 16 are the store's, others the caller's.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import google_crc32c

from relay.mailbox import _runs
from relay.mailbox.files import open_file, replacing
from relay.mailbox.troubles import SILENT, Troubles

NAME: Final = "relay-facts"
MAX_VALUE: Final = 1 << 16
PARTS: Final = 1
"""The kind of a message's structure (relay/mailbox/structure.py)."""

_HEAD: Final = struct.Struct("<8sIQ")
_MAGIC: Final = b"RelayFCT"
_RECORD: Final = struct.Struct("<IIBI")
"""UID, crc32c of kind, UID and value, kind, length."""
_MERGE: Final = 4_096
_PIECE: Final = 1 << 22
_OFTEN: Final = 2048
"""Octets of a record that nearly all of them have at most."""


class Facts:
    """The facts of one mailbox; for use by several threads."""

    def __init__(self, folder: Path, troubles: Troubles = SILENT) -> None:
        self.path = folder / NAME
        self._troubles = troubles
        self._lock = threading.Lock()
        self._descriptor = -1
        self._head = b""
        self._end = 0
        self._keys: array[int] = array("Q")
        self._places: array[int] = array("Q")
        self._recent: dict[int, int] = {}

    def bind(self, uidvalidity: int, mailbox_id: int) -> None:
        """Of which mailbox the facts are; those of another one are dropped."""
        self._head = _HEAD.pack(_MAGIC, uidvalidity, mailbox_id)

    def __del__(self) -> None:
        self._close()  # a mailbox that nobody uses any more

    def get(self, uid: int, kind: int) -> bytes | None:
        with self._lock, self._harmless():
            if not self._opened(create=False):
                return None
            place = self._place(uid << 8 | kind)
            if place < 0 and self._read_on():
                place = self._place(uid << 8 | kind)
            if place >= 0:
                return self._value(place, uid, kind)
        return None

    def get_run(self, uids: Sequence[int], kind: int) -> list[bytes | None]:
        """``get`` for each of ``uids``. What was written one after the other is read together."""
        with self._lock, self._harmless():
            if self._opened(create=False):
                wanted = list(uids)
                places = _runs.places(self._keys, self._places, self._recent, wanted, kind)
                if min(places, default=0) < 0 and self._read_on():
                    places = _runs.places(self._keys, self._places, self._recent, wanted, kind)
                return _runs.values(self._descriptor, places, wanted, kind)
        return [None] * len(uids)

    def put(self, uid: int, kind: int, value: bytes) -> None:
        """Keeps a value; one that is too long, or that the disk has no room for, is not kept."""
        if len(value) > MAX_VALUE:
            return
        with self._lock, contextlib.suppress(OSError):
            if self._opened(create=True):
                self._read_on()
                if self._end < os.fstat(self._descriptor).st_size:
                    os.ftruncate(self._descriptor, self._end)  # somebody died while writing
                os.write(self._descriptor, _record(uid, kind, value))
                self._read_on()

    def compact(self, uids: set[int]) -> None:
        """Keeps only the facts of ``uids``, if that makes the file much smaller."""
        with self._lock, contextlib.suppress(OSError):
            if not self._opened(create=False):
                return
            self._read_on()
            self._merge()
            kept = [at for at, key in enumerate(self._keys) if key >> 8 in uids]
            if len(kept) * 2 > len(self._keys):
                return
            with replacing(self.path) as file:
                file.write(self._head)
                for at in kept:
                    uid, kind = self._keys[at] >> 8, self._keys[at] & 255
                    if (value := self._value(self._places[at], uid, kind)) is not None:
                        file.write(_record(uid, kind, value))
            self._close()

    def forget(self) -> None:
        """Gives back the file and what is known of it."""
        with self._lock:
            self._close()

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """A fault of the disk is told, and there is no fact: it is worked out again."""
        try:
            yield
        except OSError as fault:
            self._troubles.report(self.path, fault)

    def _opened(self, *, create: bool) -> bool:
        if self._descriptor >= 0:
            return True
        flags = os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0)
        try:
            self._descriptor = open_file(self.path, flags)
        except FileNotFoundError:
            return False
        if os.pread(self._descriptor, len(self._head), 0) != self._head:
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, self._head)
        self._end = len(self._head)
        self._read_on()
        return True

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._end = -1, 0
        self._keys, self._places, self._recent = array("Q"), array("Q"), {}

    def _place(self, key: int) -> int:
        if key in self._recent:
            return self._recent[key]
        at = bisect_left(self._keys, key)
        return self._places[at] if at < len(self._keys) and self._keys[at] == key else -1

    def _value(self, place: int, uid: int, kind: int) -> bytes | None:
        octets = os.pread(self._descriptor, _OFTEN, place)
        if len(octets) < _RECORD.size:
            return None
        _, crc, _, length = _RECORD.unpack_from(octets)
        value = octets[_RECORD.size : _RECORD.size + length]
        if len(value) < length <= MAX_VALUE:
            value += os.pread(self._descriptor, length - len(value), place + len(octets))
        return value if _crc(uid, kind, value) == crc else None

    def _read_on(self) -> bool:
        """Learns of the records after ``end``; whether there are any."""
        size = os.fstat(self._descriptor).st_size
        start = self._end
        while self._end < size:
            octets = os.pread(self._descriptor, _PIECE, self._end)
            used = self._learn(octets)
            if not used:
                break
            self._end += used
            if len(self._recent) > _MERGE:
                self._merge()
        return self._end > start

    def _learn(self, octets: bytes) -> int:
        at = 0
        while at + _RECORD.size <= len(octets):
            uid, _, kind, length = _RECORD.unpack_from(octets, at)
            following = at + _RECORD.size + length
            if length > MAX_VALUE:  # damage: what follows cannot be found
                os.ftruncate(self._descriptor, self._end + at)
                break
            if following > len(octets):
                break
            self._recent[uid << 8 | kind] = self._end + at
            at = following
        return at

    def _merge(self) -> None:
        everything = dict(zip(self._keys, self._places, strict=True)) | self._recent
        keys = sorted(everything)
        self._keys = array("Q", keys)
        self._places = array("Q", [everything[key] for key in keys])
        self._recent = {}


def _record(uid: int, kind: int, value: bytes) -> bytes:
    return _RECORD.pack(uid, _crc(uid, kind, value), kind, len(value)) + value


def _crc(uid: int, kind: int, value: bytes) -> int:
    return int(google_crc32c.extend(uid << 8 & 0xFFFFFFFF | kind, value))
