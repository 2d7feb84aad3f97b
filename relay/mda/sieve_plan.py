"""Sieve at delivery: which script a message meets, and what its actions mean here, as a ``Plan``.

An account's active script is run; where there is none, the default one. Most accounts have none: that costs one
``stat`` and one look at the header section. Compiled scripts are kept, and compiled again when their file changes.

Theory of order (I1): what leaves the account (redirect, vacation, rejection) is spooled first, then the message is
stored, then the recipient counts as done. A crash or a fault in between makes the delivery again: what was redirected,
answered or stored already is remembered beside the script (relay/mailbox/sieve_memory.py) and not done twice.

A script that cannot be read, is wrong or fails keeps the message in INBOX; its owner finds a notice there once a day.
The default script is the operator's: when it fails, only the log says so.

Loops: a redirect is not made when the message says ``Delivered-To`` of this account already; it is kept instead.
Rejections and vacation answers have the null reverse-path and go to nobody who has it.

Not here: running a script (relay/sieve), storing (local.py), spooling (mailbox_delivery.py).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from relay.config.sieve import SieveSettings
from relay.mail.address import base_address
from relay.mailbox import names, spelling
from relay.mailbox.account_root import Root
from relay.mailbox.files import is_lasting, read_file
from relay.mailbox.scripts import FOLDER, active_path, file_name
from relay.mailbox.sieve_memory import Memory
from relay.mailbox.store import FolderStore
from relay.mailbox.troubles import SILENT, Troubles
from relay.mailbox.vocabulary import Refusal, Refused
from relay.mda.default_script import DefaultBrokenError, DefaultScript
from relay.mda.incoming import Incoming, edited, view_of
from relay.net.stopping import JobStopped
from relay.sieve import Environment, MessageView, Result, RunError, Script, ScriptError, answers, compile_script
from relay.sieve import evaluate as run_script
from relay.sieve.actions import FileInto, Keep
from relay.sieve.triggers import may_run

DAY: Final = 86_400
CACHED_SCRIPTS: Final = 1_000
VACATION: Final = "vacation"
REDIRECT: Final = "redirect"
DUPLICATE: Final = "duplicate"
STORED: Final = "stored"
REJECTED: Final = "rejected"
NOTICE: Final = "notice"


class Outgoing(NamedTuple):
    """A new message, to be spooled before the other is stored."""

    kind: str
    """REDIRECT, VACATION or REJECTED; also the kind under which it is remembered."""
    key: str
    reverse_path: bytes
    recipient: bytes
    content: bytes
    """The whole content; or what comes before that of the message, for a redirect without edits."""
    is_whole: bool
    seconds: int
    """How long it is remembered."""


class Placement(NamedTuple):
    """One copy for one folder."""

    folder: Path
    flags: tuple[str, ...]
    header: bytes | None
    """Stands in place of the message's header section."""
    shown: str
    """The mailbox's name."""


@dataclass(slots=True)
class Plan:
    """What is to be done with one message for one mailbox."""

    placements: list[Placement] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    remember: list[tuple[str, str, int]] = field(default_factory=list)
    """Kind, key and seconds of what is remembered once all is done."""
    refusal: str | None = None
    """The reason of ereject: the recipient has failed."""
    notice: bytes | None = None
    """A message to the owner that goes to INBOX as well."""
    fault: str = ""
    """Why the script could not be followed, for the log."""
    is_shared: bool = False
    """Some of it is done already, for another recipient of the same message."""
    notes: list[str] = field(default_factory=list)
    """What became of actions that were not done as the script has them."""


