"""Certificates and TLS clients for tests: pairs of files, a client in memory, one on a socket."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from relay.net.certificates import Files
from relay.net.tls_machine import TlsServer


def make_pair(folder: Path, *names: str, stem: str = "pair", rsa_key: bool = False, days: float = 30,
              common_name: str = "", bits: int = 2048) -> Files:  # fmt: skip
    """A self-signed certificate for ``names`` and its key, in files of their own below ``folder``; negative ``days``
    make it one that has expired."""
    folder.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(65537, bits) if rsa_key else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or names[0])])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    certificate = builder.sign(key, hashes.SHA256())
    files = Files(folder / f"{stem}.crt", folder / f"{stem}.key")
    files.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return files


def serial(der: bytes | None) -> int:
    """The serial number of a certificate as a client got it."""
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def serial_of(files: Files) -> int:
    """The serial number of the certificate in ``files``."""
    return x509.load_pem_x509_certificate(files.cert.read_bytes()).serial_number


def client_context(newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A client that trusts everybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    return context


class MemoryClient:
    """The other side of a TlsServer."""

    def __init__(self, context: ssl.SSLContext | None = None, *, name: str | None = None,
                 session: ssl.SSLSession | None = None) -> None:  # fmt: skip
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.context = context or client_context()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=session)
        self.is_done = False

    def step(self) -> bytes:
        """Goes on with the handshake; what it wants to write."""
        if not self.is_done:
            try:
                self.tls.do_handshake()
                self.is_done = True
            except ssl.SSLWantReadError:
                pass
        return self.outgoing.read()

    def shake(self, server: TlsServer) -> bytes:
        """The whole handshake; takes the tickets as well. Returns what ``server`` had to say in the last flight."""
        octets = b""
        while not (server.is_established and self.is_done):
            octets = self.step()
            if not server.is_established:
                server.handshake(octets)
            self.incoming.write(server.take_output())
        self.read()
        return octets

    def read(self) -> bytes:
        """What has come in."""
        found = b""
        try:
            while octets := self.tls.read(65536):
                found += octets
        except ssl.SSLWantReadError:
            pass
        return found

    def say(self, octets: bytes) -> bytes:
        """``octets`` as records."""
        self.tls.write(octets)
        return self.outgoing.read()

    @property
    def session(self) -> ssl.SSLSession:
        """What it has to show when it comes again."""
        assert self.tls.session is not None
        return self.tls.session


class SocketClient:
    """An SMTP client on a socket that speaks TLS when told to. Everything has a time limit."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def reply(self) -> list[str]:
        """One reply, all its lines; empty when the server has closed."""
        lines: list[str] = []
        while line := self._file.readline().decode("latin-1").rstrip("\r\n"):
            lines.append(line)
            if line[3:4] != "-":
                break
        return lines

    def say(self, *commands: str) -> list[str]:
        """Sends commands in one segment; the first reply."""
        self.socket.sendall("".join(f"{command}\r\n" for command in commands).encode())
        return self.reply()

    def secure(self, context: ssl.SSLContext | None = None, *, name: str | None = None,
               session: ssl.SSLSession | None = None) -> ssl.SSLSocket:  # fmt: skip
        """The handshake, now."""
        self._file.close()
        secured = (context or client_context()).wrap_socket(self.socket, server_hostname=name, session=session)
        self.socket = secured
        self._file = secured.makefile("rb")
        return secured

    def starttls(self, **options: ssl.SSLSession | str | ssl.SSLContext | None) -> ssl.SSLSocket:
        """Greeting, EHLO, STARTTLS, handshake, EHLO. (The last brings the tickets of TLS 1.3 along.)"""
        assert self.reply()[0].startswith("220 ")
        assert any(line.endswith("STARTTLS") for line in self.say("EHLO client.example"))
        assert self.say("STARTTLS") == ["220 2.0.0 Ready to start TLS"]
        secured = self.secure(**options)  # type: ignore[arg-type]
        assert self.say("EHLO client.example")[-1].startswith("250 ")
        return secured
