"""The kinds of processes there are, as the supervisor wants them."""

from __future__ import annotations

from typing import Final

from relay.config.model import Config, Listener
from relay.net.listeners import Endpoint
from relay.workers import admin, delivery, mailbox, smtp
from relay.workers.process import Role


def _endpoints(listeners: tuple[Listener, ...]) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(each.name, each.address, each.port) for each in listeners)


def _mailbox_slots(config: Config) -> int:
    return config.workers.mailbox if config.reader_listeners else 0


def _admin_endpoints(config: Config) -> tuple[Endpoint, ...]:
    public = config.autoconfig
    endpoints = (Endpoint(admin.LISTENER, config.admin.address, config.admin.port),)
    if not public.address:
        return endpoints
    return (*endpoints, Endpoint(admin.PUBLIC_LISTENER, public.address, public.port))


ROLES: Final = (
    Role(
        "smtp",
        smtp.run,
        lambda config: config.workers.smtp,
        lambda config: _endpoints(config.smtp_listeners),
        keeps_sessions=True,
    ),
    Role(
        "mailbox", mailbox.run, _mailbox_slots, lambda config: _endpoints(config.reader_listeners), keeps_sessions=True
    ),
    Role("delivery", delivery.run, lambda config: config.workers.delivery, lambda _: (), is_exclusive=True),
    Role("admin", admin.run, lambda _: 1, _admin_endpoints),
)
