"""What a connection to a next hop has to be, as far as TLS goes: a value that is compared, hashed and sent on.

    none            in the clear
    opportunistic   TLS when the next hop offers it, its certificate not checked (RFC 7435)
    encrypt         TLS or no delivery, the certificate not checked
    verify          TLS, with a certificate for one of the reference names that leads to a trust anchor (RFC 5280,
                    RFC 6125)
    dane            TLS, with a certificate that one of the TLSA records matches (RFC 6698, RFC 7672)

Theory: connections, TLS sessions and groups of recipients are shared only by those that have the same policy, so the
policy is part of their keys. ``token`` is its short form, for keys; it is empty for ``none``, so that a key without a
policy is what it always was.

A fingerprint of a certificate is a TLSA record 3 0 1 (SHA-256) or 3 0 2 (SHA-512), one of a key is 3 1 1 or 3 1 2.

Not here: whether a certificate fits (relay/net/peer_certificates.py), where a policy comes from.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal, NamedTuple

TlsKind = Literal["none", "opportunistic", "encrypt", "verify", "dane"]
TlsVersion = Literal["1.2", "1.3"]

DANE_TA: Final = 2
"""Usage: the certificate, or key, of an authority that is in the chain."""
DANE_EE: Final = 3
"""Usage: the server's own certificate, or key."""
_SIZES: Final = {1: 32, 2: 64}
"""Octets of what a matching type gives: SHA-256, SHA-512."""


class TlsaRecord(NamedTuple):
    """RFC 6698 2.1."""

    usage: int
    selector: int
    """0: the whole certificate; 1: its SubjectPublicKeyInfo. Both as DER."""
    matching: int
    """0: as it is; 1: its SHA-256; 2: its SHA-512."""
    data: bytes

    @property
    def is_usable(self) -> bool:
        """Whether it can match anything in SMTP: usages 0 and 1 have no meaning there (RFC 7672 3.1.3)."""
        if self.usage not in (DANE_TA, DANE_EE) or self.selector not in (0, 1) or self.matching not in (0, 1, 2):
            return False
        return len(self.data) == _SIZES.get(self.matching, len(self.data)) and bool(self.data)


class TlsPolicy(NamedTuple):
    """See the module. To be made by the functions below, which keep it in a form of its own."""

    kind: TlsKind = "none"
    names: tuple[str, ...] = ()
    """verify, and records of usage 2: the reference names, lower case; empty: the name of the host connected to."""
    anchors: str = ""
    """verify: a file of trust anchors (PEM); empty: those of the system."""
    records: tuple[TlsaRecord, ...] = ()
    """dane: at least one, all usable."""
    min_version: TlsVersion = "1.2"

    @property
    def is_required(self) -> bool:
        """Whether nothing may be sent in the clear."""
        return self.kind in ("encrypt", "verify", "dane")

    @property
    def token(self) -> str:
        """The policy in a key: the same for equal ones, another for others, stable between runs; empty for none.
        Holds no ``;`` and no space."""
        if self.kind == "none":
            return ""
        parts: list[str] = [self.kind]
        if self.min_version != "1.2":
            parts.append(self.min_version)
        rest = (self.names, self.anchors, *((*record[:3], record.data.hex()) for record in self.records))
        if any(rest):
            parts.append(hashlib.sha256(repr(rest).encode("utf-8", "surrogateescape")).hexdigest()[:16])
        return "/".join(parts)

    def pack(self) -> tuple[Any, ...]:
        """As plain tuples, for a frame; empty for none."""
        return () if self.kind == "none" else (*self[:3], tuple(tuple(record) for record in self.records), self[4])

    @classmethod
    def unpack(cls, fields: tuple[Any, ...]) -> TlsPolicy:
        """What ``pack`` was called for."""
        if not fields:
            return NO_TLS
        kind, names, anchors, records, min_version = fields
        return cls(kind, names, anchors, tuple(TlsaRecord(*record) for record in records), min_version)


NO_TLS: Final = TlsPolicy()


def opportunistic(min_version: TlsVersion = "1.2") -> TlsPolicy:
    """TLS when it is offered."""
    return TlsPolicy("opportunistic", min_version=min_version)


def encrypt(min_version: TlsVersion = "1.2") -> TlsPolicy:
    """TLS in any case, without a check of the certificate."""
    return TlsPolicy("encrypt", min_version=min_version)


def verify(*names: str, anchors: str = "", min_version: TlsVersion = "1.2") -> TlsPolicy:
    """TLS with a server whose certificate is for one of ``names`` (A-labels)."""
    return TlsPolicy("verify", _plain(names), anchors, min_version=min_version)


def dane(records: tuple[TlsaRecord, ...], *names: str, min_version: TlsVersion = "1.2") -> TlsPolicy:
    """What ``records``, secured by DNSSEC, ask for. If none of them is usable, that is TLS without a check of the
    certificate (RFC 7672 2.2). ValueError without any record."""
    if not records:
        raise ValueError("no TLSA records")
    usable = tuple(sorted({record for record in records if record.is_usable}))
    return TlsPolicy("dane", _plain(names), "", usable, min_version) if usable else encrypt(min_version)


def _plain(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({name.lower().rstrip(".") for name in names}))
