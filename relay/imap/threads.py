"""The two ways to make threads of messages (RFC 5256 3): ORDEREDSUBJECT and REFERENCES.

Pure, without recursion over what peers sent: a chain of replies may be as long as the mailbox. What a message says of
itself is read once (``Mention``); then time is that of sorting, times a logarithm for references that go round in
circles (forest.py).

Bounds: of References the last REFERENCES_OCTETS are looked at, and of them the last MAX_REFERENCES ids are kept, or,
once MAX_KEPT ids are, the last FEW of each message; of a long id a digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

from relay.imap.forest import Forest
from relay.imap.ordering import Subject, base_subject, sent_at
from relay.imap.state import State

MAX_REFERENCES: Final = 1000
REFERENCES_OCTETS: Final = 65_536
MAX_KEPT: Final = 1_000_000
FEW: Final = 10
LONGEST_ID: Final = 64
"""Octets of an id that is kept as it is."""
_NOTHING: Final = Subject("", False)
_ID: Final = re.compile(rb"<([^<>\s]+)>")


class Mention(NamedTuple):
    """What a message says of itself."""

    at: int
    """Its index."""
    date: float = 0.0
    subject: Subject = _NOTHING
    own_id: bytes = b""
    """Empty: none."""
    references: tuple[bytes, ...] = ()
    """From the first to its parent."""


@dataclass(eq=False, slots=True)
class Node:
    """A message in its thread, or (index -1) the place of one that is not there."""

    index: int = -1
    children: list[Node] = field(default_factory=list)
    date: float = 0.0
    subject: Subject = _NOTHING

    @property
    def order(self) -> tuple[float, int]:
        """By what siblings are sorted; a place has that of its first child."""
        return self.date, self.index if self.index >= 0 else self.children[0].order[1]


class Mentions:
    """What the messages of one THREAD say, read one by one."""

    def __init__(self, state: State) -> None:
        self.found: list[Mention] = []
        self._state = state
        self._kept = 0

    def add(self, index: int) -> None:
        """The next message. Refused EXPUNGED, and left out, when it is gone."""
        fields = self._state.parts(index)[0].fields
        try:
            self.found.append(self._read(index, fields))
        except Exception as fault:  # noqa: BLE001 - is_poison() raises again what is an answer
            self._state.is_poison(index, fault)
            self.found.append(Mention(index))

    def _read(self, index: int, fields: Mapping[str, bytes]) -> Mention:
        own = _ID.search(fields.get("message-id", b"")[:REFERENCES_OCTETS])
        most = MAX_REFERENCES if self._kept < MAX_KEPT else FEW
        chain = _ID.findall(fields.get("references", b"")[-REFERENCES_OCTETS:])[-most:]
        if not chain:
            chain = _ID.findall(fields.get("in-reply-to", b"")[:REFERENCES_OCTETS])[:1]
        self._kept += len(chain)
        subject = base_subject(fields.get("subject", b""))
        date = sent_at(self._state, index)
        return Mention(index, date, subject, _short(own[1]) if own else b"", tuple(map(_short, chain)))


def _short(name: bytes) -> bytes:
    return name if len(name) <= LONGEST_ID else blake2b(name, digest_size=LONGEST_ID).digest()


def ordered_subject(found: Sequence[Mention]) -> list[Node]:
    """RFC 5256, ORDEREDSUBJECT: one level under the first message of each subject."""
    heads: dict[str, Node] = {}
    for each in sorted(found, key=lambda each: (each.date, each.at)):
        node = Node(each.at, date=each.date)
        head = heads.setdefault(each.subject.base, node)
        if head is not node:
            head.children.append(node)
    return list(heads.values())


def references(found: Sequence[Mention]) -> list[Node]:
    """RFC 5256, REFERENCES."""
    roots = _pruned(*_linked(found))
    _sort(roots)
    roots = _gathered(roots)
    _sort(roots)
    return roots


def written(threads: Sequence[Node], number: Callable[[int], int]) -> bytes:
    """``(1 2 (3)(4))``."""
    out: list[bytes] = []
    work: list[Node | bytes] = []
    for thread in reversed(threads):
        work += [b")", thread, b"("]
    needs_space = False
    while work:
        item = work.pop()
        if isinstance(item, bytes):
            out.append(item)
            needs_space = False
            continue
        if item.index >= 0:
            out.append((b" " if needs_space else b"") + b"%d" % number(item.index))
            needs_space = True
        if len(item.children) == 1 and item.index >= 0:
            work.append(item.children[0])
        elif item.children:
            if needs_space:
                out.append(b" ")
            for child in reversed(item.children):
                work += [b")", child, b"("]
    return b"".join(out)


def _linked(found: Sequence[Mention]) -> tuple[Forest, dict[int, Mention]]:
    """Step 1: every message under what it refers to; which node is which message."""
    forest = Forest()
    by_id: dict[bytes, int] = {}
    messages: dict[int, Mention] = {}

    def node_of(name: bytes) -> int:
        node = by_id.get(name, -1)
        if node < 0:
            node = by_id[name] = forest.add()
        return node

    for each in found:
        node = node_of(each.own_id) if each.own_id else forest.add()
        if node in messages:  # the second message of one id has none
            node = forest.add()
        messages[node] = each
        above = -1
        for name in each.references:
            other = node_of(name)
            if above >= 0 and forest.parents[other] < 0:
                forest.link(other, above)
            above = other
        before = forest.parents[node]
        if before >= 0:
            forest.cut(node)  # also when it refers to nothing
        if above >= 0 and not forest.link(node, above) and before >= 0:
            forest.link(node, before)
    return forest, messages


def _pruned(forest: Forest, messages: dict[int, Mention]) -> list[Node]:
    """Step 3: places without a message give way to what is under them, but a root with several."""
    under: list[list[Node]] = [[] for _ in forest.parents]
    roots: list[Node] = []
    for number in reversed(_from_the_top(forest.parents)):
        children, each = under[number], messages.get(number)
        above = forest.parents[number]
        if each is not None:
            children = [Node(each.at, children, each.date, each.subject)]
        elif above < 0 and len(children) > 1:
            children = [Node(children=children)]
        if above < 0:
            roots += children
        elif len(under[above]) < len(children):  # the fewer ones are moved
            children += under[above]
            under[above] = children
        else:
            under[above] += children
    return roots


def _from_the_top(parents: Sequence[int]) -> list[int]:
    """All nodes, each behind the one above it."""
    below: dict[int, list[int]] = {}
    for node, above in enumerate(parents):
        below.setdefault(above, []).append(node)
    order = list(below.get(-1, ()))
    for node in order:
        order += below.get(node, ())
    return order


def _sort(roots: list[Node]) -> None:
    """Step 4: siblings by date; a place without a message has date and subject of its first child."""
    order: list[Node] = []
    work = list(roots)
    while work:
        node = work.pop()
        order.append(node)
        work += node.children
    for node in reversed(order):
        node.children.sort(key=_order)
        if node.index < 0:
            node.date, node.subject = node.children[0].date, node.children[0].subject
    roots.sort(key=_order)


def _order(node: Node) -> tuple[float, int]:
    return node.order


def _gathered(roots: list[Node]) -> list[Node]:
    """Step 5: threads of one subject become one."""
    table: dict[str, Node] = {}
    for node in roots:
        old = table.setdefault(node.subject.base, node)
        if old.index >= 0 and (node.index < 0 or (old.subject.is_reply and not node.subject.is_reply)):
            table[node.subject.base] = node
    result: dict[Node, Node] = {}
    """The first message of a thread, or its place, and what stands there now."""
    for node in roots:
        base = node.subject.base
        main = table[base]
        if node in result:
            continue
        if not base or main is node:
            result[node] = node
        elif main.index < 0 and node.index < 0:
            main.children += node.children
        elif main.index < 0 or (node.subject.is_reply and not main.subject.is_reply):
            main.children.append(node)
        else:
            table[base] = result[main] = Node(children=[main, node], subject=main.subject)
    return list(result.values())
