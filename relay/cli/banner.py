"""What ``relay serve`` prints when it is ready: what listens, and for the demo three things to try.

A pure function of the configuration and of what is installed, so that a test can run what it prints.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final, NamedTuple

import relay
from relay.cli.check import show_endpoint
from relay.config import Config
from relay.config.demo import DEMO_ACCOUNT, DEMO_DOMAIN, DEMO_RELAY_DOMAIN
from relay.mail.next_hop import NextHop

Bound = Mapping[str, tuple[str, int]]
"""By the listener's name: the address and port in use."""
_PROTOCOLS: Final = {"mx": "SMTP", "submission": "SMTP", "imap": "IMAP", "pop3": "POP3", "managesieve": "SIEVE"}
_SENDER: Final = "you@example.org"
_MESSAGE: Final = r"Subject: hello\r\n\r\nHello.\r\n"


class Surroundings(NamedTuple):
    """What the text depends on besides the configuration."""

    programs: frozenset[str]
    """Which of swaks, curl and smtp-sink are installed."""
    python: str
    """The interpreter, as it can be typed."""
    relay: str
    """The relay command, as it can be typed."""
    password_file: str = ""
    """Where the demo account's generated password is."""
    is_root: bool = False


def banner(config: Config, bound: Bound, source: str, *, is_demo: bool, surroundings: Surroundings) -> str:
    """What is listening and where everything is; for the demo what to try as well. ``source`` names the
    configuration, ``bound`` the ports in use where they are not those of the configuration."""
    listeners = [
        f"  {_PROTOCOLS[each.kind]:<6} {_place(bound, each.name, each.address, each.port):<22} {each.name}"
        + (", begins with TLS" if each.tls == "implicit" else "")
        for each in config.listeners
    ]
    admin = _place(bound, "admin", config.admin.address, config.admin.port)
    lines = [
        f"Relay {relay.__version__} is ready ({source}).",
        "",
        *listeners,
        f"  HTTP   {admin:<22} /metrics /livez /readyz",
        f"  data   {config.data_dir}",
    ]
    if is_demo:
        lines += ["", *_demo(config, bound, surroundings)]
    return "\n".join(lines) + "\n"


def _place(bound: Bound, name: str, address: str, port: int) -> str:
    return show_endpoint(*bound.get(name, (address, port)))


def _demo(config: Config, bound: Bound, surroundings: Surroundings) -> list[str]:
    mailbox = config.mail_dir / DEMO_DOMAIN / DEMO_ACCOUNT.partition("@")[0] / "new"
    metrics = f"http://{_place(bound, 'admin', config.admin.address, config.admin.port)}/metrics"
    next_hop = config.relay_domains[0].next_hop
    first = config.smtp_listeners[0]
    submission = next(each for each in config.smtp_listeners if each.kind == "submission" and each.tls == "starttls")
    imap = next(each for each in config.reader_listeners if each.kind == "imap" and each.tls != "implicit")
    server = bound.get(first.name, (first.address, first.port))
    return [
        f"  The account {DEMO_ACCOUNT} has a generated password: see {surroundings.password_file}",
        f"  Mail for {DEMO_RELAY_DOMAIN} is handed to {next_hop}. {_receiver(next_hop, surroundings)}",
        "",
        "Try from another terminal, in this folder:",
        "",
        f"  1. A message to the demo account. It arrives in {shlex.quote(str(mailbox))}",
        f"     {_send(server, DEMO_ACCOUNT, surroundings)}",
        "",
        "  Read it:",
        f"     {_read(bound.get(imap.name, (imap.address, imap.port)), surroundings)}",
        "",
        "  2. Log in and send a message to the relay domain, and see what waits in the queue:",
        f"     {_submit(bound.get(submission.name, (submission.address, submission.port)), surroundings)}",
        f"     {surroundings.relay} queue list",
        "",
        "  3. What Relay counts:",
        f"     {_fetch(metrics, surroundings)}",
        "",
        "Stop with Ctrl-C.",
    ]


