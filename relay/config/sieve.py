"""The settings of Sieve scripts; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from relay.config.declare import setting
from relay.config.kinds import Choice, FilePath, Size, Whole


@dataclass(frozen=True, slots=True)
class SieveSettings:
    """Sieve scripts (RFC 5228), which file, redirect and answer mail as it is delivered to a mailbox."""

    default_script: Path | None = setting(
        FilePath(),
        "The script of accounts that have no active one; read again when it changes. Not given: mail tagged as spam "
        "(`X-Spam-Flag: YES`, `X-Spam: yes`) goes to Junk. An empty file: everything goes to INBOX.",
        default=None,
        default_doc="not given",
        example="/etc/relay/default.sieve",
    )
    max_script_size: int = setting(Size("1KiB", "1MiB"), "Largest script of an account.", default="64KiB")
    max_scripts: int = setting(Whole(1, 1000), "Scripts that an account may store.", default=32)
    max_redirects: int = setting(Whole(0, 32), "Redirects of one message; with more, the message is kept.", default=4)
    redirects_per_day: int = setting(
        Whole(0, 8000), "Messages that one account may redirect in 24 hours; further ones are kept.", default=500
    )
    redirect_envelope_from: str = setting(
        Choice(("sender", "recipient")),
        "The reverse-path of redirected messages. `sender` leaves it as it was: who sent the message hears of it when "
        "it cannot be delivered, but next hops that check SPF may refuse it. `recipient` puts the account in its "
        "place, which then gets what comes back. A null reverse-path stays null.",
        default="sender",
    )
