"""Asks OpenSSL for what the ssl module of Python does not give: the channel binding tls-exporter (RFC 9266), and the
certificate that a client was shown."""

import ssl

def can_export() -> bool:
    """Whether tls_exporter() can be called."""

def served_certificate(connection: ssl.SSLObject) -> bytes | None:
    """The certificate (DER) that a full handshake has chosen for the client; None when that cannot be known."""

def tls_exporter(connection: ssl.SSLObject) -> bytes | None:
    """The channel binding of an established connection (RFC 9266 2), both sides' the same; None when this Python's
    OpenSSL cannot be reached."""
