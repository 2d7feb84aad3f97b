"""Versions and ciphers by purpose: what a context may agree on (docs/adr/0005-tls.md).

Theory: between mail servers whatever is encrypted beats clear text, since the other side falls back to it and checks
nothing anyway (RFC 7435); people and programs that log in can choose a better client, so there a weak one is refused.

Not here: certificates (certificates.py), which listener has which profile (relay/config).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Final

MODERN: Final = "modern"
INTERMEDIATE: Final = "intermediate"
OPPORTUNISTIC: Final = "opportunistic"

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
"""By what the configuration calls them."""

_AEAD: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_MOZILLA: Final = f"{_AEAD}:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
CIPHERS: Final = {
    MODERN: _AEAD,
    INTERMEDIATE: _MOZILLA,
    OPPORTUNISTIC: f"{_AEAD}:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:HIGH"
    ":!aNULL:!eNULL:!PSK:!SRP:!aDSS:@SECLEVEL=2",
}
"""For TLS 1.2, best first: forward secrecy with authenticated encryption (RFC 9325 4.2); Mozilla's list; all that
OpenSSL's security level 2 allows. TLS 1.3 has nothing weak."""

FFDHE2048: Final = b"""-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
"""The group for DHE (RFC 7919 A.1); nobody has to make one."""


class Context(ssl.SSLContext):
    """A server's context that knows the channel bindings of its certificates."""

    end_points: Mapping[bytes, bytes] = {}
    """tls-server-end-point (RFC 5929 4.1) by certificate (DER)."""


def make_context(profile: str) -> Context:
    """A server's context with what is the same for all connections of ``profile``, and no certificate."""
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS[profile])
    # A client could make us shake hands over and over inside one connection (TLS 1.2).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION
    if profile != MODERN:
        _set_dh_group(context)
    return context


def make_client_context(min_version: str = "1.2") -> ssl.SSLContext:
    """A client's context that checks nothing; ``min_version`` is a key of VERSIONS.

    Ciphers are those of the profile ``opportunistic`` under every policy: OpenSSL's security level 2, best first.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = VERSIONS[min_version]
    context.set_ciphers(CIPHERS[OPPORTUNISTIC])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _set_dh_group(context: ssl.SSLContext) -> None:
    inner = os.memfd_create("group", os.MFD_CLOEXEC)
    try:
        os.write(inner, FFDHE2048)
        context.load_dh_params(f"/proc/self/fd/{inner}")
    finally:
        os.close(inner)
