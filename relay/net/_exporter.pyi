"""Asks OpenSSL for the channel binding tls-exporter (RFC 9266), which the ssl module of Python does not."""

import ssl

def can_export() -> bool:
    """Whether tls_exporter() can tell."""

def tls_exporter(connection: ssl.SSLObject) -> bytes | None:
    """The channel binding of an established connection (RFC 9266 2), both sides' the same; None when this Python's
    OpenSSL cannot be reached."""
