"""The tests: a run and a bound test in, true or false out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from relay.sieve import addresses, body, dates, spam, values
from relay.sieve.errors import RunError
from relay.sieve.run import Run, clean_flags
from relay.sieve.tree import Node

_Any = TypeVar("_Any")
DUPLICATE_SECONDS: Final = 7 * 86_400
"""RFC 7352 3: what is remembered without ``:seconds``, and at most four times as long."""


def decide(run: Run, node: Node) -> bool:
    """Whether the test is true; RunError where it cannot be told."""
    run.charge()
    is_true = _TESTS[node.name](run, node)
    if node.name not in ("allof", "anyof", "not"):
        run.trace(node, f"{node.name} is {'true' if is_true else 'false'}")
    return is_true


def _all_of(run: Run, node: Node) -> bool:
    return all(decide(run, test) for test in node.tests)


def _any_of(run: Run, node: Node) -> bool:
    return any(decide(run, test) for test in node.tests)


def _not(run: Run, node: Node) -> bool:
    return not decide(run, node.tests[0])


def _indexed(node: Node, found: Sequence[_Any]) -> Sequence[_Any]:
    """Only the one that ``:index`` wants (RFC 5260 6)."""
    if "index" not in node.tags:
        return found
    number = node.tags["index"][1]
    assert isinstance(number, int)
    if number > len(found) or number < 1:
        return []
    place = len(found) - number if "last" in node.tags else number - 1
    return found[place : place + 1]


def _names(run: Run, value: Any) -> list[str]:
    """Names of fields, known only now when there are variables in them."""
    names = run.texts(value)
    for name in names:
        if fault := values.field_name_fault(name):
            raise RunError(f"{values.shown(name)} {fault}")
    run.charge(len(names) * (run.message.header_octets >> 15))  # each is looked for in the whole header section
    return names


def _header(run: Run, node: Node) -> bool:
    names = _names(run, node.arguments[0])
    found = (value for name in names for value in _indexed(node, run.message.values(name)))
    return run.matches(node, found, node.arguments[1])


def _address(run: Run, node: Node) -> bool:
    return run.matches(node, _addresses(run, node), node.arguments[1])


def _addresses(run: Run, node: Node) -> Iterator[str]:
    part = node.tags.get("part", ("all", True))[0]
    for name in _names(run, node.arguments[0]):
        for value in _indexed(node, run.message.raw_values(name)):
            run.charge(len(value) // 1000 + 1)
            for address in addresses.parse_addresses(value):
                text = addresses.part_of(address, part, run.environment.delimiter)
                if text is not None:
                    yield text


def _envelope(run: Run, node: Node) -> bool:
    part = node.tags.get("part", ("all", True))[0]
    found = []
    for name in run.texts(node.arguments[0]):
        path = run.environment.reverse_path if name.lower() == "from" else run.environment.recipient
        if fault := values.envelope_fault(name):
            raise RunError(f"{values.shown(name)} {fault}")
        # RFC 5228 5.4: the null reverse-path is the empty string, whatever the part.
        text = addresses.part_of(addresses.parse_path(path), part, run.environment.delimiter) if path else ""
        if text is not None:
            found.append(text)
    return run.matches(node, found, node.arguments[1])


def _exists(run: Run, node: Node) -> bool:
    return all(run.message.raw_values(name) for name in _names(run, node.arguments[0]))


def _size(run: Run, node: Node) -> bool:
    limit = node.arguments[0]
    assert isinstance(limit, int)
    return run.message.size > limit if node.tags["limit"][0] == "over" else run.message.size < limit


def _has_flag(run: Run, node: Node) -> bool:
    if node.optional is None:
        found = run.flags
    else:
        found = clean_flags([run.variables.get(name) for name in run.texts(node.optional)])
    if node.tags.get("match", ("is",))[0] == "is":
        # RFC 5232 4: each string of the list may hold several flags.
        return run.matches(node, found, tuple(clean_flags(run.texts(node.arguments[0]))))
    return run.matches(node, found, node.arguments[0])


def _body(run: Run, node: Node) -> bool:
    transform, types = node.tags.get("transform", ("text", True))
    run.charge(len(run.message.content()) // 1000)
    if transform == "raw":
        found: Iterator[str] = iter((body.raw_body(run.message),))
    else:
        found = body.texts(run.message, run.texts(types) if transform == "content" else ("text",))
    # RFC 5173 6: the match variables stay as they are.
    return run.matches(node, found, node.arguments[0], sets_variables=False)


def _date(run: Run, node: Node) -> bool:
    name, part = _names(run, node.arguments[0])[0], run.text(node.arguments[1]).lower()
    if fault := values.date_part_fault(part):
        raise RunError(f"{values.shown(part)} {fault}")
    found = []
    for value in _indexed(node, run.message.values(name)):
        date = dates.parse_date(value)
        if date is None:
            continue
        if node.tags.get("zone", ("",))[0] != "originalzone":
            date = dates.in_zone(date, _zone(run, node))
        found.append(dates.part_of(date, part))
    return run.matches(node, found, node.arguments[2])


def _current_date(run: Run, node: Node) -> bool:
    part = run.text(node.arguments[0]).lower()
    if fault := values.date_part_fault(part):
        raise RunError(f"{values.shown(part)} {fault}")
    found = dates.part_of(dates.in_zone(run.environment.now, _zone(run, node)), part)
    return run.matches(node, (found,), node.arguments[1])


def _zone(run: Run, node: Node) -> str:
    if node.tags.get("zone", ("",))[0] != "zone":
        return run.environment.now.strftime("%z")[:5]
    zone = run.text(node.tags["zone"][1])
    if fault := values.zone_fault(zone):
        raise RunError(f"{values.shown(zone)} {fault}")
    return zone


def _string(run: Run, node: Node) -> bool:
    sources = run.texts(node.arguments[0])
    if node.tags.get("match", ("is",))[0] == "count":
        sources = [source for source in sources if source]  # RFC 5229 5
    return run.matches(node, sources, node.arguments[1])


def _mailbox_exists(run: Run, node: Node) -> bool:
    names = run.texts(node.arguments[0])
    run.charge(len(names))
    return all(not values.mailbox_fault(name) and run.environment.mailbox_exists(name) for name in names)


def _special_use_exists(run: Run, node: Node) -> bool:
    there = [run.environment.special_use(flag) for flag in run.texts(node.arguments[0])]
    if node.optional is None:
        return None not in there
    name = run.text(node.optional)
    return run.environment.mailbox_exists(name) and all(each == name for each in there)


def _duplicate(run: Run, node: Node) -> bool:
    from relay.sieve.actions import Track

    how, argument = node.tags.get("id", ("header", "Message-ID"))
    if how == "header":
        found = run.message.values(_names(run, argument)[0])
        if not found:
            return False
        key = found[0]
    else:
        key = run.text(argument)
    handle = run.text(node.tags["handle"][1]) if "handle" in node.tags else ""
    seconds = node.tags.get("seconds", ("", DUPLICATE_SECONDS))[1]
    assert isinstance(seconds, int)
    seconds = min(seconds, 4 * DUPLICATE_SECONDS)
    is_renewed = "last" in node.tags
    whole = f"{handle}\0{key}"
    was_seen = run.environment.was_seen(whole, seconds, is_renewed)
    if not was_seen or is_renewed:
        track = Track(whole, seconds)
        if track not in run.result.tracks:
            run.result.tracks.append(track)
    return was_seen


def _spam(run: Run, node: Node) -> bool:
    score = spam.spam_level(run.message, is_percent="percent" in node.tags)
    return run.matches(node, (score,), node.arguments[0])


def _virus(run: Run, node: Node) -> bool:
    return run.matches(node, (spam.virus_level(run.message),), node.arguments[0])


_TESTS: Final[dict[str, Callable[[Run, Node], bool]]] = {
    "true": lambda _run, _node: True,
    "false": lambda _run, _node: False,
    "not": _not,
    "allof": _all_of,
    "anyof": _any_of,
    "header": _header,
    "address": _address,
    "envelope": _envelope,
    "exists": _exists,
    "size": _size,
    "hasflag": _has_flag,
    "body": _body,
    "date": _date,
    "currentdate": _current_date,
    "string": _string,
    "mailboxexists": _mailbox_exists,
    "specialuse_exists": _special_use_exists,
    "duplicate": _duplicate,
    "spamtest": _spam,
    "virustest": _virus,
}
