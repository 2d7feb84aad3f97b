"""Runs a server out of an unpacked Debian package, without installing it.

Exim and OpenSMTPD have paths and accounts compiled in, and a machine can have one mail transport agent installed
only. So their packages are unpacked into ``build/servers/NAME`` (``python -m benchmarks fetch``), and the server is
started in a mount namespace of its own in which that folder lies over the root file system (overlayfs), with an
/etc/passwd that has the accounts it wants. Its queue is a plain folder of the run, bind-mounted, so that its syncs go
to the same disk the same way as everybody's. Nothing of it is visible outside, and the mounts go with the last
process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.group import found
from benchmarks.machine import ROOT
from benchmarks.servers.base import Server

UNPACKED: Final = ROOT / "build" / "servers"
NO_DNS: Final = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
_SETUP: Final = """\
set -e
package=$1 work=$2 inside=$3 queue=$4
shift 4
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
cp -a "$package/." "$work/upper/"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
for folder in /proc /dev; do mount --rbind $folder "$work/root$folder"; done
mkdir -p "$work/root$inside"
mount --bind "$queue" "$work/root$inside"
exec chroot "$work/root" "$@"
"""


def missing(package: str, program: str) -> str | None:
    """Why an unpacked package cannot be run here; None when it can."""
    if not (UNPACKED / package / program).exists():
        return f"not there: python -m benchmarks fetch {package}"
    if os.geteuid() != 0:
        return "a private mount namespace needs root"
    return None if found("unshare") else "unshare is missing (Debian: apt install util-linux)"


def words(package: str, work: Path, inside: str, queue: Path, argv: Sequence[str]) -> list[str]:
    """The command that runs ``argv`` in the package's own view of the file system.

    ``work``: an empty folder for the view. ``queue``: the folder that appears as ``inside`` there.
    """
    work.mkdir(parents=True, exist_ok=True)
    queue.mkdir(parents=True, exist_ok=True)
    unshare = found("unshare") or "unshare"
    setup = [unshare, "--mount", "--propagation", "private", "/bin/sh", "-c", _SETUP, "sh"]
    return [*setup, str(UNPACKED / package), str(work), inside, str(queue), *argv]


def without_dns(work: Path, argv: Sequence[str]) -> list[str]:
    """The command that runs ``argv`` with a resolver that refuses at once: the benchmark must not wait for real DNS."""
    unshare = found("unshare")
    if unshare is None or os.geteuid() != 0:
        return list(argv)
    resolver = work / "resolv.conf"
    resolver.write_text(NO_DNS)
    setup = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return [unshare, "--mount", "--propagation", "private", "/bin/sh", "-c", setup, str(resolver), *argv]


def fetch(package: str, debian: Sequence[str], accounts: Sequence[tuple[str, int]]) -> Path:
    """Downloads the Debian packages with apt and unpacks them; ``accounts`` are added to its own /etc/passwd and group.

    Raises subprocess.CalledProcessError when apt does not have them.
    """
    target = UNPACKED / package
    target.mkdir(parents=True, exist_ok=True)
    archives = target.with_name(f"{package}.debs")
    archives.mkdir(exist_ok=True)
    subprocess.run(["apt-get", "download", "-qq", *debian], cwd=archives, check=True)
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(target)], check=True)
        archive.unlink()
    archives.rmdir()
    # Service units; a folder here would hide the link /lib -> /usr/lib.
    shutil.rmtree(target / "lib", ignore_errors=True)
    (target / "etc").mkdir(exist_ok=True)
    (target / "etc" / "resolv.conf").write_text(NO_DNS)
    for name in ("passwd", "group"):
        text = Path("/etc", name).read_text()
        for account, number in accounts:
            if f"\n{account}:" not in text:
                rest = f"{number}:bench:/nonexistent:/usr/sbin/nologin" if name == "passwd" else ""
                text += f"{account}:x:{number}:{rest}\n"
        (target / "etc" / name).write_text(text)
    return target


class Unpacked(Server):
    """A server that is run out of its unpacked Debian packages."""

    title: ClassVar[str]
    """As it is written."""
    program: ClassVar[str]
    """Its path in the package."""
    debian: ClassVar[tuple[str, ...]]
    """The packages; the first is the server's own."""
    accounts: ClassVar[tuple[tuple[str, int], ...]]
    inside: ClassVar[str]
    """Where it expects its queue."""

    @classmethod
    def missing(cls) -> str | None:
        return missing(cls.name, cls.program)

    @classmethod
    def version(cls) -> str:
        version = UNPACKED / cls.name / "VERSION"
        return f"{cls.title} {version.read_text().strip()}" if version.exists() else cls.title

    @classmethod
    def fetch(cls) -> Path:
        """Unpacks it below build/servers."""
        target = fetch(cls.name, cls.debian, cls.accounts)
        version = subprocess.run(
            ["apt-cache", "show", "--no-all-versions", cls.debian[0]], capture_output=True, text=True, check=True
        ).stdout.split("Version: ")[1]
        (target / "VERSION").write_text(version.splitlines()[0])
        return target

    def start_inside(self, queue: Path, script: str) -> None:
        """Runs a shell script in the package's view, where ``queue`` is ``inside``; returns when it greets."""
        argv = words(self.name, self.root / "view", self.inside, queue, ["/bin/sh", "-c", script])
        with self.log.open("ab") as log:
            self.group.start(argv, cwd=self.root, output=log)
        self.wait_greeting()
