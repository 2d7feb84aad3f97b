"""Whether the certificates of a server are what a policy asks for: names and TLSA records (pure).

Theory: OpenSSL checks the signatures up to a trust anchor where the policy is ``verify``. What it does not do through
the standard library is here: several reference names, and DANE. A record of usage 3 is compared with the server's own
certificate and that is all (RFC 7672 3.1.1: neither names nor dates count). One of usage 2 makes a certificate of the
chain the trust anchor; from there down the signatures, dates, constraints and the name are checked (3.1.2).

    why = mismatch_of_names(chain[0], ("mx.example.org",))      # "" when it is for one of them
    why = mismatch_of_records(chain, policy.records, names, datetime.now(UTC))

Traps: the key is compared as its octets stand in the certificate, not as a library would write them again, which may
differ. A record with SHA-256 does not count where there is one with SHA-512 of the same usage and selector
(RFC 7671 9). What the library raises for a malformed certificate is not of one class, and for some it only warns:
whatever it raises, the certificate is refused; its warnings are dropped.

Limit: a bare key of an authority (usage 2, selector 1, matching 0) is found in a certificate of the chain only, as all
other records of usage 2 are but for a whole certificate (2 0 0), which need not be in it.

Not here: the handshake (tls_machine.py), what a policy is (relay/mail/tls_policy.py).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.mail.tls_policy import DANE_EE, DANE_TA, TlsaRecord

DEPTH: Final = 8
"""Certificates between the server's own and the trust anchor, at most."""
_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.ASCII)
_SHOWN: Final = 3
_LONGEST: Final = 500


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ---- names ----------------------------------------------------------------------------------------------------------


@_without_warnings()
def mismatch_of_names(certificate: bytes, names: Iterable[str], *, with_common_name: bool = False) -> str:
    """Why ``certificate`` (DER) is for none of ``names``, lower case, or nothing (RFC 6125 6.4).

    ``with_common_name``: one without any DNS name is taken for what its common name says (6.4.4).
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
        presented, addresses = _names(read, with_common_name=with_common_name)
    except Exception as fault:  # noqa: BLE001 - see the traps
        return f"its names cannot be read ({str(fault)[:_LONGEST]})"
    wanted = tuple(names)
    for name in wanted:
        address = _address(name)
        if address in addresses if address else any(_fits(each, name) for each in presented):
            return ""
    shown = [each for each in (*presented, *map(str, addresses)) if _HOST.fullmatch(each) or _address(each)]
    more = ", ..." if len(shown) > _SHOWN else ""
    theirs = ", ".join(shown[:_SHOWN]) + more if shown else "no host"
    return f"it is for {theirs}, not for {' or '.join(wanted)}"


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _names(read: x509.Certificate, *, with_common_name: bool) -> tuple[list[str], list[Address]]:
    try:
        found = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        presented: list[str] = []
        addresses: list[Address] = []
    else:
        presented = [name.lower().rstrip(".") for name in found.get_values_for_type(x509.DNSName)]
        given = found.get_values_for_type(x509.IPAddress)
        addresses = [each for each in given if isinstance(each, ipaddress.IPv4Address | ipaddress.IPv6Address)]
    if with_common_name and not presented:
        attributes = read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        presented = [str(each.value).lower().rstrip(".") for each in attributes]
    return presented, addresses


def _fits(presented: str, name: str) -> bool:
    """A wildcard is the whole first label, and stands for one (RFC 6125 6.4.3, RFC 8461 4.1)."""
    if presented.startswith("*."):
        first, dot, rest = name.partition(".")
        return bool(first and dot) and "." in rest and rest == presented[2:]
    return presented == name


def _address(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


@_without_warnings()
def expires_at(certificate: bytes) -> datetime | None:
    """When ``certificate`` (DER) expires, None when that cannot be read."""
    try:
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except Exception:  # noqa: BLE001 - see the traps
        return None


# ---- TLSA records ---------------------------------------------------------------------------------------------------


@_without_warnings()
def mismatch_of_records(
    chain: tuple[bytes, ...], records: Iterable[TlsaRecord], names: Iterable[str], now: datetime
) -> str:
    """Why ``chain`` (DER, the server's own first) is not what ``records`` ask for, or nothing: one that fits is enough.

    ``names`` are the reference names for records of usage 2.
    """
    if not chain:
        return "the server has sent none"
    wanted = _strongest(records)
    if any(record.usage == DANE_EE and _matches(record, chain[0]) for record in wanted):
        return ""
    authorities = [record for record in wanted if record.usage == DANE_TA]
    anchors = [each for each in chain[1:] if any(_matches(record, each) for record in authorities)]
    anchors += [record.data for record in authorities if (record.selector, record.matching) == (0, 0)]
    anchors = [each for each in anchors if each != chain[0]]  # which would vouch for itself
    if not anchors:
        return "no TLSA record matches it"
    return _path(chain, anchors, now) or mismatch_of_names(chain[0], names, with_common_name=True)


def _strongest(records: Iterable[TlsaRecord]) -> list[TlsaRecord]:
    """Without those whose digest is weaker than another's of the same usage and selector (RFC 7671 9)."""
    usable = [record for record in records if record.is_usable]
    with_sha512 = {record[:2] for record in usable if record.matching == 2}
    return [record for record in usable if record.matching != 1 or record[:2] not in with_sha512]


def _matches(record: TlsaRecord, certificate: bytes) -> bool:
    """RFC 6698 2.1."""
    try:
        selected = public_key_info(certificate) if record.selector else certificate
    except ValueError:
        return False
    if record.matching == 0:
        return selected == record.data
    return (hashlib.sha256 if record.matching == 1 else hashlib.sha512)(selected).digest() == record.data


def _path(chain: tuple[bytes, ...], anchors: list[bytes], now: datetime) -> str:
    """Why no path leads from the first of ``chain`` to one of ``anchors`` at ``now``, or nothing."""
    try:
        read = [x509.load_der_x509_certificate(each) for each in chain]
        store = verification.Store([x509.load_der_x509_certificate(each) for each in anchors])
        for each in read:
            _understand(each)
    except Exception as fault:  # noqa: BLE001 - see the traps
        return f"it cannot be read ({str(fault)[:_LONGEST]})"
    builder = verification.PolicyBuilder().store(store).time(now).max_chain_depth(DEPTH)
    builder = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_SERVER)
    try:
        # The verifier for clients leaves the names to us: a certificate may have none but a common name.
        builder.build_client_verifier().verify(read[0], read[1:])
    except Exception as fault:  # noqa: BLE001 - VerificationError, or see the traps
        return f"no chain leads to the authority of the TLSA records ({str(fault)[:_LONGEST]})"
    return ""


