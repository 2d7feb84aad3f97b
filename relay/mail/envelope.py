"""The envelope: what a transaction agreed on, and how it is packed into a spool record.

Theory: an envelope is a positional msgpack array (a map costs 2.5 times as much to pack). Fields are only ever
added at the end; a reader ignores what it does not know and fills in what is missing. Addresses are kept as the
octets that go over the wire, the domain in lower case, the local part untouched (RFC 5321 2.4).

Not here: how a record is framed and checked (relay/spool/record.py), and what has been tried with the message
since (relay/spool/journal.py).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgpack

BODY_8BIT: Final = 1
"""The content may hold octets above 127: BODY=8BITMIME was given or such octets were seen (RFC 6152)."""
SMTPUTF8: Final = 2
"""MAIL carried SMTPUTF8 (RFC 6531 3.4)."""
DOTS: Final = 4
"""At least one line of the content begins with a dot and must be stuffed when it is sent (RFC 5321 4.5.2)."""
LARGE: Final = 8
"""The content lives in a file of its own, named by the queue id."""
DSN: Final = 16
"""Made here as a delivery status notification (RFC 3464)."""
SUBMISSION: Final = 32
"""Taken in as a submission (RFC 6409)."""
COPY: Final = 64
"""Copied forward from an older segment; ``carried`` says from where."""


class Client(NamedTuple):
    """Who handed the message over; goes into logs and the queue listing."""

    address: str = ""
    """IP address in text form, or empty for a message made here."""
    helo: str = ""
    """The name given with HELO or EHLO, already made safe to print."""
    protocol: str = ""
    """The ``with`` keyword of the Received field (RFC 5321 4.4, RFC 3848), e.g. ``ESMTP``."""
    tls: str = ""
    """TLS version and cipher, or empty."""
    account: str = ""
    """The authenticated account, or empty."""
    listener: str = ""
    """The listener's name in the configuration."""


class Carried(NamedTuple):
    """What a record that was copied forward carries along from its origin."""

    log: int
    segment: int
    offset: int
    indexes: tuple[int, ...]
    """Which recipients of the origin the copy's recipients are, in order."""
    attempts: int
    due_at: int
    """Microseconds since the epoch."""
    is_delay_notified: bool
    is_held: bool
    status: str
    text: str
    code: int = 0
    """Reply code of the last outcome; 0 where no reply was involved, or when a version wrote it that kept none."""
    stage: str = ""
    next_hop: str = ""


class Envelope(NamedTuple):
    """One accepted message without its content."""

    queue_id: str
    received_at: int
    """Microseconds since the epoch, when end of data was read. A copy keeps the first time."""
    reverse_path: bytes
    """Empty for the null reverse-path ``<>``."""
    recipients: tuple[bytes, ...]
    flags: int
    size: int
    """Octets of the content as stored (unstuffed, with the added header fields)."""
    session_id: str = ""
    client: Client = Client()
    carried: Carried | None = None
    held: str = ""
    """Why the message is to be held from the start, or empty. Read and kept as long as the record is."""

    def pack(self) -> bytes:
        """The msgpack array that goes into a record."""
        packed: bytes = _packer.pack(self if self.held else self[:_USUAL_FIELDS])
        return packed


_packer: Final = msgpack.Packer(use_bin_type=True)
_USUAL_FIELDS: Final = Envelope._fields.index("held")
"""Fields of an envelope that is not held: it is packed without the last one."""
_CLIENT_FIELDS: Final = len(Client._fields)
_CARRIED_FIELDS: Final = len(Carried._fields)
_new: Final = tuple.__new__
"""Makes a named tuple as ``_make`` does, without a Python call."""


def unpack(octets: bytes | memoryview) -> Envelope:
    """The envelope packed in ``octets``; raises ValueError for anything that is not one."""
    try:
        fields: Any = msgpack.unpackb(octets, use_list=False, raw=False)
        if len(fields) == _USUAL_FIELDS and len(fields[7]) == _CLIENT_FIELDS and fields[8] is None:
            return _new(Envelope, (*fields[:7], _new(Client, fields[7]), None, ""))
        client = Client(*fields[7][:6]) if len(fields) > 7 else Client()
        carried = Carried(*fields[8][:_CARRIED_FIELDS]) if len(fields) > 8 and fields[8] is not None else None
        session_id = fields[6] if len(fields) > 6 else ""
        held = fields[9] if len(fields) > 9 else ""
        return Envelope._make((*fields[:6], session_id, client, carried, held))
    except (TypeError, IndexError, ValueError, msgpack.UnpackException) as fault:
        raise ValueError(f"not an envelope: {fault}") from fault