def _receiver(next_hop: NextHop, surroundings: Surroundings) -> str:
    if "smtp-sink" in surroundings.programs:
        user = "-u nobody " if surroundings.is_root else ""  # it refuses to run as root
        return f"Receive it with:\n  smtp-sink {user}-c {show_endpoint(next_hop.host, next_hop.port)} 100"
    return "While nothing\n  receives there, it waits in the queue and is tried again."


def _send(server: tuple[str, int], recipient: str, surroundings: Surroundings) -> str:
    """A command that sends a message, with the best tool there is."""
    address, port = server
    if "swaks" in surroundings.programs:
        return f"swaks --server {address} --port {port} --from {_SENDER} --to {recipient} --header 'Subject: hello'"
    if "curl" in surroundings.programs:
        url = f"smtp://{show_endpoint(address, port)}"
        return (
            f"printf '{_MESSAGE}' | curl -sS --url {url} --mail-from {_SENDER} --mail-rcpt {recipient} --upload-file -"
        )
    program = f"import smtplib; smtplib.SMTP('{address}', {port}).sendmail('{_SENDER}', ['{recipient}'], '{_MESSAGE}')"
    return f'{surroundings.python} -c "{program}"'


def _submit(server: tuple[str, int], surroundings: Surroundings) -> str:
    """A command that logs in as the demo account and sends a message to the relay domain."""
    address, port = server
    recipient = f"someone@{DEMO_RELAY_DOMAIN}"
    password = f'"$(cat {shlex.quote(surroundings.password_file)})"'
    if "swaks" in surroundings.programs:
        return (
            f"swaks --server {address} --port {port} --tls --auth --auth-user {DEMO_ACCOUNT} "
            f"--auth-password {password} --from {DEMO_ACCOUNT} --to {recipient} --header 'Subject: hello'"
        )
    if "curl" in surroundings.programs:
        return (
            f"printf 'From: {DEMO_ACCOUNT}\\r\\n{_MESSAGE}' | curl -sSk --ssl-reqd --url "
            f"smtp://{show_endpoint(address, port)} --user {DEMO_ACCOUNT}:{password} --mail-from {DEMO_ACCOUNT} "
            f"--mail-rcpt {recipient} --upload-file -"
        )
    program = (
        f"import smtplib; s = smtplib.SMTP('{address}', {port}); s.starttls(); "
        f"s.login('{DEMO_ACCOUNT}', open('{surroundings.password_file}').read().strip()); "
        f"s.sendmail('{DEMO_ACCOUNT}', ['{recipient}'], '{_MESSAGE}')"
    )
    return f'{surroundings.python} -c "{program}"'


def _read(server: tuple[str, int], surroundings: Surroundings) -> str:
    """A command that shows the first message of the demo account's INBOX."""
    if "curl" in surroundings.programs:
        password = f'"$(cat {shlex.quote(surroundings.password_file)})"'
        # -k: nobody has signed the demo's certificate but the demo itself.
        return (
            f"curl -sSk --ssl-reqd --user {DEMO_ACCOUNT}:{password} 'imap://{show_endpoint(*server)}/INBOX;MAILINDEX=1'"
        )
    program = (
        f"import imaplib; i = imaplib.IMAP4('{server[0]}', {server[1]}); i.starttls(); "
        f"i.login('{DEMO_ACCOUNT}', open('{surroundings.password_file}').read().strip()); "
        "i.select(); print(i.fetch('1', '(BODY[])')[1][0][1].decode())"
    )
    return f'{surroundings.python} -c "{program}"'


def _fetch(url: str, surroundings: Surroundings) -> str:
    if "curl" in surroundings.programs:
        return f"curl -s {url}"
    return f"{surroundings.python} -c \"import urllib.request; print(urllib.request.urlopen('{url}').read().decode())\""
