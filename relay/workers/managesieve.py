"""Makes ManageSieve sessions for a mailbox worker: joins the machine, the accounts and the scripts on disk."""

from __future__ import annotations

from collections.abc import Callable

from relay import managesieve
from relay.auth import Authenticator, Client
from relay.config.model import Config, Listener
from relay.mailbox.maildir import folder_of
from relay.mailbox.scripts import Quota, Scripts
from relay.readers.listening import Listening
from relay.readers.login_policy import LoginPolicy
from relay.readers.machine import Machine
from relay.workers.port_hints import directions


def maker(config: Config, authenticator: Authenticator, listener: Listener) -> Callable[[Listening, str, str], Machine]:
    """What makes the machine for a connection: of the listener, the client's address and the session's id."""
    limits = managesieve.Limits(
        config.hostname,
        config.readers.login_timeout,
        config.readers.idle_timeout,
        config.sieve.max_script_size,
        config.sieve.max_redirects,
        directions(config.listeners),
    )
    quota = Quota(config.sieve.max_scripts, config.sieve.max_script_size)

    def scripts(account: str) -> Scripts:
        return Scripts(folder_of(config.mail_dir, account.encode()), quota)

    def make(listening: Listening, client: str, session_id: str) -> Machine:
        return managesieve.Session(
            limits,
            LoginPolicy(
                authenticator,
                Client(client, "managesieve", listening.name, session_id),
                offers_tls=listening.tls is not None and not listening.is_implicit,
                allows_plaintext=listener.plaintext_login,
            ),
            scripts,
        )

    return make
