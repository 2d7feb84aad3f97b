"""Who may log in, and how: the account file, the SASL mechanisms, the Authenticator.

How a session uses it::

    names = offered(is_secure=..., allows_plaintext=..., has_bindings=bool(bindings))   # what to announce
    exchange = authenticator.exchange("PLAIN", bindings)                # None: no such mechanism
    step = exchange.start(initial)                                      # bytes behind the name, or None
    while True:
        match step:
            case Challenge(octets): step = exchange.answer(<the client's line after we said octets>)
            case CheckPassword() | CheckProof(): step = exchange.checked(await authenticator.check(step, client))
            case Accepted(account): ...
            case Refused(trouble): ...                                  # trouble in TEMPORARY: "try again later"

    login = await authenticator.password(name, password, client)        # IMAP LOGIN, POP3 USER and PASS

An exchange that is Refused before there was a check, or whose client goes away while we wait for its line
(``Trouble.ABANDONED``), is counted with ``authenticator.not_completed(trouble, client, exchange)``.

The parts, each on top of the ones before: ``saslprep``, ``steps``, ``scram``, ``plain``, ``exchange`` (pure);
``entries``, ``sources`` (the interface), ``accounts`` (the file); ``throttle``, ``login_cache`` (pure);
``authenticator``.
"""

from relay.auth.accounts import AccountFile
from relay.auth.authenticator import Authenticator, Client
from relay.auth.entries import Account, AppPassword
from relay.auth.exchange import LONGEST_LINE, Exchange, offered
from relay.auth.sources import AccountError, AccountList, AccountSource
from relay.auth.steps import (
    TEMPORARY,
    Accepted,
    Challenge,
    Check,
    CheckPassword,
    CheckProof,
    Login,
    Refused,
    Step,
    Trouble,
)

__all__ = [
    "LONGEST_LINE",
    "TEMPORARY",
    "Accepted",
    "Account",
    "AccountError",
    "AccountFile",
    "AccountList",
    "AccountSource",
    "AppPassword",
    "Authenticator",
    "Challenge",
    "Check",
    "CheckPassword",
    "CheckProof",
    "Client",
    "Exchange",
    "Login",
    "Refused",
    "Step",
    "Trouble",
    "offered",
]
