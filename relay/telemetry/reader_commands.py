"""The commands of IMAP, POP3 and ManageSieve that have a time series of their own; whatever else is ``other``."""

from __future__ import annotations

from typing import Final

READER_COMMANDS: Final = {
    "imap": (
        "append", "authenticate", "capability", "check", "close", "compress", "copy", "create", "delete", "enable",
        "examine", "expunge", "fetch", "getmetadata", "getquota", "getquotaroot", "id", "idle", "list", "login",
        "logout", "lsub", "move", "namespace", "noop", "notify", "rename", "replace", "search", "select", "setmetadata",
        "sort", "starttls", "status", "store", "subscribe", "thread", "unauthenticate", "unselect", "unsubscribe",
        "other",
    ),
    "pop3": (
        "auth", "capa", "dele", "lang", "list", "noop", "pass", "quit", "retr", "rset", "stat", "stls", "top", "uidl",
        "user", "utf8", "other",
    ),
    "managesieve": (
        "authenticate", "capability", "checkscript", "deletescript", "getscript", "havespace", "listscripts", "logout",
        "noop", "putscript", "renamescript", "setactive", "starttls", "unauthenticate", "other",
    ),
}  # fmt: skip
"""By protocol, in lower case; UID FETCH counts as fetch, and so on."""
