"""The settings of taking mail in; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.config.declare import setting
from relay.config.kinds import Choice, Duration, Flag, Size, Text, Whole

_OF_WORKER = "the worker has one for the sessions of all its listeners"


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Taking mail in: limits of a session. Each limit answers with the reply RFC 5321 has for it."""

    banner: str = setting(Text(longest=200), "Text of the greeting after the host name.", default="ESMTP Relay")
    banner_delay: float = setting(
        Duration("0s", "1m"),
        "How long the greeting is held back. Who talks before it (RFC 5321 4.3.1) is no mail server: 554 5.5.1.",
        default="0s",
    )
    early_talk: str = setting(
        Choice(("nobody", "trusted", "everybody")),
        "Who may talk on without waiting for a reply that has to be waited for: before the greeting of an `mx` "
        "listener (RFC 5321 4.3.1), behind HELO, EHLO or DATA (RFC 2920 3.1). A program that was tricked into "
        "sending us text talks so. Anybody else is told 554 5.5.1 and the session ends. `trusted`: clients in "
        "`trusted_networks`.",
        default="nobody",
    )
    strict_helo: bool = setting(
        Flag(),
        "At an `mx` listener HELO and EHLO must name a domain or an address literal (RFC 5321 4.1.1.1), or 501 5.5.4. "
        "At a submission listener, and from `trusted_networks`, whatever a phone or a printer says is taken.",
        default=True,
    )
    lenient_addresses: bool = setting(
        Flag(),
        "Take addresses as they are that RFC 5321 4.1.2 does not know but large providers have: `a..b@example.org`, "
        "`a.@example.org`, and a domain with a dot at its end.",
        default=True,
    )
    recipient_delimiter: str = setting(
        Text(longest=1),
        "Begins the tag of a sub-address (RFC 5233): `user+tag` is delivered to `user`. Empty: no sub-addresses.",
        default="+",
        shared="an address means the same whatever way it comes",
    )
    max_message_size: int = setting(
        Size("1KiB", "2GiB"), "Largest content; announced with SIZE (RFC 1870). More is refused with 552 5.3.4.",
        default="25MiB",
    )  # fmt: skip
    max_recipients: int = setting(
        Whole(1, 100_000), "Recipients per transaction (RFC 5321 4.5.3.1.8: at least 100). More get 452 4.5.3.",
        default=1000,
    )  # fmt: skip
    max_line: int = setting(
        Whole(512, 65_536), "Octets of a command line with its CRLF (RFC 5321 4.5.3.1.4: at least 512).", default=2048
    )
    max_content_line: int = setting(
        Size("998B", "1GiB", zero="no limit"),
        "Octets of a line of content. RFC 5321 4.5.3.1.6 allows 998; real mail has longer ones, so only far longer "
        "lines are refused with 554 5.6.0.",
        default="64KiB",
    )
    max_commands: int = setting(Whole(10, 100_000_000), "Commands per session; then 421 4.7.0.", default=100_000)
    max_errors: int = setting(Whole(1, 100_000), "Commands per session that may fail; then 421 4.7.0.", default=20)
    max_connections: int = setting(
        Whole(1, 1_000_000),
        "Connections in all; each smtp worker gets its share. Further ones are greeted with 421 4.3.2.",
        default=20_000,
        shared=_OF_WORKER,
    )
    max_connections_per_client: int = setting(
        Whole(1, 1_000_000),
        "Connections from one IPv4 address or IPv6 /64, counted in each smtp worker, those to all listeners together; "
        "then 421 4.7.0.",
        default=100,
    )
    command_timeout: float = setting(
        Duration("1s", "1h"), "Wait for the next command (RFC 5321 4.5.3.2.7: 5 minutes); then 421 4.4.2.", default="5m"
    )
    data_timeout: float = setting(
        Duration("1s", "1h"), "Wait for more content (RFC 5321 4.5.3.2.5: 3 minutes); then 421 4.4.2.", default="3m"
    )
    min_data_rate: int = setting(
        Size("1B", "1GiB", zero="no minimum"),
        "Content must come in at least at so many octets a second on the average; then 421 4.4.2.",
        default="100B",
    )
    data_rate_grace: float = setting(
        Duration("1s", "1h"), "How long content may come in before `min_data_rate` counts.", default="30s"
    )
    session_timeout: float = setting(
        Duration("1s", "7d"), "Longest session; then 421 4.4.2, between transactions as far as possible.", default="1h"
    )
    max_hops: int = setting(
        Whole(1, 1000), "A message with more Received fields is in a loop: 554 5.4.6 (RFC 5321 6.3).", default=100
    )
    large_content: int = setting(
        Size("64KiB", "1GiB"),
        "Content above this goes to a file of its own while it comes in.",
        default="2MiB",
        shared="the spool and all workers agree on it",
    )
    memory_budget: int = setting(
        Size("16MiB", "64GiB"),
        "Octets of content that one smtp worker holds in memory; above half of it, contents of more than 256 KiB go to "
        "files, above it all that can.",
        default="128MiB",
        shared=_OF_WORKER,
    )
