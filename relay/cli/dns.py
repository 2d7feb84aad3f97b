"""``relay dns``: the records that a domain needs, as far as Relay knows them."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from relay.admin.autoconfig import Service, services
from relay.cli import configuration, exits
from relay.config import Config

_SRV: Final = {
    ("imap", "implicit"): "_imaps", ("imap", "starttls"): "_imap",
    ("pop3", "implicit"): "_pop3s", ("pop3", "starttls"): "_pop3",
    ("submission", "implicit"): "_submissions", ("submission", "starttls"): "_submission",
}  # fmt: skip
"""RFC 6186 3, RFC 8314 5.1."""


@click.command("dns")
@click.argument("domain")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: name, type and value, or a comment.")
@configuration.config_option
def command(domain: str, as_json: bool, config_path: Path | None) -> None:
    """Print the DNS records that DOMAIN needs, as lines of a zone file.

    What Relay cannot know, such as the address that other networks see, is a comment that says what to fill in.
    """
    config = configuration.load_or_stop(config_path)
    wanted = domain.lower().rstrip(".")
    if wanted not in config.domains.local and all(wanted != each.domain for each in config.relay_domains):
        exits.stop(exits.PROBLEM, f"{wanted} is neither in domains.local nor a relay domain")
    for line in records(config, wanted):
        click.echo(json.dumps(as_table(line)) if as_json else line)


def as_table(line: str) -> dict[str, str]:
    """A line of the zone for programs."""
    if line.startswith(";"):
        return {"comment": line.lstrip("; ")}
    name, _, kind, value = line.split(" ", 3)
    return {"name": name, "type": kind, "value": value}


def records(config: Config, domain: str) -> Iterator[str]:
    """The lines of the zone."""
    host = f"{config.hostname}."
    yield f"; {domain}: mail comes in at {config.hostname}"
    yield f"{domain}. IN MX 10 {host}"
    yield from _addresses(config, host)
    yield from _spf(config, domain)
    yield "; MTA-STS: no record, since Relay serves no policy for it"
    if domain not in config.domains.local:
        return
    yield "; where mail programs find their ports (RFC 6186, RFC 8314)"
    yield from _srv(services(config), domain, host)
    yield from _autoconfig(config, domain, host)


def _addresses(config: Config, host: str) -> Iterator[str]:
    known = dict.fromkeys(ipaddress.ip_address(each.address) for each in config.smtp_listeners if each.kind == "mx")
    public = [each for each in known if each.is_global]
    for each in public:
        yield f"{host} IN {'A' if each.version == 4 else 'AAAA'} {each}"
    if not public:
        yield f"; {host} IN A (the address under which other servers reach this machine; its PTR must name {host})"


def _spf(config: Config, domain: str) -> Iterator[str]:
    if config.smarthost is not None:
        yield f"; SPF: mail leaves through {config.smarthost}; its operator knows what must stand in the record:"
        yield f'; {domain}. IN TXT "v=spf1 include:(of the smarthost) -all"'
    else:
        yield "; mail leaves from the host of the MX record; if something else sends for the domain, add it"
        yield f'{domain}. IN TXT "v=spf1 mx -all"'


def _srv(offered: tuple[Service, ...], domain: str, host: str) -> Iterator[str]:
    for (kind, tls), name in _SRV.items():
        ports = dict.fromkeys(each.port for each in offered if (each.kind, each.tls) == (kind, tls))
        for port in ports:
            yield f"{name}._tcp.{domain}. IN SRV {0 if tls == 'implicit' else 10} 1 {port} {host}"
        if not ports:
            yield f"{name}._tcp.{domain}. IN SRV 0 0 0 ."


def _autoconfig(config: Config, domain: str, host: str) -> Iterator[str]:
    settings = config.autoconfig
    if not settings.address:
        yield "; no records for autoconfig and autodiscover: autoconfig.address is empty"
        return
    yield f"autoconfig.{domain}. IN CNAME {host}"
    yield f"autodiscover.{domain}. IN CNAME {host}"
    if settings.tls:
        yield f"_autodiscover._tcp.{domain}. IN SRV 0 1 {settings.port} {host}"
    else:
        yield "; Outlook asks with TLS only: autoconfig.tls, or a proxy on port 443, must be there"
