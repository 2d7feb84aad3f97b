"""Makes ManageSieve sessions for a mailbox worker: joins the machine, the accounts and the scripts on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relay import managesieve
from relay.auth import Authenticator, Check, Client, Exchange, Login, Trouble
from relay.config.model import Config
from relay.mailbox.maildir import folder_of
from relay.mailbox.scripts import Quota, Scripts
from relay.net.dialogue import Listening
from relay.net.machine import Machine


class Door:
    """The worker's Authenticator for one connection (relay.managesieve.session.Door)."""

    def __init__(self, authenticator: Authenticator, client: Client) -> None:
        self._authenticator = authenticator
        self._client = client

    def exchange(self, mechanism: str, bindings: Mapping[str, bytes]) -> Exchange | None:
        return self._authenticator.exchange(mechanism, bindings)

    async def check(self, check: Check) -> Login:
        return await self._authenticator.check(check, self._client)

    def came_to_nothing(self, trouble: Trouble) -> object:
        return self._authenticator.came_to_nothing(trouble, self._client)


def maker(config: Config, authenticator: Authenticator) -> Callable[[Listening, str], Machine]:
    """What makes the machine for a connection of a listener and the client's address."""
    limits = managesieve.Limits(
        config.hostname,
        config.readers.login_timeout,
        config.readers.idle_timeout,
        config.sieve.max_script_size,
        config.sieve.max_redirects,
    )
    quota = Quota(config.sieve.max_scripts, config.sieve.max_script_size)
    in_the_clear = {each.name for each in config.reader_listeners if each.plaintext_login}

    def scripts(account: str) -> Scripts:
        return Scripts(folder_of(config.mail_dir, account.encode()), quota)

    def make(listening: Listening, client: str) -> Machine:
        return managesieve.Session(
            limits,
            Door(authenticator, Client(client, "managesieve", listening.name, "")),
            scripts,
            offers_tls=listening.tls is not None and not listening.is_implicit,
            allows_plaintext=listening.name in in_the_clear,
        )

    return make
