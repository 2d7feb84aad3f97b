"""Runs a script on a message: the commands (RFC 5228 3 and 4, and those of its extensions).

Actions are gathered, not carried out: after an error nothing of the script has happened but the keep that its caller
makes of it (RFC 5228 2.10.6). What cannot go together (RFC 5429 2.2: reject with anything that takes the message) is
an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from relay.sieve import limits, values
from relay.sieve.actions import FileInto, Keep, Redirect, Reject, Result, Vacation
from relay.sieve.conditions import decide
from relay.sieve.environment import Environment
from relay.sieve.errors import RunError, ScriptError
from relay.sieve.message import MessageView
from relay.sieve.run import Run, clean_flags
from relay.sieve.tree import Node, Script
from relay.sieve.variables import Variables, modified

_GO: Final = "go"
_RETURN: Final = "return"
_STOP: Final = "stop"
_UNDELETABLE: Final = ("received", "auto-submitted")
"""RFC 5293 6, 7."""
MAX_VACATION_SECONDS: Final = 90 * 86_400
VACATION_DAYS: Final = 7


def evaluate(script: Script, message: MessageView, environment: Environment) -> Result:
    """What ``script`` wants done with ``message``; the message's header may be edited. RunError: keep it."""
    run = Run(script, message, environment)
    _block(run, script.commands)
    result = run.result
    if run.keeps_implicitly and result.reject is None:
        result.stores.append(Keep(tuple(run.flags), _edited(run)))
    result.is_discarded = not (result.stores or result.redirects or result.reject)
    return result


def _block(run: Run, commands: tuple[Node, ...] | list[Node]) -> str:
    for node in commands:
        run.charge()
        try:
            how = _COMMANDS[node.name](run, node)
        except RunError as fault:
            raise fault if fault.line else RunError(fault.text, node.line) from None
        if how != _GO:
            return how
    return _GO


# ---- control --------------------------------------------------------------------------------------------------------


def _if(run: Run, node: Node) -> str:
    for branch in (node, *node.branches):
        if branch.name == "else" or decide(run, branch.tests[0]):
            return _block(run, branch.block)
    return _GO


def _stop(run: Run, node: Node) -> str:
    run.trace(node, "stop")
    return _STOP


def _include(run: Run, node: Node) -> str:
    location = node.tags.get("location", ("personal", True))[0]
    name = run.text(node.arguments[0])
    if fault := values.script_name_fault(name):
        raise RunError(f"{values.shown(name)} {fault}")
    key = (location, name)
    if "once" in node.tags and key in run.once:
        return _GO
    if key in run.including:
        raise RunError(f"the script {values.shown(name)} includes itself")
    run.includes += 1
    if run.includes > limits.INCLUDES or len(run.including) >= limits.INCLUDE_DEPTH:
        raise RunError("too many scripts are included")
    try:
        script = run.environment.load(location, name)
    except ScriptError as broken:
        raise RunError(f"the included script {values.shown(name)} is broken: {broken.problems[0]}") from None
    if script is None:
        if "optional" in node.tags:
            return _GO
        raise RunError(f"there is no {location} script {values.shown(name)} to include")
    run.once.add(key)
    run.trace(node, f"include {location} {values.shown(name)}")
    return _within(run, script, key)


def _within(run: Run, script: Script, key: tuple[str, str]) -> str:
    outer = run.script, run.variables
    run.script, run.variables = script, Variables(run.shared)
    run.including.append(key)
    how = _block(run, script.commands)
    run.including.pop()
    run.script, run.variables = outer
    return _STOP if how == _STOP else _GO


def _return(_run: Run, _node: Node) -> str:
    return _RETURN


def _global(run: Run, node: Node) -> str:
    for name in run.texts(node.arguments[0]):
        run.variables.share(name)
    return _GO


def _set(run: Run, node: Node) -> str:
    name, value = str(node.arguments[0]), run.text(node.arguments[1])
    if fault := values.variable_fault(name):
        raise RunError(f"{values.shown(name)} {fault}")
    modifiers = [(group, tag) for group, (tag, _) in node.tags.items()]
    run.variables.set(name, modified(value, modifiers))
    return _GO


# ---- actions --------------------------------------------------------------------------------------------------------


def _count(run: Run, node: Node, what: str) -> None:
    run.actions += 1
    if run.actions > limits.ACTIONS:
        raise RunError(f"more than {limits.ACTIONS} actions")
    run.trace(node, what)


def _takes(run: Run) -> None:
    """An action that takes the message (RFC 5429 2.2.2)."""
    if run.result.reject is not None:
        raise RunError("a message that is rejected cannot be kept, filed or redirected as well")


def _keep(run: Run, node: Node) -> str:
    _takes(run)
    _count(run, node, "keep")
    run.keeps_implicitly = False
    _store(run, Keep(_flags(run, node), _edited(run)))
    return _GO


def _file_into(run: Run, node: Node) -> str:
    _takes(run)
    mailbox = run.text(node.arguments[0])
    if fault := values.mailbox_fault(mailbox):
        raise RunError(f"{values.shown(mailbox)} {fault}")
    special_use = run.text(node.tags["specialuse"][1]) if "specialuse" in node.tags else ""
    if special_use and (found := run.environment.special_use(special_use)) is not None:
        mailbox, special_use = found, ""
    _count(run, node, f"fileinto {values.shown(mailbox)}")
    if "copy" not in node.tags:
        run.keeps_implicitly = False
    _store(run, FileInto(mailbox, _flags(run, node), "create" in node.tags, _edited(run), special_use))
    return _GO


