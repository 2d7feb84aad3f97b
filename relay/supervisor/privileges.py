"""Becoming the account that serves, before anything of a peer's is read.

Theory: started as root with ``user`` set, the supervisor becomes that user for good and keeps one capability, to bind
ports below 1024; so a reload can still open port 465, and all sockets of an address belong to one user, which
SO_REUSEPORT asks for. Workers give up that one too. Without ``user`` root may serve only where the configuration says
so: the embedded demonstration does, because it listens on loopback alone and containers start as root.

A process that is not root stays who it is.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import NamedTuple

from relay.config.model import Config
from relay.net import kernel


class PrivilegeError(Exception):
    """The configured account cannot be had, or root must not serve; its text is for the operator."""


class Identity(NamedTuple):
    """A user with all its groups."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def identity(user: str, group: str) -> Identity:
    """Looks up names or numbers; PrivilegeError when there is no such account. An empty group is the user's own."""
    try:
        found = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        name, uid, gid = found.pw_name, found.pw_uid, found.pw_gid
    except KeyError:
        if not user.isdigit() or not group:
            raise PrivilegeError(f"user {user!r}: no such account") from None
        name, uid, gid = user, int(user), -1  # a container may run under a number that has no name
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise PrivilegeError(f"group {group!r}: no such group") from None
    return Identity(name, uid, gid, tuple(sorted(set(os.getgrouplist(name, gid)))))


def apply(config: Config) -> list[str]:
    """Becomes the configured account; returns warnings. PrivilegeError when that cannot be done or must not be.

    As root it also makes ``data_dir``, or hands an empty one over to the account, as a fresh volume is root's.
    """
    if os.geteuid() != 0:
        if config.user and identity(config.user, config.group).uid != os.geteuid():
            return [f"user is {config.user!r}, but only root can become it: serving as uid {os.geteuid()}"]
        return []
    if config.user:
        wanted = identity(config.user, config.group)
        if wanted.uid != 0:
            _hand_over(config.data_dir, wanted)
            _become(wanted)
            return []
    if not config.allow_root:
        raise PrivilegeError(
            "will not serve as root: make an account for it (useradd --system --no-create-home relay) and set "
            '`user = "relay"` (or, for a trial, `allow_root = true`)'
        )
    return ["serving as root because allow_root is set; set `user` for anything but a trial"]


def name_of(uid: int) -> str:
    """The name of an account; its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def make_data_dir(data_dir: Path, wanted: Identity | None) -> None:
    """Makes ``data_dir``, closed to others, and the folders above it that are missing, open to all for passing through;
    they belong to ``wanted`` (None: to this process's account). An empty ``data_dir`` is handed over to ``wanted``.
    Raises OSError.
    """
    missing = [each for each in (data_dir, *data_dir.parents) if not os.path.lexists(each)]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700 if folder == data_dir else 0o755)  # whatever the umask is
        if wanted is not None:
            os.chown(folder, wanted.uid, wanted.gid)
    if wanted is not None and data_dir.stat().st_uid != wanted.uid and not any(data_dir.iterdir()):
        os.chown(data_dir, wanted.uid, wanted.gid)


def give_up_capabilities() -> None:
    """In a worker: what the supervisor kept is not needed here."""
    if os.geteuid() != 0:
        kernel.limit_capabilities()


def _hand_over(data_dir: Path, wanted: Identity) -> None:
    try:
        make_data_dir(data_dir, wanted)
    except OSError as fault:
        raise PrivilegeError(f"data_dir {data_dir}: {fault.filename or data_dir}: {fault.strerror}") from fault


def _become(wanted: Identity) -> None:
    try:
        kernel.keep_capabilities()
        os.setgroups(wanted.groups)
        os.setresgid(wanted.gid, wanted.gid, wanted.gid)
        os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    except OSError as fault:
        raise PrivilegeError(f"cannot become {wanted.user}: {fault.strerror}") from fault
    try:
        kernel.limit_capabilities(kernel.CAP_NET_BIND_SERVICE)
    except PermissionError:
        kernel.limit_capabilities()  # the container runtime had taken it from root as well
    kernel.forbid_new_privileges()
    kernel.allow_core_dumps()
