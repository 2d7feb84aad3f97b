"""What a configuration needs of the machine: files, folders, addresses, ports, the account that serves.

Theory: each rule looks at one thing and says what is wrong with it, at which setting, and what to do. ``relay check``
asks all of them; the supervisor asks those of ``needed_by_account`` at its start and at each reload, when it is the
account that serves, so that nothing is found out by a worker that dies. What an account may read is tried as that
account, in a process of its own, because only the kernel knows (groups, access lists, mount options).

Nothing is changed. A finding that is an error keeps Relay from serving as configured.

Not here: rules about settings alone (relay/config/check.py, relay/config/advice.py), ports (ports.py), becoming the
account (privileges.py).
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from relay.config.declare import secrets
from relay.config.model import Config
from relay.config.positions import KeyPath
from relay.config.secret import is_open_to_all
from relay.net import certificates, tls
from relay.net.certificates import CertificateError, Files, Pair
from relay.sieve import ScriptError, compile_script
from relay.supervisor import privileges
from relay.supervisor.privileges import Identity, PrivilegeError

_WRITE: Final = os.W_OK | os.X_OK


class Finding(NamedTuple):
    """One thing about the machine."""

    is_error: bool
    path: KeyPath
    """The setting that it is about."""
    text: str


def error(path: KeyPath, text: str) -> Finding:
    """Something that keeps Relay from serving as configured."""
    return Finding(True, path, text)


def warning(path: KeyPath, text: str) -> Finding:
    """Something that is probably not meant."""
    return Finding(False, path, text)


def account(config: Config) -> Iterator[Finding]:
    """Who serves: root must become somebody, and whom it becomes must be there."""
    if os.geteuid() == 0 and not config.user and not config.allow_root:
        yield error(
            ("user",),
            "is not set, and Relay does not serve as root: make an account for it "
            '(useradd --system --no-create-home relay) and write user = "relay"',
        )
    if not config.user:
        return
    try:
        wanted = privileges.identity(config.user, "")
    except PrivilegeError as fault:
        yield error(("user",), f"{fault}; make it: useradd --system --no-create-home {config.user}")
        return
    if config.group:
        try:
            privileges.identity(config.user, config.group)
        except PrivilegeError as fault:
            yield error(("group",), f"{fault}; make it: groupadd --system {config.group}")
    if os.geteuid() not in (0, wanted.uid):
        yield warning(("user",), f"only root can become {config.user}; started from here it serves as you")


def serving_account(config: Config) -> Identity | None:
    """Whom this process would become to serve; None when it stays who it is, or cannot become it."""
    if os.geteuid() != 0 or not config.user:
        return None
    try:
        return privileges.identity(config.user, config.group)
    except PrivilegeError:
        return None


def needed_by_account(
    config: Config, config_files: Iterable[Path] = (), *, root_makes_data_dir: bool = False
) -> list[Finding]:
    """What this process, as the account that serves, cannot read, write or understand.

    ``config_files``: those that it reads again in a reload. ``root_makes_data_dir``: one that is missing, or an empty
    one of another account, is no fault, because root makes it or hands it over at the start.
    """
    findings = list(_data_dir(config, root_makes_it=root_makes_data_dir))
    for rule in (_log, _accounts, _certificate_files, _recipient_files, _secret_files, _default_script):
        findings += rule(config)
    for file in config_files:
        if not os.access(file, os.R_OK):
            text = f"{_reason(file, os.R_OK)}; a reload (SIGHUP) will be refused: chgrp and chmod g+r it"
            findings.append(warning((), text))
    return findings


def unreadable_code(modules: Iterable[object] | None = None) -> str:
    """What of the program this process, as the account that serves, cannot read: empty, or the sentence that says so.

    Libraries import some of their modules when they are first needed; that is where sessions would end.
    ``modules``: those to look at; all that are loaded, unless given.
    """
    files = {Path(file) for file in map(_file_of, modules or list(sys.modules.values())) if file}
    for path in sorted({file.parent for file in files}) + sorted(files):
        wanted = os.R_OK | os.X_OK if path not in files else os.R_OK
        if not os.access(path, wanted) and (_blocked_above(path) or os.path.lexists(path)):
            why = _reason(path, os.R_OK, is_folder=path not in files)
            return (
                f"its own code cannot be used: {why}; install Relay where account {_me()} can read it (/opt or "
                "/usr/local, say, not below /root), or open the folder: chmod o+rx"
            )
    return ""


def _file_of(module: object) -> str:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) and os.path.isabs(file) else ""


def as_account(wanted: Identity | None, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What ``look`` finds when ``wanted`` looks, in a process of its own. For a process without threads."""
    if wanted is None:
        return look()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read_end)
            os.setgroups(wanted.groups)
            os.setresgid(wanted.gid, wanted.gid, wanted.gid)
            os.setresuid(wanted.uid, wanted.uid, wanted.uid)
            with open(write_end, "w", encoding="utf-8") as answer:
                json.dump([(found.is_error, list(found.path), found.text) for found in look()], answer)
            code = 0
        finally:
            os._exit(code)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text:
        return [error(("user",), f"cannot become {wanted.user} to look at its files")]
    return [Finding(is_error, tuple(path), said) for is_error, path, said in json.loads(text)]


