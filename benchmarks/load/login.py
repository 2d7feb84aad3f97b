"""The client's side of AUTH: one small machine for each mechanism, octets in, octets out.

PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), SCRAM-SHA-256 (RFC 5802, 7677; without channel binding, and with
names and passwords in ASCII). The load generator makes one for each connection; SCRAM's salted password, which is slow
on purpose, is kept between them, as a mail program keeps it.

Not here: base64 and reply codes (_smtp_opening.pyx).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from functools import lru_cache
from typing import Final, Protocol


class LoginError(Exception):
    """The server said something that the mechanism does not allow."""


class Login(Protocol):
    """``initial`` goes with AUTH (None: the server asks first); ``answer`` to each challenge."""

    initial: bytes | None

    def answer(self, challenge: bytes) -> bytes:
        """The response to a challenge; LoginError when there is none."""
        ...


class Plain:
    """Name and password in one response."""

    def __init__(self, name: str, password: str) -> None:
        self.initial = f"\0{name}\0{password}".encode()

    def answer(self, challenge: bytes) -> bytes:
        """Nothing is left to say."""
        raise LoginError(f"a challenge after everything was said: {challenge[:60]!r}")


class AskedLogin:
    """LOGIN: the server asks for the name, then for the password."""

    initial = None

    def __init__(self, name: str, password: str) -> None:
        self._left = [password.encode(), name.encode()]

    def answer(self, _challenge: bytes) -> bytes:
        """The name, then the password, whatever the questions are."""
        if not self._left:
            raise LoginError("a third question")
        return self._left.pop()


class Scram:
    """SCRAM-SHA-256; the server has to show that it knows the password, too."""

    def __init__(self, name: str, password: str, nonce: str = "") -> None:
        self._password = password.encode()
        self._nonce = nonce or secrets.token_urlsafe(18)
        self._bare = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={self._nonce}".encode()
        self._proven = b""
        self.initial = b"n,," + self._bare

    def answer(self, challenge: bytes) -> bytes:
        """The proof; then nothing, when the server's own is right."""
        if not self._proven:
            return self._proof(challenge)
        if not hmac.compare_digest(challenge, self._proven):
            raise LoginError("the server does not know the password")
        return b""

    def _proof(self, challenge: bytes) -> bytes:
        fields = dict(part.split(b"=", 1) for part in challenge.split(b",") if b"=" in part)
        try:
            nonce, salt, rounds = fields[b"r"], base64.b64decode(fields[b"s"], validate=True), int(fields[b"i"])
        except (KeyError, ValueError, binascii.Error):
            raise LoginError(f"not a challenge of SCRAM: {challenge[:60]!r}") from None
        if not nonce.startswith(self._nonce.encode()) or not 1 <= rounds <= _MOST_ROUNDS:
            raise LoginError("a nonce or a count of rounds that cannot be")
        salted = _salted(self._password, salt, rounds)
        client_key = _mac(salted, b"Client Key")
        final = b"c=biws,r=" + nonce
        signed = b",".join((self._bare, challenge, final))
        signature = _mac(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._proven = b"v=" + base64.b64encode(_mac(_mac(salted, b"Server Key"), signed))
        return final + b",p=" + base64.b64encode(proof)


MECHANISMS: Final[dict[str, type[Plain | AskedLogin | Scram]]] = {
    "plain": Plain,
    "login": AskedLogin,
    "scram-sha-256": Scram,
}
_MOST_ROUNDS: Final = 1_000_000


@lru_cache(1000)
def _salted(password: bytes, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password, salt, rounds)


def _mac(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, "sha256")
