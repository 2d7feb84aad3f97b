"""What ``relay serve`` prints when it is ready: what listens, and for the demo three things to try.

A pure function of the configuration and of what is installed, so that a test can run what it prints.
"""

from __future__ import annotations

import shlex
from typing import Final, NamedTuple

import relay
from relay.cli.check import show_endpoint
from relay.config import Config
from relay.config.demo import DEMO_ACCOUNT, DEMO_DOMAIN, DEMO_RELAY_DOMAIN

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


def banner(config: Config, source: str, *, is_demo: bool, surroundings: Surroundings) -> str:
    """What is listening and where everything is; for the demo what to try as well. ``source`` names the
    configuration."""
    lines = [f"Relay {relay.__version__} is ready ({source}).", ""]
    for listener in config.listeners:
        lines.append(f"  SMTP   {show_endpoint(listener.address, listener.port):<22} {listener.name}")
    lines.append(f"  HTTP   {show_endpoint(config.admin.address, config.admin.port):<22} /metrics /livez /readyz")
    lines.append(f"  data   {config.data_dir}")
    if is_demo:
        lines += ["", *_demo(config, surroundings)]
    return "\n".join(lines) + "\n"


def _demo(config: Config, surroundings: Surroundings) -> list[str]:
    mailbox = config.mail_dir / DEMO_DOMAIN / DEMO_ACCOUNT.partition("@")[0] / "new"
    metrics = f"http://{show_endpoint(config.admin.address, config.admin.port)}/metrics"
    return [
        f"  The account {DEMO_ACCOUNT} has a generated password: see {surroundings.password_file}",
        f"  Mail for {DEMO_RELAY_DOMAIN} is handed to {config.relay_domains[0].next_hop}. {_receiver(surroundings)}",
        "",
        "Try from another terminal, in this folder:",
        "",
        f"  1. A message to the demo account. It arrives in {shlex.quote(str(mailbox))}",
        f"     {_send(config, DEMO_ACCOUNT, surroundings)}",
        "",
        "  2. A message to the relay domain, and what waits in the queue:",
        f"     {_send(config, f'someone@{DEMO_RELAY_DOMAIN}', surroundings)}",
        f"     {surroundings.relay} queue list",
        "",
        "  3. What Relay counts:",
        f"     {_fetch(metrics, surroundings)}",
        "",
        "Stop with Ctrl-C.",
    ]


def _receiver(surroundings: Surroundings) -> str:
    if "smtp-sink" in surroundings.programs:
        return f"Receive it with: {RECEIVE}"
    return "While nothing receives there, it waits in the queue and is tried again."


RECEIVE: Final = "smtp-sink -c 127.0.0.1:2526 100"


def _send(config: Config, recipient: str, surroundings: Surroundings) -> str:
    """A command that sends a message, with the best tool there is."""
    address, port = config.listeners[0].address, config.listeners[0].port
    if "swaks" in surroundings.programs:
        return f"swaks --server {address} --port {port} --from {_SENDER} --to {recipient} --header 'Subject: hello'"
    if "curl" in surroundings.programs:
        url = f"smtp://{show_endpoint(address, port)}"
        return (
            f"printf '{_MESSAGE}' | curl -sS --url {url} --mail-from {_SENDER} --mail-rcpt {recipient} --upload-file -"
        )
    program = f"import smtplib; smtplib.SMTP('{address}', {port}).sendmail('{_SENDER}', ['{recipient}'], '{_MESSAGE}')"
    return f'{surroundings.python} -c "{program}"'


def _fetch(url: str, surroundings: Surroundings) -> str:
    if "curl" in surroundings.programs:
        return f"curl -s {url}"
    return f"{surroundings.python} -c \"import urllib.request; print(urllib.request.urlopen('{url}').read().decode())\""