def read_certificates(config: Config) -> tuple[list[Pair], list[Finding]]:
    """The configured certificates, and what is wrong with them."""
    pairs: list[Pair] = []
    findings: list[Finding] = []
    for number, files in enumerate(config.certificates):
        path: KeyPath = ("certificate", number)
        try:
            pair = certificates.read(Files(files.cert, files.key))
            tls.load(Files(files.cert, files.key), files.names)
        except CertificateError as fault:
            findings.append(error(path, str(fault)))
            continue
        pairs.append(pair)
        now = datetime.now(UTC)
        if now >= pair.expires_at:
            text = f"{files.cert} expired at {pair.expires_at:%Y-%m-%d %H:%M} UTC; renew it"
            findings.append(warning((*path, "cert"), text))
        elif now < pair.starts_at:
            text = f"{files.cert} is not valid before {pair.starts_at:%Y-%m-%d %H:%M} UTC"
            findings.append(warning((*path, "cert"), text))
    if (
        pairs
        and len(pairs) == len(config.certificates)
        and not any(_is_for(config.hostname, pair.names) for pair in pairs)
    ):
        names = ", ".join(name for pair in pairs for name in pair.names) or "no name at all"
        findings.append(
            warning(
                ("hostname",),
                f'no certificate is for "{config.hostname}" (they are for {names}): servers and mail programs that '
                "check it will complain; get one that has this name, too",
            )
        )
    return pairs, findings


def _is_for(hostname: str, names: Iterable[str]) -> bool:
    """RFC 6125 6.4.3: a wildcard stands for one label."""
    return any(hostname == name or (name[:2] == "*." and hostname.partition(".")[2] == name[2:]) for name in names)


# ---- files and folders ----------------------------------------------------------------------------------------------


def _data_dir(config: Config, *, root_makes_it: bool) -> Iterator[Finding]:
    path: KeyPath = ("data_dir",)
    folder = config.data_dir
    if _blocked_above(folder):
        yield error(path, f"{_reason(folder, _WRITE, is_folder=True)}; {_let_read(folder)}")
        return
    if root_makes_it:
        return
    if not os.path.lexists(folder):
        above = next(each for each in folder.parents if os.path.lexists(each))
        if not os.access(above, _WRITE):
            why = _reason(above, _WRITE, is_folder=True)
            yield error(path, f"{folder} is not there and cannot be made: {why}; {_make(folder)}")
        return
    if not folder.is_dir() or not os.access(folder, os.R_OK | _WRITE):
        yield error(path, f"{_reason(folder, os.R_OK | _WRITE, is_folder=True)}; {_give(folder)}")
        return
    for name in ("spool", "mail", "run", "tls", "tmp"):
        inner = folder / name
        if os.path.lexists(inner) and not (inner.is_dir() and os.access(inner, os.R_OK | _WRITE)):
            yield error(path, f"{_reason(inner, os.R_OK | _WRITE, is_folder=True)}; {_give(inner)}")


def _log(config: Config) -> Iterator[Finding]:
    if config.log.destination in ("stdout", "stderr"):
        return
    file, path = Path(config.log.destination), ("log", "destination")
    if os.path.lexists(file):
        if not os.access(file, os.W_OK) or file.is_dir():
            yield error(path, f"{_reason(file, os.W_OK)}; {_give(file)}")
    elif file.parent in (config.data_dir, *config.data_dir.parents) and not os.path.lexists(file.parent):
        return  # it is made at the start
    elif not os.access(file.parent, _WRITE):
        remedy = _make(file.parent)
        if os.path.exists(file.parent) and not _blocked_above(file.parent):
            remedy = f"as root: install -o {_me()} -m 640 /dev/null {file}"
        yield error(path, f"{_reason(file.parent, _WRITE, is_folder=True)}; {remedy}")


