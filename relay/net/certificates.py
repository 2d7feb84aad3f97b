"""Certificates and their keys: read, checked, made.

Theory: files are replaced under us by programs that know nothing of us (certbot, cert-manager, a shell). So a pair is
read once, into memory, and what was read is checked as a whole and is what is used: a file that changes between two
looks cannot slip in. OpenSSL takes files only, so what was checked is handed to it in an anonymous file that no other
process sees.

Not here: when files are looked at again, and which certificate a client gets (tls.py).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.net.locks import lock

SELF_SIGNED: Final = {"ec": "self-signed.pem", "rsa": "self-signed-rsa.pem"}
"""Their names below ``data_dir/tls``, by the kind of their key: certificate and key in one file, so that they can only
change together."""
RSA_BITS: Final = 2048
_LIFETIME: Final = timedelta(days=3650)
_RENEW: Final = timedelta(days=30)
_LARGEST: Final = 1 << 20


class CertificateError(Exception):
    """A pair that cannot be used; the text says which file, and what is wrong with it."""


Signature = tuple[tuple[int, ...], ...]


class Files(NamedTuple):
    """Where a certificate and its key are; the same file may hold both."""

    cert: Path
    """The certificate, followed by those between it and the root (PEM)."""
    key: Path


class Pair(NamedTuple):
    """A certificate that fits its key. Holds the private key: nothing to show or to log."""

    chain: bytes
    key: bytes
    names: tuple[str, ...]
    """Host names that it is for, lower case; a wildcard begins with ``*.``."""
    starts_at: datetime
    expires_at: datetime
    end_point: bytes
    """The channel binding tls-server-end-point (RFC 5929 4.1)."""
    der: bytes
    """The certificate itself."""
    kind: str
    """Of the key: ``ec``, ``rsa``, or another word. A context has room for one of each."""

    def __repr__(self) -> str:
        return f"Pair(names={self.names!r}, kind={self.kind!r})"

    def load_into(self, context: ssl.SSLContext) -> None:
        """Makes ``context`` use it, beside one of another kind that it may have. CertificateError when OpenSSL will not
        have it (a weak key, say)."""
        inner = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(inner, self.chain + self.key)
            context.load_cert_chain(f"/proc/self/fd/{inner}", password=_no_password)
        except (ssl.SSLError, OSError) as fault:
            raise CertificateError(f"OpenSSL refuses it: {getattr(fault, 'reason', None) or fault}") from fault
        finally:
            os.close(inner)


def read(files: Files) -> Pair:
    """The pair in ``files``. Raises CertificateError."""
    chain, key = _octets(files.cert), _octets(files.key)
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise CertificateError(f"{files.cert}: holds no certificate in PEM form") from None
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError:
        raise CertificateError(f"{files.key}: the key is encrypted; store it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{files.key}: holds no private key in PEM form") from None
    certificate = certificates[0]
    if _public(private.public_key()) != _public(certificate.public_key()):
        raise CertificateError(f"{files.key}: is not the key of the certificate in {files.cert}")
    own_key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(
        b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates),
        own_key,
        _names(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        _end_point(certificate),
        certificate.public_bytes(serialization.Encoding.DER),
        _kind(private),
    )


def signature(files: Files) -> Signature:
    """What changes when one of the files does: symbolic links are followed, so a swapped one changes it as well."""
    return tuple(_stat(path) for path in files)


def self_signed(folder: Path, hostname: str, now: datetime, kind: str = "ec") -> Files:
    """The self-signed certificate for ``hostname`` with a key of ``kind`` below ``folder``, made when there is none
    that will do.

    Only its owner can read it. Several processes may ask at once and get the same. Raises CertificateError.
    """
    path = folder / SELF_SIGNED[kind]
    files = Files(path, path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        locked = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lock(locked)
            if not _will_do(files, hostname, now, kind):
                _publish(path, _make(hostname, now, kind), locked)
        finally:
            os.close(locked)
    except OSError as fault:
        raise CertificateError(f"{fault.filename or folder}: {fault.strerror}") from fault
    return files


def _will_do(files: Files, hostname: str, now: datetime, kind: str) -> bool:
    try:
        pair = read(files)
    except CertificateError:
        return False
    return pair.kind == kind and pair.names == (hostname,) and pair.starts_at <= now < pair.expires_at - _RENEW


def _make(hostname: str, now: datetime, kind: str) -> bytes:
    """Key and certificate as PEM. P-256 is what nearly every client knows, and the quickest to sign with; RSA is for
    those that have no other ciphers."""
    key = _make_key(kind)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname if len(hostname) <= 64 else "Relay")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip


def _make_key(kind: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, RSA_BITS) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def _kind(key: object) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "rsa"
    return "ec" if isinstance(key, ec.EllipticCurvePrivateKey) else type(key).__name__.lower()


def _publish(path: Path, octets: bytes, folder: int) -> None:
    """Puts a file of our own in place: whole or not at all, also after a crash. ``folder`` is locked."""
    made = path.with_suffix(".new")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(descriptor)
    made.rename(path)
    os.fsync(folder)


def _octets(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_opened) as file:
            octets = file.read(_LARGEST + 1)
    except OSError as fault:
        raise CertificateError(f"{path}: cannot be read: {fault.strerror}") from fault
    if len(octets) > _LARGEST:
        raise CertificateError(f"{path}: is too large for a certificate or key")
    return octets


def _opened(path: str, flags: int) -> int:
    """Does not wait for somebody who writes to a FIFO; without one it is empty."""
    return os.open(path, flags | os.O_NONBLOCK)


def _stat(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as fault:
        return (fault.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _public(key: object) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined,no-any-return]


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names of the certificate; its common name when it has none (RFC 6125 6.4.4)."""
    names: Iterable[object]
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = found.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = [each.value for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys(str(name).lower().rstrip(".") for name in names))


def _end_point(certificate: x509.Certificate) -> bytes:
    """The hash of the certificate by its own signature's algorithm, SHA-256 where that is weaker or has none."""
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or algorithm.digest_size < 32:
        algorithm = hashes.SHA256()
    return certificate.fingerprint(algorithm)


def _no_password() -> str:
    raise CertificateError("the key is encrypted")  # never asked: read() has checked it; OpenSSL would ask a terminal
