"""The settings of handing mail to the next hop; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.config.declare import setting
from relay.config.kinds import Duration, Endpoint, Flag, IpAddress, Many, Server, Whole


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """Handing mail to the next hop. The timeouts are those of RFC 5321 4.5.3.2."""

    max_connections: int = setting(
        Whole(1, 100_000), "Connections out, in all; each delivery worker gets its share.", default=1000
    )
    per_destination: int = setting(Whole(1, 10_000), "Connections to one next hop at the same time.", default=20)
    connection_reuse: int = setting(
        Whole(1, 1_000_000), "Messages sent over one connection before it is closed.", default=1000
    )
    idle_timeout: float = setting(
        Duration("0s", "5m"), "How long a connection is kept open with nothing to send.", default="5s"
    )
    connect_timeout: float = setting(Duration("100ms", "10m"), "Wait for one address to accept.", default="30s")
    helo_timeout: float = setting(Duration("100ms", "1h"), "Wait for the greeting, and for EHLO.", default="5m")
    mail_timeout: float = setting(Duration("100ms", "1h"), "Wait for the reply to MAIL.", default="5m")
    rcpt_timeout: float = setting(Duration("100ms", "1h"), "Wait for the reply to RCPT.", default="5m")
    data_timeout: float = setting(Duration("100ms", "1h"), "Wait for the reply to DATA.", default="2m")
    content_timeout: float = setting(Duration("100ms", "1h"), "Wait until more content can be written.", default="3m")
    reply_timeout: float = setting(Duration("100ms", "1h"), "Wait for the reply to the final dot.", default="10m")
    local_timeout: float = setting(
        Duration("1s", "1h"),
        "How long the script of one account may take with one message, and what else is done before the message is "
        "written. A delivery that takes longer is given up and tried again later; after the second time the message is "
        "held (relay queue release).",
        default="30s",
    )
    chunking: bool = setting(
        Flag(),
        "Send several messages at once (CHUNKING) to next hops that offer it; off: always DATA.",
        default=True,
    )
    source_address: str = setting(
        IpAddress(may_be_empty=True), "Local address of connections out. Empty: the system chooses.", default=""
    )
    mx_port: int = setting(Whole(1, 65535), "Port of hosts found by MX lookup (for tests).", default=25)
    dns_servers: tuple[Endpoint, ...] = setting(
        Many(Server(53)), "Resolvers to ask. Empty: those of /etc/resolv.conf.", default=[]
    )
    dns_timeout: float = setting(Duration("100ms", "2m"), "Wait for one DNS answer, all tries together.", default="10s")
    dns_cache_size: int = setting(Whole(1, 10_000_000), "DNS answers that one delivery worker keeps.", default=10_000)
