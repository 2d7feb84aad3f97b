"""The kinds of processes there are, as the supervisor wants them."""

from __future__ import annotations

from typing import Final

from relay.config.model import Config
from relay.net.listeners import Endpoint
from relay.workers import admin, delivery, smtp
from relay.workers.process import Role


def _mail_endpoints(config: Config) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(each.name, each.address, each.port) for each in config.listeners)


def _admin_endpoints(config: Config) -> tuple[Endpoint, ...]:
    return (Endpoint(admin.LISTENER, config.admin.address, config.admin.port),)


ROLES: Final = (
    Role("smtp", smtp.run, lambda config: config.workers.smtp, _mail_endpoints),
    Role("delivery", delivery.run, lambda config: config.workers.delivery, lambda _: (), is_exclusive=True),
    Role("admin", admin.run, lambda _: 1, _admin_endpoints),
)
