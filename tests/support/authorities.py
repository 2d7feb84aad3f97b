"""Certificate authorities for tests: certificates with whatever may be wrong with them, and servers that use them."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.net.certificates import Files, read
from relay.net.tls_profiles import OPPORTUNISTIC, make_context


class Issued:
    """A certificate, its key, and those that issued it."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, issuers: tuple[Issued, ...]
    ) -> None:
        self.certificate = certificate
        self.key = key
        self.issuers = issuers
        """The nearest first."""

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def public_key_info(self) -> bytes:
        """As the library writes it, which for these keys is as it stands there."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.DER, form)

    def chain(self, *, with_root: bool = True) -> tuple[bytes, ...]:
        """As a server sends it (DER)."""
        issuers = self.issuers if with_root else self.issuers[:-1]
        return (self.der, *(each.der for each in issuers))

    def write(self, folder: Path, *, with_root: bool = True) -> Files:
        """Chain and key in files."""
        files = Files(folder / "chain.pem", folder / "key.pem")
        issuers = self.issuers if with_root else self.issuers[:-1]
        files.cert.write_bytes(self.pem + b"".join(each.pem for each in issuers))
        encryption = serialization.NoEncryption()
        files.key.write_bytes(
            self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        return files

    def server(self, folder: Path, *, with_root: bool = True) -> ssl.SSLContext:
        """The context of a server with this certificate."""
        context = make_context(OPPORTUNISTIC)
        read(self.write(folder, with_root=with_root)).load_into(context)
        return context

    def issue(
        self,
        *names: str,
        is_authority: bool = False,
        days: float = 30,
        starts: float = -60,
        addresses: tuple[str, ...] = (),
        common_name: str = "",
        for_servers: bool | None = None,
        may_sign: bool | None = None,
        critical: str = "",
        permitted: str = "",
    ) -> Issued:
        """A certificate signed by this one, valid from ``starts`` to ``days`` from now. ``for_servers``, ``may_sign``:
        the extensions for its use; None: without them. ``critical``: the OID of an unknown critical extension.
        ``permitted``: the domain that an authority is limited to."""
        return _issue(
            self, *names, is_authority=is_authority, days=days, starts=starts, addresses=addresses,
            common_name=common_name, for_servers=for_servers, may_sign=may_sign, critical=critical, permitted=permitted,
        )  # fmt: skip


def self_signed(*names: str, days: float = 30, starts: float = -60, common_name: str = "") -> Issued:
    """A self-signed certificate that is no authority."""
    return _issue(None, *names, is_authority=False, days=days, starts=starts, common_name=common_name)


def root(common_name: str = "Root", days: float = 30) -> Issued:
    """The self-signed certificate of an authority."""
    return _issue(None, is_authority=True, days=days, common_name=common_name)


def _issue(
    issuer: Issued | None,
    *names: str,
    is_authority: bool,
    days: float,
    starts: float = -60,
    addresses: tuple[str, ...] = (),
    common_name: str = "",
    for_servers: bool | None = None,
    may_sign: bool | None = None,
    critical: str = "",
    permitted: str = "",
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or (names[0] if names else "Somebody"))])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=starts))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), True)
    )
    alternatives = [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_address(each)) for each in addresses)]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
    if for_servers is not None:
        use = ExtendedKeyUsageOID.SERVER_AUTH if for_servers else ExtendedKeyUsageOID.CODE_SIGNING
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), False)
    if may_sign is not None:
        builder = builder.add_extension(
            x509.KeyUsage(not may_sign, False, False, False, False, may_sign, may_sign, False, False), True
        )
    if critical:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(critical), b"\5\0"), True)
    if permitted:
        builder = builder.add_extension(x509.NameConstraints([x509.DNSName(permitted)], None), True)
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Issued(certificate, key, (issuer, *issuer.issuers) if issuer else ())
