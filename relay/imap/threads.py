"""The two ways to make threads of messages (RFC 5256 3): ORDEREDSUBJECT and REFERENCES.

Pure, without recursion over what peers sent: a chain of replies may be as long as the mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.imap.ordering import base_subject, sent_at
from relay.mailbox.ports import View

MAX_REFERENCES: Final = 1000
_ID: Final = re.compile(rb"<([^<>\s]+)>")


@dataclass(eq=False, slots=True)
class Node:
    """A message in its thread, or the place of one that is not there."""

    index: int = -1
    children: list[Node] = field(default_factory=list)
    parent: Node | None = None
    date: float = 0.0

    def adopt(self, child: Node) -> None:
        """Makes ``child`` ours."""
        if child.parent is not None:
            child.parent.children.remove(child)
        child.parent = self
        self.children.append(child)

    def has_above(self, other: Node) -> bool:
        """Whether ``other`` is this one or above it."""
        at: Node | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return False


def ordered_subject(view: View, found: Sequence[int]) -> list[Node]:
    """RFC 5256, ORDEREDSUBJECT: one level under the first message of each subject."""
    dated = sorted(found, key=lambda index: (sent_at(view, index), index))
    heads: dict[str, Node] = {}
    for index in dated:
        base = base_subject(view.parts(index)[0].fields.get("subject", b"")).base
        node = Node(index, date=sent_at(view, index))
        if base in heads:
            heads[base].adopt(node)
        else:
            heads[base] = node
    return list(heads.values())


def references(view: View, found: Sequence[int]) -> list[Node]:
    """RFC 5256, REFERENCES."""
    roots = [node for node in _linked(view, found) if node.parent is None]
    roots = _pruned(roots)
    _sort(roots)
    roots = _gathered(view, roots)
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


def _linked(view: View, found: Sequence[int]) -> list[Node]:
    """Step 1: every message under what it refers to."""
    by_id: dict[bytes, Node] = {}
    nodes: list[Node] = []
    for index in found:
        fields = view.parts(index)[0].fields
        own = _ID.search(fields.get("message-id", b""))
        key = own[1] if own else b"\0%d" % index
        if key in by_id and by_id[key].index >= 0:
            key = b"\0%d" % index
        node = by_id.setdefault(key, Node())
        node.index, node.date = index, sent_at(view, index)
        nodes.append(node)
        chain = [match[1] for match in _ID.finditer(fields.get("references", b""))][-MAX_REFERENCES:]
        if not chain:
            chain = [match[1] for match in _ID.finditer(fields.get("in-reply-to", b""))][:1]
        above: Node | None = None
        for each in chain:
            other = by_id.setdefault(each, Node())
            if above is not None and other.parent is None and not above.has_above(other):
                above.adopt(other)
            above = other
        if above is not None and not above.has_above(node):
            above.adopt(node)
        elif above is None and node.parent is not None and chain:
            node.parent.children.remove(node)
            node.parent = None
    return list(by_id.values())


def _pruned(roots: list[Node]) -> list[Node]:
    """Step 3: places without a message give way to what is under them."""
    work = list(roots)
    order: list[Node] = []
    while work:
        node = work.pop()
        order.append(node)
        work += node.children
    kept: list[Node] = []
    for node in reversed(order):
        if node.index >= 0:
            continue
        parent = node.parent
        if parent is None:
            if len(node.children) == 1:
                node.children[0].parent = None
                node.children[0], only = node.children[0], node.children[0]
                kept.append(only)
                node.children = []
            continue
        at = parent.children.index(node)
        for child in node.children:
            child.parent = parent
        parent.children[at : at + 1] = node.children
        node.children = []
    return kept + [node for node in roots if node.parent is None and (node.index >= 0 or node.children)]


def _sort(roots: list[Node]) -> None:
    """Step 4: siblings by date; a place without a message has the date of its first child."""
    order: list[Node] = []
    work = list(roots)
    while work:
        node = work.pop()
        order.append(node)
        work += node.children
    for node in reversed(order):
        node.children.sort(key=lambda child: (child.date, child.index))
        if node.index < 0 and node.children:
            node.date = node.children[0].date
    roots.sort(key=lambda node: (node.date, node.index if node.index >= 0 else node.children[0].index))


def _gathered(view: View, roots: list[Node]) -> list[Node]:
    """Step 5: threads of one subject become one."""
    table: dict[str, tuple[Node, bool]] = {}
    for node in roots:
        subject = base_subject(_subject(view, node))
        if not subject.base:
            continue
        old = table.get(subject.base)
        if old is None or (node.index < 0 <= old[0].index) or (old[1] and not subject.is_reply and old[0].index >= 0):
            table[subject.base] = (node, subject.is_reply)
    result: list[Node] = []
    merged: dict[int, Node] = {}
    for node in roots:
        subject = base_subject(_subject(view, node))
        entry = table.get(subject.base) if subject.base else None
        if entry is None or entry[0] is node:
            result.append(merged.get(id(node), node))
            continue
        main, is_reply = entry
        if main.index < 0 and node.index < 0:
            for child in list(node.children):
                main.adopt(child)
        elif main.index < 0 or (subject.is_reply and not is_reply):
            main.adopt(node)
        else:
            both = merged.get(id(main))
            if both is None:
                both = merged[id(main)] = Node()
                both.adopt(main)
                result = [both if each is main else each for each in result]
            both.adopt(node)
    return result


def _subject(view: View, node: Node) -> bytes:
    index = node.index if node.index >= 0 else node.children[0].index
    return view.parts(index)[0].fields.get("subject", b"")
