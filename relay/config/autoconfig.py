"""The settings of the public HTTP port; part of the model (relay/config/model.py)."""

from __future__ import annotations

from dataclasses import dataclass

from relay.config.declare import setting
from relay.config.kinds import Flag, IpAddress, Whole


@dataclass(frozen=True, slots=True)
class AutoconfigSettings:
    """A port for everybody that tells mail programs their settings, and nothing else."""

    address: str = setting(
        IpAddress(may_be_empty=True),
        "Where it listens. Empty: nowhere. Names `autoconfig.DOMAIN` and `autodiscover.DOMAIN` must lead there (see "
        "`relay dns DOMAIN`), on ports 80 and 443, which may be those of a proxy.",
        default="",
    )
    port: int = setting(Whole(0, 65535), "TCP port; 0 takes any free one (for tests).", default=8080)
    tls: bool = setting(Flag(), "Begin with TLS, with the certificates of `[[certificate]]`.", default=False)
