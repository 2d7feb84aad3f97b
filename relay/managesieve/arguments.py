"""What stands behind the name of a command: its arguments, names of scripts, scripts."""

from __future__ import annotations

from typing import Any

from relay.mailbox.scripts import ScriptRefused
from relay.managesieve.syntax import Command
from relay.sieve import ScriptError, compile_script
from relay.sieve.values import script_name_fault


def arguments_of(command: Command, wanted: str) -> list[Any] | str:
    """The arguments by ``wanted`` (``s`` a string, ``n`` a number, ``?`` behind one that may be missing), or what is
    wrong with them."""
    given = list(zip(command.words[1:], command.strings[1:], strict=True))
    kinds = wanted.replace("?", "")
    least = len(kinds) - wanted.count("?")
    if not least <= len(given) <= len(kinds):
        return "The command has not the arguments that it needs"
    found: list[Any] = []
    for (word, is_string), kind in zip(given, kinds, strict=False):
        if word is None:
            return "This is too long"
        if is_string != (kind == "s"):
            return "The command has an argument of the wrong kind"
        if kind == "n":
            if not word.isdigit() or len(word) > 10:
                return "This is no number"
            found.append(int(word))
        else:
            found.append(word)
    return found


def script_name(octets: bytes) -> str | None:
    """RFC 5804 1.6: UTF-8 without control characters; ours has no slash, and at most 128 characters."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if script_name_fault(text) else text


def check_script(content: bytes) -> None:
    """ScriptRefused with all that is wrong with a script (RFC 5804 2.6: a NO with the errors)."""
    try:
        compile_script(content)
    except ScriptError as fault:
        raise ScriptRefused("", str(fault)) from None
