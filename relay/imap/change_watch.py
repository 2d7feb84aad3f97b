"""News of mailboxes for a client that waits for them (IDLE: RFC 2177, NOTIFY: RFC 5465): the worker's watcher tells.

Not here: what is said of them (state.py, notices.py, session.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from relay.mailbox.interfaces import Store, View


class Watches(Protocol):
    """One for a worker (relay/mailbox/interfaces.py, Watcher); used on the loop. ``changed`` is called when what is
    watched may have changed; each method returns what ends the watch."""

    def watch(self, view: View, changed: Callable[[], None], /) -> Callable[[], None]: ...
    def watch_mailbox(self, store: Store, name: str, changed: Callable[[], None], /) -> Callable[[], None]: ...
    def watch_account(self, store: Store, changed: Callable[[], None], /) -> Callable[[], None]: ...


class Changed(NamedTuple):
    """What may have changed, besides the open mailbox."""

    mailboxes: frozenset[str]
    is_account: bool
    """The list of mailboxes, subscriptions, annotations of the account."""


class News:
    """What a session waits for. What begins to be watched counts as changed: it may have, before."""

    def __init__(self, watches: Watches) -> None:
        self._watches: Final = watches
        self._view: View | None = None
        self._end_view: Callable[[], None] | None = None
        self._ends: dict[str, Callable[[], None]] = {}
        self._end_account: Callable[[], None] | None = None
        self._mailboxes: set[str] = set()
        self._is_account = False
        self.wake: Callable[[], None] = lambda: None
        """Has the session look."""
        self.has_come = False
        """Something may have changed since the last look."""

    @property
    def is_watching(self) -> bool:
        """Whether anything is watched."""
        return bool(self._end_view or self._ends or self._end_account)

    def follow(self, view: View | None, store: Store | None, names: tuple[str, ...], *, has_account: bool) -> None:
        """Watches these from now on, and nothing else."""
        if view is not self._view:
            self._view = view
            _end(self._end_view)
            self._end_view = None
            if view is not None:
                self._end_view = self._watches.watch(view, self.wake)
                self.has_come = True
        for name in self._ends.keys() - set(names):
            self._ends.pop(name)()
        if store is None or not has_account:
            _end(self._end_account)
            self._end_account = None
        if store is None:
            return
        for name in names:
            if name not in self._ends:
                self._ends[name] = self._watches.watch_mailbox(store, name, partial(self._changed, name))
                self._mailboxes.add(name)
                self.has_come = True
        if has_account and self._end_account is None:
            self._end_account = self._watches.watch_account(store, lambda: self._changed(""))
            self._is_account = self.has_come = True

    def stop(self) -> None:
        """Watches nothing any more."""
        self.follow(None, None, (), has_account=False)
        self.take()

    def take(self) -> Changed:
        """What may have changed since it was asked last."""
        changed = Changed(frozenset(self._mailboxes), self._is_account)
        self._mailboxes.clear()
        self._is_account = self.has_come = False
        return changed

    def _changed(self, name: str) -> None:
        if name:
            self._mailboxes.add(name)
        else:
            self._is_account = True
        self.wake()


def _end(end: Callable[[], None] | None) -> None:
    if end is not None:
        end()