def _understand(read: x509.Certificate) -> None:
    """ValueError when it has a critical extension that is not known here (RFC 5280 4.2)."""
    for each in read.extensions:
        if each.critical and isinstance(each.value, x509.UnrecognizedExtension):
            raise ValueError(f"unknown critical extension {each.oid.dotted_string}")


def _signs(_policy: object, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority's key that is not for certificates")


def _serves(_policy: object, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    allowed = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if usage is not None and not any(each in usage for each in allowed):
        raise ValueError("it is not for servers")


# What of RFC 5280 counts between private authorities, too; the profile of public ones (key identifiers, policies) not.
_ANY: Final = verification.Criticality.AGNOSTIC
_AUTHORITY: Final = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _ANY, None)
    .may_be_present(x509.KeyUsage, _ANY, _signs)
)
_SERVER: Final = verification.ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, _ANY, _serves)


# ---- DER ------------------------------------------------------------------------------------------------------------


def public_key_info(certificate: bytes) -> bytes:
    """The octets of SubjectPublicKeyInfo in ``certificate`` (DER), as they stand there (RFC 5280 4.1). ValueError when
    they cannot be found."""
    start, _ = _element(certificate, 0, 0x30)
    at, end = _element(certificate, start, 0x30)  # tbsCertificate
    if certificate[at : at + 1] == b"\xa0":  # version
        at = _element(certificate, at, 0xA0)[1]
    for tag in (0x02, 0x30, 0x30, 0x30, 0x30):  # serialNumber, signature, issuer, validity, subject
        at = _element(certificate, at, tag)[1]
    stop = _element(certificate, at, 0x30)[1]
    if stop > end:
        raise ValueError("a certificate whose parts are longer than itself")
    return certificate[at:stop]


def _element(octets: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the value of the element at ``at`` begins and ends."""
    if octets[at : at + 1] != bytes([tag]) or at + 2 > len(octets):
        raise ValueError(f"no element {tag:#x} at octet {at}")
    size = octets[at + 1]
    start = at + 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise ValueError(f"a length of {count} octets")
        size = int.from_bytes(octets[start : start + count])
        start += count
    if start + size > len(octets):
        raise ValueError("an element that is longer than what it is in")
    return start, start + size