class Filters:
    """The scripts of all accounts of one worker. May be used by several threads at once; blocking."""

    def __init__(self, settings: SieveSettings, *, hostname: str, delimiter: str, global_dir: Path, lifetime: float,
                 troubles: Troubles = SILENT) -> None:  # fmt: skip
        """``lifetime``: how long a message may be tried again, in seconds. ``global_dir``: where ``include :global``
        finds scripts. ``troubles`` gets files that cannot be used."""
        self._troubles = troubles
        self._settings = settings
        self._hostname = hostname
        self._delimiter = delimiter
        self._global_dir = global_dir
        self._lifetime = int(max(DAY, lifetime)) + DAY
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, tuple[tuple[int, int, int], Script | ScriptError]] = OrderedDict()
        self.faults = 0
        """How often a script could not be followed."""
        self._default = DefaultScript(settings.default_script, self.load)

    def plan(self, folder: Path, incoming: Incoming, now: float) -> Plan | None:
        """What to do with a message for the Maildir ``folder`` at ``now`` (seconds since the epoch); None: store it in
        INBOX as it is. OSError when the disk cannot be read: try again later."""
        try:
            active = active_path(folder)
            own = self.load(active) if active is not None else None
        except ScriptError as fault:
            return self._broken(folder, incoming, now, str(fault.problems[0]))
        except OSError as fault:
            self._require_lasting(folder, fault)
            return self._broken(folder, incoming, now, "the script's file cannot be read")
        try:
            script = own if own is not None else self._default.script()
        except DefaultBrokenError as fault:
            return self._unfiltered(folder, str(fault))
        if script.triggers is not None and not _may_run(script.triggers, incoming):
            return None
        view = view_of(incoming)
        environment = self._environment(folder, incoming, now)
        try:
            result = run_script(script, view, environment)
            if result.is_plain_keep:
                return None
            return _Planning(self, folder, incoming, now, view, environment).plan(result)
        except RunError as fault:
            if own is None and self._default.path is not None:
                return self._unfiltered(folder, self._default.blame(fault))
            return self._broken(folder, incoming, now, str(fault))
        except OSError as fault:
            self._require_lasting(folder, fault)
            return self._broken(folder, incoming, now, "the account's files cannot be read")
        except JobStopped:
            raise
        except Exception as fault:  # noqa: BLE001 - a mistake of ours must not hold up mail: it is kept
            return self._broken(folder, incoming, now, f"internal error: {type(fault).__name__}")

    def _require_lasting(self, folder: Path, fault: OSError) -> None:
        """Raises a fault that may be over at the next try; another one is reported, and the message is kept."""
        if not is_lasting(fault):
            raise fault
        self._troubles.report(fault.filename or folder, fault)

    def load(self, path: str) -> Script | None:
        """The script at ``path``; None when there is none; ScriptError when it is wrong; OSError when it is no regular
        file, or cannot be read."""
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        with self._lock:
            known = self._cache.get(path)
            if known is not None and known[0] == mark:
                self._cache.move_to_end(path)
                script = known[1]
                if isinstance(script, ScriptError):
                    raise script
                return script
        compiled: Script | ScriptError
        try:
            compiled = compile_script(read_file(path))
        except ScriptError as fault:
            compiled = fault
        with self._lock:
            self._cache[path] = (mark, compiled)
            while len(self._cache) > CACHED_SCRIPTS:
                self._cache.popitem(last=False)
        if isinstance(compiled, ScriptError):
            raise compiled
        return compiled

    @property
    def settings(self) -> SieveSettings:
        """Limits."""
        return self._settings

    @property
    def hostname(self) -> str:
        """Our name in what is sent."""
        return self._hostname

    @property
    def lifetime(self) -> int:
        """Seconds for which is remembered what was done for a message that may come again."""
        return self._lifetime

    def _unfiltered(self, folder: Path, fault: str) -> Plan:
        """The operator's script failed: the message is kept, the log says why, and the account is not bothered."""
        with self._lock:
            self.faults += 1
        return Plan([Placement(folder, (), None, "INBOX")], fault=fault)

    def _environment(self, folder: Path, incoming: Incoming, now: float) -> Environment:
        memory = Memory(folder)

        def was_seen(key: str, _seconds: int, _is_renewed: bool) -> bool:
            return memory.knows(DUPLICATE, key, now)

        def load(location: str, name: str) -> Script | None:
            if location == "personal":
                return self.load(f"{folder}/{FOLDER}/{file_name(name)}")
            return self.load(os.path.realpath(self._global_dir / file_name(name)))

        return Environment(
            now=datetime.fromtimestamp(now).astimezone(),
            reverse_path=incoming.reverse_path.decode("utf-8", "replace"),
            recipient=incoming.recipient.decode("utf-8", "replace"),
            delimiter=self._delimiter,
            mailbox_exists=lambda name: _exists(folder, name),
            special_use=lambda use: _special_use(folder, use),
            was_seen=was_seen,
            load=load,
        )

    def _broken(self, folder: Path, incoming: Incoming, now: float, fault: str) -> Plan:
        account = incoming.mailbox.decode("utf-8", "replace")
        plan = Plan([Placement(folder, (), None, "INBOX")], fault=fault)
        with self._lock:
            self.faults += 1
        try:
            is_reported = Memory(folder).knows(NOTICE, "broken", now)
        except OSError:
            is_reported = True  # or it would be with every message
        if not is_reported:
            environment = self._environment(folder, incoming, now)
            plan.notice = answers.fault_notice(
                fault, view_of(incoming), environment, account, f"{incoming.queue_id}.notice@{self._hostname}"
            )
            plan.remember.append((NOTICE, "broken", DAY))
        return plan


