"""The Sieve scripts of one account: files below its Maildir, one of them active.

``sieve/NAME.sieve`` are the scripts, ``sieve/active`` is a symbolic link to the active one; without it there is none.
A folder that does not begin with a dot is no mailbox (Maildir++), so nothing else looks at it. A script is written
under another name, synced and renamed: whoever runs it sees the old or the new one, whole.

Several processes may change the scripts of an account at once; each change is one rename or link. Everything blocks.

Not here: whether a script is correct (relay/sieve), running it (relay/mda/filtering.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from relay.mailbox.files import read_file, require_folder
from relay.mailbox.maildir import make_maildir

SUFFIX: Final = ".sieve"
FOLDER: Final = "sieve"
ACTIVE: Final = "active"
_UNSAFE: Final = re.compile(r"[%/\x00-\x1f\x7f]|^\.")
_CODED: Final = re.compile(r"%([0-9A-F]{2})")
_NAME_OCTETS: Final = 200


class ScriptRefused(Exception):  # noqa: N818 - says what is the case, not who erred
    """What was asked for cannot be done; ``code`` is the response code of RFC 5804 1.3."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Listed(NamedTuple):
    """One script in a list."""

    name: str
    is_active: bool
    size: int


class Quota(NamedTuple):
    """What the scripts of one account may be."""

    scripts: int
    octets: int
    """Of one script."""


class Scripts:
    """Those of the account whose Maildir is ``maildir``."""

    def __init__(self, maildir: Path, quota: Quota) -> None:
        self._maildir = maildir
        self._folder = maildir / FOLDER
        self._quota = quota

    def list(self) -> list[Listed]:
        """All of them, by name."""
        active = self.active()
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                is_script = entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
                if is_script and entry.is_file(follow_symlinks=False):
                    name = _name_of(entry.name)
                    found.append(Listed(name, name == active, entry.stat(follow_symlinks=False).st_size))
        return sorted(found)

    def active(self) -> str:
        """The name of the active script, "" when there is none."""
        try:
            return _name_of(os.path.basename(os.readlink(self._folder / ACTIVE)))
        except OSError:
            return ""

    def get(self, name: str) -> bytes:
        """Its octets; refused NONEXISTENT."""
        try:
            require_folder(self._folder)
            return read_file(self._path(name))
        except FileNotFoundError:
            raise ScriptRefused("NONEXISTENT", "there is no script of that name") from None

    def check_space(self, name: str, octets: int) -> None:
        """Refused when a script of this size could not be stored under ``name``."""
        if octets > self._quota.octets:
            raise ScriptRefused("QUOTA/MAXSIZE", f"a script has at most {self._quota.octets} octets")
        names = {each.name for each in self.list()}
        if name not in names and len(names) >= self._quota.scripts:
            raise ScriptRefused("QUOTA/MAXSCRIPTS", f"an account has at most {self._quota.scripts} scripts")

    def put(self, name: str, octets: bytes) -> None:
        """Stores a script, in place of one of that name; *published* when it returns."""
        path = self._path(name)
        self.check_space(name, len(octets))
        self._make_folder()
        temporary = self._folder / f".{os.getpid()}-{os.urandom(4).hex()}"
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(descriptor)
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self._sync()

    def activate(self, name: str) -> None:
        """Makes it the active one; "" deactivates. Refused NONEXISTENT."""
        if not name:
            (self._folder / ACTIVE).unlink(missing_ok=True)
        else:
            path = self._path(name)
            if not path.is_file() or path.is_symlink():
                raise ScriptRefused("NONEXISTENT", "there is no script of that name")
            temporary = self._folder / f".{os.getpid()}-{os.urandom(4).hex()}"
            temporary.symlink_to(path.name)
            temporary.rename(self._folder / ACTIVE)
        if self._folder.is_dir():
            self._sync()

    def delete(self, name: str) -> None:
        """Refused NONEXISTENT, and ACTIVE for the active one (RFC 5804 2.10)."""
        path = self._path(name)
        if name == self.active():
            raise ScriptRefused("ACTIVE", "the active script cannot be deleted")
        try:
            path.unlink()
        except FileNotFoundError:
            raise ScriptRefused("NONEXISTENT", "there is no script of that name") from None
        self._sync()

    def rename(self, name: str, new_name: str) -> None:
        """Refused NONEXISTENT, ALREADYEXISTS. The active one stays active (RFC 5804 2.11.1)."""
        path, new_path = self._path(name), self._path(new_name)
        was_active = name == self.active()
        try:
            require_folder(self._folder)
            os.link(path, new_path, follow_symlinks=False)
        except FileNotFoundError:
            raise ScriptRefused("NONEXISTENT", "there is no script of that name") from None
        except FileExistsError:
            raise ScriptRefused("ALREADYEXISTS", "there is a script of that name already") from None
        if was_active:
            self.activate(new_name)
        path.unlink(missing_ok=True)
        self._sync()

    def _path(self, name: str) -> Path:
        found = file_name(name)
        if not name or len(found.encode("utf-8", "surrogateescape")) > _NAME_OCTETS:
            raise ScriptRefused("", "this cannot be the name of a script")
        return self._folder / found

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            make_maildir(self._maildir)
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(mode=0o700)
            _sync(self._maildir)
        require_folder(self._folder)

    def _sync(self) -> None:
        _sync(self._folder)


def active_path(maildir: Path | str) -> str | None:
    """The file of the active script, which the link names: always one beside it. None without a link or a file of
    its name."""
    folder = f"{maildir}/{FOLDER}"
    try:
        target = os.readlink(f"{folder}/{ACTIVE}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        if fault.errno != errno.EINVAL:
            raise
        target = ACTIVE  # no link, but the script itself
    require_folder(folder)
    return f"{folder}/{os.path.basename(target)}"


def file_name(name: str) -> str:
    """The name of the file of a script: never hidden, never another folder."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name) + SUFFIX


def _name_of(found: str) -> str:
    return _CODED.sub(lambda match: chr(int(match[1], 16)), found.removesuffix(SUFFIX))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
