"""``relay check``: everything that is wrong with a configuration, on this machine, at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from relay.cli import configuration, exits
from relay.config import Config, ConfigErrors
from relay.config.declare import secrets
from relay.config.errors import ConfigError
from relay.config.load import Loaded
from relay.config.secret import is_open_to_all


class Report(NamedTuple):
    """What was found."""

    errors: list[ConfigError]
    warnings: list[ConfigError]
    summary: dict[str, str]
    """What the configuration comes to; empty when it could not be read."""


@click.command("check")
@configuration.config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(config_path: Path | None, as_json: bool) -> None:
    """Check the configuration files, the environment that overrides them, and what they need of this machine.

    That is: the account that serves and what it can read and write, certificates, the account file, the filter script,
    addresses and ports, next hops. Reports every error and warning at once, each with file, line, key and a remedy.
    Nothing is started or changed. Run it as whoever starts Relay, as root mostly.
    """
    source = configuration.source_of(config_path)
    try:
        report = examined(source.load())
    except ConfigErrors as errors:
        if not as_json:
            configuration.stop_for(errors)
        report = Report(errors.errors, [], {})
    if as_json:
        click.echo(json.dumps(_as_table(report), ensure_ascii=False))
    else:
        _print(report, str(source))
    if report.errors:
        raise SystemExit(exits.CONFIGURATION)


def examined(loaded: Loaded) -> Report:
    """Asks all rules there are."""
    from relay.config.advice import advice
    from relay.supervisor.premises import read_certificates

    report = Report([], [], {})
    pairs, of_certificates = read_certificates(loaded.config)
    findings = [each for rule in _RULES for each in rule(loaded)]
    unreadable = {each.path[:2] for each in findings}
    findings += [each for each in of_certificates if each.path[:2] not in unreadable]
    for finding in findings:
        (report.errors if finding.is_error else report.warnings).append(loaded.locate(finding.path, finding.text))
    report.warnings.extend(loaded.locate(path, text) for path, text in advice(loaded.config))
    accounts = _count_accounts(loaded, report, is_demo=not loaded.files)
    for found in (report.errors, report.warnings):
        found[:] = sorted(dict.fromkeys(found), key=lambda each: (each.source, each.line))
    expires_at = min((each.expires_at for each in pairs), default=None)
    report.summary.update(_summary(loaded.config, accounts, expires_at))
    if loaded.files[1:]:
        report.summary["files"] = ", ".join(map(str, loaded.files))
    return report


def _of_account(loaded: Loaded) -> Iterator[Any]:
    from relay.supervisor import premises

    yield from premises.account(loaded.config)


def _of_files(loaded: Loaded) -> Iterator[Any]:
    from relay.supervisor import preload, premises

    config = loaded.config
    wanted = premises.serving_account(config)
    is_made = wanted is not None and not (config.data_dir.is_dir() and any(config.data_dir.iterdir()))

    def look() -> list[premises.Finding]:
        found = premises.needed_by_account(config, loaded.files, root_makes_data_dir=is_made)
        if wanted is not None and (fault := premises.unreadable_code()):
            found.append(premises.error(("user",), fault))
        return found

    if wanted is not None:
        preload.import_everything()
    yield from premises.as_account(wanted, look)


def of_postmaster(config: Config) -> Iterator[Any]:
    """Findings about who gets mail for postmaster (RFC 5321 4.5.1)."""
    from relay.auth import AccountError, AccountFile
    from relay.directory.directory import postmaster_trouble
    from relay.supervisor.premises import Finding

    try:
        trouble, is_error = postmaster_trouble(config, AccountFile(config.accounts_path))
    except (OSError, ValueError, AccountError):
        return  # reported with the files themselves
    if trouble:
        yield Finding(is_error, ("postmaster",), trouble.removeprefix("postmaster: "))


def _of_postmaster(loaded: Loaded) -> Iterator[Any]:
    if loaded.files:  # the demo makes its account at the start
        yield from of_postmaster(loaded.config)


def _of_secrets(loaded: Loaded) -> Iterator[Any]:
    """Of those that stand in the configuration itself; files of their own are looked at by the account that serves."""
    from relay.supervisor.premises import warning

    open_files = {str(file) for file in loaded.files if is_open_to_all(file)}
    for path, secret in secrets(loaded.config):
        place = loaded.origin(path)
        if secret.file is None and place is not None and place.source in open_files:
            text = f"every account of this machine can read this file: chmod o-r it, or set {path[-1]}_file"
            yield warning(path, text)


def _of_ports(loaded: Loaded) -> Iterator[Any]:
    from relay.spool import folder
    from relay.supervisor import ports
    from relay.workers.roles import ROLES

    config = loaded.config
    endpoints = [endpoint for role in ROLES for endpoint in role.endpoints(config)]
    yield from ports.of_listeners(config, endpoints, is_running=folder.is_running(config.data_dir))


def _of_next_hops(loaded: Loaded) -> Iterator[Any]:
    from relay.supervisor import ports

    yield from ports.of_next_hops(loaded.config)


_RULES: Final[tuple[Callable[[Loaded], Iterator[Any]], ...]] = (
    _of_account,
    _of_files,
    _of_secrets,
    _of_postmaster,
    _of_ports,
    _of_next_hops,  # last: it starts threads
)
"""What looks at the machine; findings of relay/supervisor/premises.py."""


def _count_accounts(loaded: Loaded, report: Report, *, is_demo: bool) -> int:
    from relay.auth import AccountError, AccountFile

    config = loaded.config
    try:
        accounts = AccountFile(config.accounts_path).list()
    except AccountError as fault:
        report.errors.append(loaded.locate(("accounts_file",), str(fault)))
        return 0
    if not accounts and config.domains.local and not is_demo:  # the demo makes its account at the start
        text = f"there is no account yet: relay account add NAME@{config.domains.local[0]}"
        report.warnings.append(loaded.locate(("domains", "local"), text))
    return len(accounts)


def _print(report: Report, source: str) -> None:
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    for error in report.errors:
        click.echo(f"error: {error}", err=True)
    counts = [_counted(len(report.errors), "error"), _counted(len(report.warnings), "warning")]
    click.echo(f"{source}: {', '.join(each for number, each in enumerate(counts) if number == 0 or report.warnings)}")
    if not report.errors:
        for name, text in report.summary.items():
            click.echo(f"  {name:<10} {text}")


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' if number != 1 else ''}"


def _as_table(report: Report) -> dict[str, Any]:
    return {
        "errors": [each._asdict() for each in report.errors],
        "warnings": [each._asdict() for each in report.warnings],
        "summary": report.summary,
    }


def _summary(config: Config, accounts: int, expires_at: datetime | None) -> dict[str, str]:
    """What the configuration comes to; ``expires_at`` is when the first certificate expires, if there is one."""
    certificates = _counted(len(config.certificates), "certificate")
    tls = f"{certificates}, the first expires {expires_at:%Y-%m-%d}" if expires_at else ""
    held = _counted(accounts, "account")
    listeners = ", ".join(f"{each.name} on {show_endpoint(each.address, each.port)}" for each in config.listeners)
    return {
        "hostname": config.hostname,
        "data": str(config.data_dir),
        "listeners": listeners,
        "tls": tls or "a self-signed certificate for " + config.hostname,
        "domains": f"{len(config.domains.local)} local ({held}), {len(config.relay_domains)} relayed",
        "other mail": "to " + str(config.smarthost) if config.smarthost else "by MX lookup",
    }


def show_endpoint(address: str, port: int) -> str:
    """Address and port as people write them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
