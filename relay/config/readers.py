"""The settings of people's sessions at their mailboxes; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.config.declare import setting
from relay.config.kinds import Duration, Flag, Many, Size, Text, Whole


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """People at their mailboxes: limits of IMAP and POP3 sessions."""

    max_connections: int = setting(
        Whole(1, 1_000_000),
        "Connections in all; each mailbox worker gets its share. Further ones are told so and closed.",
        default=20_000,
    )
    max_connections_per_client: int = setting(
        Whole(1, 1_000_000),
        "Connections from one IPv4 address or IPv6 /64, counted in each mailbox worker. One IMAP client has several, "
        "and an office has one address.",
        default=200,
    )
    login_timeout: float = setting(
        Duration("1s", "1h"), "Wait for the next command before somebody has logged in.", default="1m"
    )
    idle_timeout: float = setting(
        Duration("1s", "7d"),
        "Wait for the next command after that (RFC 9051 5.4: at least 30 minutes; RFC 1939 3: at least 10).",
        default="31m",
    )
    max_appended_size: int = setting(
        Size("1KiB", "2GiB"),
        "Largest message that a client may put into a mailbox; announced with APPENDLIMIT (RFC 7889).",
        default="100MiB",
    )
    hidden_capabilities: tuple[str, ...] = setting(
        Many(Text(may_be_empty=False, longest=200)),
        "IMAP capabilities that an account is not told of, for a client that cannot do with them: "
        '`"alice@example.org: QRESYNC COMPRESS=DEFLATE"`; `"*: ..."` is for every account.',
        default=[],
        example=["alice@example.org: QRESYNC"],
    )
    pop3_exclusive: bool = setting(
        Flag(),
        "Only one POP3 session at a time at a maildrop (RFC 1939 4); a second one is told [IN-USE]. Without, all are "
        "let in, and each sees the maildrop as it was when it came.",
        default=True,
    )
    threads: int = setting(Whole(1, 256), "Threads in each mailbox worker that wait for the disk.", default=8)
    threads_per_account: int = setting(
        Whole(1, 256),
        "How many of them work for one account at the same time, or, before a login, for one client's network; more "
        "wait their turn, and accounts take turns. Lost threads (see job_timeout) count.",
        default=4,
    )
    job_timeout: float = setting(
        Duration("1s", "1h"),
        "How long one piece of work for a session (a look into the store, a part of an answer; a second of a long "
        "SEARCH) may take, its wait for a thread included. Then it is stopped and the client is told; one that cannot "
        "be stopped is given up, and another thread takes the place of its own.",
        default="1m",
    )
