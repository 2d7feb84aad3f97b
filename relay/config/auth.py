"""The settings of logging in; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.config.declare import setting
from relay.config.kinds import Choice, Duration, Whole


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Logging in, over whatever protocol. Every process counts for itself."""

    senders: str = setting(
        Choice(("own", "sender", "any")),
        "Whom an account may write as: `own` allows its own address and its sub-addresses, as reverse-path, in From "
        "and in Sender (550 5.7.1 otherwise); `sender` allows every From of a message whose Sender field is its own "
        "(RFC 5322 3.6.2: an assistant writes for somebody); `any` allows everything. In a message that is sent again "
        '("bounce" or "redirect" of mail programs) Resent-Sender or else Resent-From is judged in their place.',
        default="own",
    )
    scram_iterations: int = setting(
        Whole(4096, 10_000_000),
        "Iterations of PBKDF2 in the keys for SCRAM. More make guesses harder for a thief of the account file, but "
        "clients refuse what is too much: Cyrus SASL (mbsync, mutt, Cyrus itself) everything above 65536. An account "
        "with another number gets new keys when it next logs in with its password (PLAIN, LOGIN, USER and PASS).",
        default=65_536,
    )
    threads: int = setting(
        Whole(1, 64),
        "Passwords that one process checks at the same time. Each takes 64 MiB while it is checked.",
        default=2,
    )
    remember: float = setting(
        Duration("1s", "1d", zero="always check"),
        "A login that was right is not computed again for so long when it comes from the same IPv4 address or IPv6 "
        "/64. A changed password counts at once.",
        default="10m",
    )
    remember_limit: int = setting(
        Whole(1, 1_000_000), "Logins that one process remembers; then the oldest are forgotten.", default=10_000
    )
    failure_window: float = setting(
        Duration("1m", "1d"), "How long failures count: `max_failures` of them leak away in this time.", default="10m"
    )
    max_failures: int = setting(
        Whole(5, 10_000),
        "Failed logins from one IPv4 address or IPv6 /64; further ones are not looked at, and are told to come later.",
        default=50,
    )
    longest_delay: float = setting(
        Duration("0s", "1m"),
        "Each failure after the third doubles the wait before the next try from there, or at that account from "
        "somewhere that has not logged in to it before, up to this.",
        default="8s",
    )