def _store(run: Run, store: Keep | FileInto) -> None:
    """Each mailbox gets the message once (RFC 5228 2.10.3); the last flags count."""
    stores = run.result.stores
    place = _place(store)
    for number, other in enumerate(stores):
        if _place(other) == place:
            stores[number] = store
            return
    stores.append(store)


def _place(store: Keep | FileInto) -> str:
    if isinstance(store, Keep) or store.mailbox.upper() == "INBOX":
        return "INBOX"
    return store.mailbox


def _redirect(run: Run, node: Node) -> str:
    _takes(run)
    address = run.text(node.arguments[0])
    if fault := values.address_fault(address):
        raise RunError(f"{values.shown(address)} {fault}")
    _count(run, node, f"redirect {values.shown(address)}")
    if "copy" not in node.tags:
        run.keeps_implicitly = False
    if all(each.address != address for each in run.result.redirects):
        run.result.redirects.append(Redirect(address, _edited(run)))
    return _GO


def _discard(run: Run, node: Node) -> str:
    _count(run, node, "discard")
    run.keeps_implicitly = False
    return _GO


def _reject(run: Run, node: Node) -> str:
    result = run.result
    _count(run, node, node.name)
    if result.reject is not None:
        raise RunError("a message is rejected only once")
    if result.stores or result.redirects or result.vacation is not None:
        raise RunError(f"{node.name} does not go together with what the script did before")
    run.keeps_implicitly = False
    result.reject = Reject(run.text(node.arguments[0]), node.name == "ereject")
    return _GO


def _vacation(run: Run, node: Node) -> str:
    result = run.result
    _count(run, node, "vacation")
    if result.vacation is not None:
        raise RunError("vacation is done only once")
    if result.reject is not None:
        raise RunError("a message that is rejected gets no vacation answer")
    tags = {group: value for group, (_, value) in node.tags.items()}
    period, number = node.tags.get("period", ("days", VACATION_DAYS))
    assert isinstance(number, int)
    seconds = number if period == "seconds" else max(1, number) * 86_400
    reason = run.text(node.arguments[0])
    subject, sender = (run.text(tags.get(group, "")) for group in ("subject", "from"))
    is_mime = "mime" in tags
    said = "\0".join((reason, subject, sender, str(is_mime)))
    handle = run.text(tags["handle"]) if "handle" in tags else hashlib.sha256(said.encode()).hexdigest()
    own = tuple(run.texts(tags.get("addresses", ())))
    result.vacation = Vacation(
        reason, min(seconds, MAX_VACATION_SECONDS), subject, sender, own, is_mime, handle
    )  # fmt: skip
    return _GO


# ---- flags and header -----------------------------------------------------------------------------------------------


def _flags(run: Run, node: Node) -> tuple[str, ...]:
    if "flags" in node.tags:
        return tuple(clean_flags(run.texts(node.tags["flags"][1])))
    return tuple(run.flags)


def _edited(run: Run) -> bytes | None:
    return run.message.header() if run.message.is_edited else None


def _change_flags(run: Run, node: Node) -> str:
    variable = None if node.optional is None else run.text(node.optional)
    flags = clean_flags(run.texts(node.arguments[0]))
    lower = {flag.lower() for flag in flags}
    there = run.flags_of(variable)
    if node.name == "addflag":
        flags = clean_flags([*there, *flags])
    elif node.name == "removeflag":
        flags = [flag for flag in there if flag.lower() not in lower]
    run.set_flags(variable, flags)
    return _GO


def _add_header(run: Run, node: Node) -> str:
    name, value = run.text(node.arguments[0]), run.text(node.arguments[1])
    if fault := values.field_name_fault(name):
        raise RunError(f"{values.shown(name)} {fault}")
    run.added_fields += 1
    if run.added_fields > limits.EDITED_FIELDS:
        raise RunError(f"more than {limits.EDITED_FIELDS} header fields added")
    run.charge(run.message.header_octets >> 7)  # all fields may have to be looked at
    run.message.add(name, value, last="last" in node.tags)
    run.trace(node, f"addheader {values.shown(name)}")
    return _GO


def _delete_header(run: Run, node: Node) -> str:
    name = run.text(node.arguments[0])
    if fault := values.field_name_fault(name):
        raise RunError(f"{values.shown(name)} {fault}")
    if name.lower() in _UNDELETABLE:
        return _GO
    run.charge(run.message.header_octets >> 7)

    def chosen(found: list[str]) -> list[bool]:
        places = range(len(found))
        if "index" in node.tags:
            number = int(str(node.tags["index"][1]))
            place = len(found) - number if "last" in node.tags else number - 1
            places = places[place : place + 1] if place >= 0 else range(0)
        if node.optional is None:
            return [place in places for place in range(len(found))]
        if node.tags.get("match", ("",))[0] == "count":
            return [run.matches(node, found, node.optional, sets_variables=False)] * len(found)
        return [
            place in places and run.matches(node, (value,), node.optional, sets_variables=False)
            for place, value in enumerate(found)
        ]

    gone = run.message.remove(name, chosen)
    run.trace(node, f"deleteheader {values.shown(name)}: {gone}")
    return _GO


_COMMANDS: Final[dict[str, Callable[[Run, Node], str]]] = {
    "if": _if,
    "stop": _stop,
    "include": _include,
    "return": _return,
    "global": _global,
    "set": _set,
    "keep": _keep,
    "fileinto": _file_into,
    "redirect": _redirect,
    "discard": _discard,
    "reject": _reject,
    "ereject": _reject,
    "vacation": _vacation,
    "setflag": _change_flags,
    "addflag": _change_flags,
    "removeflag": _change_flags,
    "addheader": _add_header,
    "deleteheader": _delete_header,
}
