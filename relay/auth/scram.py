"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): the server's side as a pure machine.

Theory: the password never crosses the wire. The account file holds two keys made from it: StoredKey checks the
client's proof, ServerKey proves to the client that we are who we say. PLUS ties the proof to this very TLS connection.

Invariants: an unknown account gets a salt like any other, always the same one for all spellings of a name, and fails
at the same point in the same way; a client that could have used PLUS and was kept from it is refused (the gs2 flag
``y``).

Not here: who may try how often (throttle.py), where the keys come from (accounts.py), randomness (passed in).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from relay.auth.plain import LONGEST_NAME
from relay.auth.saslprep import prepared
from relay.auth.steps import Accepted, Challenge, CheckProof, Login, Refused, Step, Trouble

NAME: Final = "SCRAM-SHA-256"
PLUS: Final = "SCRAM-SHA-256-PLUS"
FEWEST_ITERATIONS: Final = 4096
"""RFC 7677 4."""
SALT_OCTETS: Final = 16
_LONGEST_NONCE: Final = 512


class ScramKeys(NamedTuple):
    """What is kept of a password (RFC 5802 3)."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return f"ScramKeys(iterations={self.iterations})"


def make_keys(password: str, salt: bytes, iterations: int) -> ScramKeys:
    """The keys of ``password``; takes tens of milliseconds. Raises ValueError for a password SASLprep refuses."""
    octets = prepared(password, is_query=False).encode()
    salted = hashlib.pbkdf2_hmac("sha256", octets, salt, iterations)
    client_key = _mac(salted, b"Client Key")
    return ScramKeys(iterations, salt, hashlib.sha256(client_key).digest(), _mac(salted, b"Server Key"))


def decoy_keys(secret: bytes, key: str, iterations: Callable[[float], int]) -> ScramKeys:
    """Keys for an account that does not exist: no proof fits them, and they are always the same for one ``key``, which
    all spellings of a name share. ``iterations`` gives their number for a place from 0 to 1 that the name has drawn."""
    mark = hmac.digest(secret, b"salt " + key.encode(errors="surrogatepass"), "sha256")
    drawn = int.from_bytes(mark[SALT_OCTETS:]) / 256.0 ** (len(mark) - SALT_OCTETS)
    return ScramKeys(iterations(drawn), mark[:SALT_OCTETS], hmac.digest(secret, mark, "sha256"), b"")


def write_keys(keys: ScramKeys) -> str:
    """As RFC 5803 writes them: ``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey``."""
    salt, stored, server = (base64.b64encode(octets).decode() for octets in keys[1:])
    return f"{NAME}${keys.iterations}:{salt}${stored}:{server}"


def read_keys(text: str) -> ScramKeys:
    """The keys that ``text`` stands for. Raises ValueError."""
    try:
        scheme, setup, keys = text.split("$")
        iterations, salt = setup.split(":")
        stored, server = keys.split(":")
        found = ScramKeys(int(iterations), *(base64.b64decode(part, validate=True) for part in (salt, stored, server)))
    except (ValueError, binascii.Error) as fault:
        raise ValueError("not SCRAM keys") from fault
    if scheme != NAME or found.iterations < FEWEST_ITERATIONS or not found.salt:
        raise ValueError("not SCRAM keys")
    if len(found.stored_key) != 32 or len(found.server_key) != 32:
        raise ValueError("SCRAM keys of a wrong length")
    return found


KeysOf = Callable[[str], ScramKeys]
"""The keys for a name; for an unknown one decoy_keys()."""


class Scram:
    """One exchange. ``bindings`` are the channel bindings of the TLS connection by name; empty: there is none."""

    def __init__(self, *, is_plus: bool, keys_of: KeysOf, bindings: Mapping[str, bytes], nonce: str) -> None:
        self.mechanism: Final = PLUS if is_plus else NAME
        self._keys_of = keys_of
        self._bindings = bindings
        self._nonce = nonce
        self.name = ""
        self.stage = "mechanism"
        self._keys = ScramKeys(0, b"", b"", b"")
        self._gs2 = b""
        self._signed = b""
        self._final = b""
        self._binding = b""
        self._account = ""
        self._next: Callable[[bytes], Step] = self._first

    def start(self, initial: bytes | None) -> Step:
        """The client speaks first (RFC 5802 5); without an initial response it is asked to."""
        return Challenge(b"") if initial is None else self.answer(initial)

    def answer(self, response: bytes) -> Step:
        """What follows from the client's next message."""
        try:
            return self._next(response)
        except (ValueError, KeyError, binascii.Error):
            return Refused(Trouble.MALFORMED)

    def checked(self, login: Login) -> Step:
        """Goes on after CheckProof."""
        if login.trouble is not None:
            return Refused(login.trouble)
        self._account = login.account
        self.stage = "verified"
        self._next = self._last
        return Challenge(self._final)

    def _first(self, message: bytes) -> Step:
        """client-first-message (RFC 5802 7)."""
        flag, authorization, bare = message.split(b",", 2)
        trouble = self._read_flag(flag)
        if trouble is not None:
            return Refused(trouble)
        self._gs2 = message[: len(message) - len(bare)]
        if bare.startswith(b"m="):
            return Refused(Trouble.MALFORMED)  # an extension that must be understood; there are none
        name, nonce, *_ = bare.split(b",")
        if not name.startswith(b"n=") or not nonce.startswith(b"r="):
            return Refused(Trouble.MALFORMED)
        self.name = _name(name[2:])
        if authorization and (not authorization.startswith(b"a=") or not _same(_name(authorization[2:]), self.name)):
            return Refused(Trouble.AUTHORIZATION)
        if not _is_nonce(nonce[2:]):
            return Refused(Trouble.MALFORMED)
        self._keys = self._keys_of(self.name)
        self.stage = "challenge"
        self._nonce = nonce[2:].decode() + self._nonce
        salt = base64.b64encode(self._keys.salt).decode()
        first = f"r={self._nonce},s={salt},i={self._keys.iterations}".encode()
        self._signed = bare + b"," + first
        self._next = self._proof
        return Challenge(first)

    def _read_flag(self, flag: bytes) -> Trouble | None:
        """gs2-cbind-flag: which channel binding the client uses, or why none."""
        if flag.startswith(b"p="):
            kind = flag[2:].decode("ascii")
            if self.mechanism != PLUS or kind not in self._bindings:
                return Trouble.CHANNEL_BINDING
            self._binding = self._bindings[kind]
            return None
        if flag not in {b"n", b"y"}:
            return Trouble.MALFORMED
        # "y": the client can, and believes that we cannot. When we offered it, somebody has taken that out.
        is_downgrade = flag == b"y" and bool(self._bindings)
        return Trouble.CHANNEL_BINDING if self.mechanism == PLUS or is_downgrade else None

    def _proof(self, message: bytes) -> Step:
        """client-final-message."""
        without_proof, _, proof = message.rpartition(b",p=")
        binding, nonce, *_ = without_proof.split(b",")
        if not binding.startswith(b"c=") or not nonce.startswith(b"r="):
            return Refused(Trouble.MALFORMED)
        if base64.b64decode(binding[2:], validate=True) != self._gs2 + self._binding:
            return Refused(Trouble.CHANNEL_BINDING)
        if nonce[2:] != self._nonce.encode():
            return Refused(Trouble.MALFORMED)
        signed = self._signed + b"," + without_proof
        is_right = _is_proof(base64.b64decode(proof, validate=True), self._keys.stored_key, signed)
        self._final = b"v=" + base64.b64encode(_mac(self._keys.server_key, signed))
        return CheckProof(self.name, is_right and bool(self._keys.server_key), self.mechanism)

    def _last(self, message: bytes) -> Step:
        """The client has seen that we are who we say, and has nothing to add."""
        return Refused(Trouble.MALFORMED) if message else Accepted(self._account)


def _is_proof(proof: bytes, stored_key: bytes, signed: bytes) -> bool:
    signature = _mac(stored_key, signed)
    if len(proof) != len(signature):
        return False
    client_key = bytes(left ^ right for left, right in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key)


def _name(octets: bytes) -> str:
    """A saslname: ``=2C`` is a comma, ``=3D`` an equals sign, and no other ``=`` may be there."""
    if len(octets) > LONGEST_NAME:
        raise ValueError("too long")
    text = octets.decode()
    if "=" in text.replace("=2C", "").replace("=3D", "") or not text:
        raise ValueError("not a saslname")
    return prepared(text.replace("=2C", ",").replace("=3D", "="))


def _is_nonce(octets: bytes) -> bool:
    return 0 < len(octets) <= _LONGEST_NONCE and all(0x21 <= octet <= 0x7E and octet != 0x2C for octet in octets)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _mac(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, "sha256")