def _accounts(config: Config) -> Iterator[Finding]:
    if config.accounts_file:
        yield from _readable(config.accounts_file, ("accounts_file",), is_wanted=False)
    elif os.access(config.data_dir, os.X_OK):  # else there is a finding about the folder
        yield from _readable(config.accounts_path, ("data_dir",), is_wanted=False)


def _certificate_files(config: Config) -> Iterator[Finding]:
    for number, files in enumerate(config.certificates):
        yield from _readable(files.cert, ("certificate", number, "cert"))
        if files.key != files.cert:
            yield from _readable(files.key, ("certificate", number, "key"))


def _recipient_files(config: Config) -> Iterator[Finding]:
    for number, relayed in enumerate(config.relay_domains):
        if relayed.recipients_file is not None:
            yield from _readable(relayed.recipients_file, ("relay_domain", number, "recipients_file"))


def _secret_files(config: Config) -> Iterator[Finding]:
    for path, secret in secrets(config):
        if secret.file is None:
            continue
        if found := list(_readable(secret.file, path)):
            yield from found
        elif is_open_to_all(secret.file):
            yield warning(path, f"{secret.file} can be read by every account of this machine: chmod o-r it")


def _default_script(config: Config) -> Iterator[Finding]:
    file, path = config.sieve.default_script, ("sieve", "default_script")
    if file is None:
        return
    found = list(_readable(file, path))
    yield from found
    if found:
        return
    try:
        compile_script(file.read_bytes())
    except ScriptError as fault:
        for each in fault.problems:
            yield error(path, f"{file}: {each}; try it with: relay sieve check {file}")
    except OSError as fault:
        yield error(path, f"{file}: cannot be read: {fault.strerror}")


def _readable(file: Path, path: KeyPath, *, is_wanted: bool = True) -> Iterator[Finding]:
    """``is_wanted``: it is an error, too, when there is no such file."""
    if os.access(file, os.R_OK) and file.is_file():
        return
    if is_wanted or os.path.lexists(file) or _blocked_above(file):
        yield error(path, f"{_reason(file, os.R_OK)}; {_let_read(file)}")


def _blocked_above(file: Path) -> Path | None:
    """The first folder above ``file`` that this process may not enter; None when it may enter all that are there."""
    for folder in reversed(file.parents):
        if os.path.lexists(folder) and not os.access(folder, os.X_OK):
            return folder
        if not os.path.lexists(folder):
            return None
    return None


def _reason(file: Path, wanted: int, *, is_folder: bool = False) -> str:
    """Why ``file`` cannot be used as ``wanted`` (bits of access(2)): the path to blame, and what it is like."""
    if (above := _blocked_above(file)) is not None:
        return f"{file} cannot be reached by account {_me()}: {above} is closed to it ({_owner(above)})"
    if not os.path.exists(file):
        return f"there is no {'folder' if is_folder else 'file'} {file}"
    if is_folder != file.is_dir():
        return f"{file} is {'no' if is_folder else 'a'} folder"
    if not is_folder and not file.is_file():
        return f"{file} is no regular file"
    verb = "written to" if wanted & os.W_OK else "read"
    return f"{file} cannot be {verb} by account {_me()} ({_owner(file)})"


def _owner(file: Path) -> str:
    found = os.stat(file)
    owner = privileges.name_of(found.st_uid)
    return f"it is {owner}'s, mode {stat.S_IMODE(found.st_mode):04o}"


def _me() -> str:
    return privileges.name_of(os.geteuid())


def _give(path: Path) -> str:
    if (above := _blocked_above(path)) is not None:
        return f"as root: chmod o+x {above}, or choose another place"
    owner = privileges.name_of(os.stat(path).st_uid)
    return f"serve as {owner}, or give it over, as root: chown -R {_me()} {path}"


def _make(folder: Path) -> str:
    return f"as root: install -d -o {_me()} {folder}"


def _let_read(file: Path) -> str:
    if (above := _blocked_above(file)) is not None:
        return f"as root: chmod o+x {above}, or choose another place"
    if not file.is_file():
        return "put it there, or name another"
    return f"as root: setfacl -m u:{_me()}:r {file}, or chgrp and chmod g+r"