class _Planning:
    """Turns the result of one run into a plan."""

    def __init__(self, filters: Filters, folder: Path, incoming: Incoming, now: float, view: MessageView,
                 environment: Environment) -> None:  # fmt: skip
        self._filters = filters
        self._folder = folder
        self._incoming = incoming
        self._now = now
        self._view = view
        self._environment = environment
        self._memory = Memory(folder)
        self._account = incoming.mailbox.decode("utf-8", "replace")
        self._plan = Plan()

    def plan(self, result: Result) -> Plan:
        plan = self._plan
        for store in result.stores:
            if isinstance(store, FileInto) and store.create:
                self._create(store)
            name = "INBOX" if isinstance(store, Keep) else store.mailbox
            self._store(name, store.flags, store.header)
        self._redirects(result)
        if result.vacation is not None:
            self._vacation(result)
        if result.reject is not None:
            self._reject(result)
        plan.remember += [(DUPLICATE, track.key, track.seconds) for track in result.tracks]
        return plan

    def _store(self, name: str, flags: tuple[str, ...], header: bytes | None) -> None:
        try:
            checked = names.checked(name)
        except Refused:
            checked = ""
        if not checked or (checked != "INBOX" and not _exists(self._folder, checked)):
            self._plan.notes.append(f"no mailbox {name[:100]!r}")
            checked = "INBOX"
        folder = self._folder / names.folder_name(checked)
        if all(each.folder != folder for each in self._plan.placements):
            self._plan.placements.append(Placement(folder, flags, header, checked))

    def _create(self, store: FileInto) -> None:
        """RFC 5490 3.2. What cannot be made is missing afterwards, and the message goes to INBOX."""
        if _exists(self._folder, store.mailbox):
            return
        special_uses = [store.special_use] if store.special_use else []
        try:
            FolderStore(self._folder).create(store.mailbox, special_uses)
        except Refused as refused:
            if refused.why is not Refusal.ALREADY_EXISTS:
                self._plan.notes.append(f"{store.mailbox[:100]!r} cannot be made: {refused.text}")

    def _redirects(self, result: Result) -> None:
        settings = self._filters.settings
        if not result.redirects:
            return
        if self._incoming.mailbox.lower() in self._delivered_to():
            self._plan.notes.append("not redirected: it came back")
            self._store("INBOX", (), None)
            return
        since = self._now + self._filters.lifetime - DAY
        today = self._memory.count(REDIRECT, since)
        if len(result.redirects) > settings.max_redirects or today + len(result.redirects) > settings.redirects_per_day:
            raise RunError("too many redirects")
        for redirect in result.redirects:
            self._redirect(redirect.address, redirect.header)

    def _delivered_to(self) -> set[bytes]:
        """The accounts that the message says it has been delivered to."""
        values = [value.strip().lower() for value in self._view.raw_values("Delivered-To")]
        return {*values, *(base_address(value, self._environment.delimiter) for value in values)}

    def _redirect(self, address: str, header: bytes | None) -> None:
        incoming = self._incoming
        key = f"{incoming.queue_id} {address}"
        if self._memory.knows(REDIRECT, key, self._now):
            return  # an earlier attempt sent it
        traces = b"Delivered-To: " + incoming.mailbox + b"\r\n"
        content, is_whole = traces, False
        if header is not None:
            content, is_whole = traces + edited(incoming, header), True
        local, _, domain = address.rpartition("@")
        recipient = f"{local}@{domain.lower()}".encode()
        self._plan.outgoing.append(
            Outgoing(REDIRECT, key, self._redirected_from(), recipient, content, is_whole, self._filters.lifetime)
        )

    def _redirected_from(self) -> bytes:
        """The reverse-path of what is redirected. Null stays null (RFC 5321 4.5.5), or bounces could go round."""
        incoming = self._incoming
        is_ours = self._filters.settings.redirect_envelope_from == "recipient" and incoming.reverse_path
        return incoming.mailbox if is_ours else incoming.reverse_path

    def _vacation(self, result: Result) -> None:
        vacation, sender = result.vacation, self._environment.reverse_path
        assert vacation is not None
        own = {self._account, self._environment.recipient, *vacation.addresses}
        why = answers.why_no_answer(self._view, self._environment, own)
        key = f"{vacation.handle} {sender.lower()}"
        if not why and self._memory.knows(VACATION, key, self._now, max(1, vacation.seconds)):
            why = "the sender was answered before"
        if why:
            self._plan.notes.append(f"no vacation answer: {why}")
            return
        message_id = f"{self._incoming.queue_id}.vacation@{self._filters.hostname}"
        content = answers.vacation_answer(vacation, self._view, self._environment, self._account, message_id)
        self._answer(VACATION, key, content, max(1, vacation.seconds))

    def _reject(self, result: Result) -> None:
        reject = result.reject
        assert reject is not None
        if reject.is_early or not self._incoming.reverse_path:
            # RFC 5429 2.1: the sender gets a DSN, where there is one.
            self._plan.refusal = " ".join(reject.reason.split()) or "rejected by the recipient"
            return
        self._plan.notes.append("rejected")
        key = self._incoming.queue_id
        if self._memory.knows(REJECTED, key, self._now):
            return
        content = answers.rejection(
            reject.reason, self._view, self._environment, account=self._account, hostname=self._filters.hostname,
            message_id=f"{key}.rejected@{self._filters.hostname}",
        )  # fmt: skip
        self._answer(REJECTED, key, content, self._filters.lifetime)

    def _answer(self, kind: str, key: str, content: bytes, seconds: int) -> None:
        self._plan.outgoing.append(Outgoing(kind, key, b"", self._incoming.reverse_path, content, True, seconds))


def _may_run(wanted: frozenset[bytes], incoming: Incoming) -> bool:
    if incoming.path is not None:
        return True
    return may_run(wanted, bytes(incoming.head))


def _exists(folder: Path, name: str) -> bool:
    try:
        return spelling.is_there(Root(folder), names.checked(name))
    except Refused:
        return False


def _special_use(folder: Path, use: str) -> str | None:
    """The mailbox of the account with a special use (RFC 6154), if there is one."""
    for name, uses in Root(folder).notes().special_uses.items():
        if use.lower() in map(str.lower, uses):
            mailbox = names.name_of(name)
            return mailbox if mailbox is not None and _exists(folder, mailbox) else None
    return None
