"""THREAD's slow, obvious twin: RFC 5256 3, REFERENCES, step by step; every question is answered by walking."""

from __future__ import annotations

from itertools import pairwise


class Place:
    """A message, or (number -1) the place of one that is not there."""

    def __init__(self, mention=None):
        self.mention = mention
        self.number = mention.at if mention else -1
        self.parent = None
        self.children = []

    def is_above(self, other):
        while other is not None:
            if other is self:
                return True
            other = other.parent
        return False

    def leave(self):
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent = None

    def put_under(self, parent):
        self.leave()
        self.parent = parent
        parent.children.append(self)

    def first(self):
        """The message whose date and subject count."""
        return self if self.number >= 0 else self.children[0].first()

    def key(self):
        return self.first().mention.date, self.first().number


def references(mentions):
    """The threads as nested tuples: (number, (child, child, ...))."""
    places = linked(mentions)
    roots = [place for place in places if place.parent is None]
    roots = [kept for root in roots for kept in pruned(root)]
    roots = gathered(sort(roots))
    return [nested(root) for root in sort(roots)]


def nested(place):
    return place.number, tuple(nested(child) for child in place.children)


def linked(mentions):
    by_id, places = {}, []

    def place_of(name):
        if name not in by_id:
            by_id[name] = Place()
            places.append(by_id[name])
        return by_id[name]

    for mention in mentions:
        place = place_of(mention.own_id) if mention.own_id else None
        if place is None or place.number >= 0:
            place = Place()
            places.append(place)
        place.mention, place.number = mention, mention.at
        chain = [place_of(name) for name in mention.references]
        for above, below in pairwise(chain):  # 1.A
            if below.parent is None and not below.is_above(above):
                below.put_under(above)
        before = place.parent  # 1.B
        place.leave()
        if chain:
            if not place.is_above(chain[-1]):
                place.put_under(chain[-1])
            elif before is not None:
                place.put_under(before)
    return places


def pruned(place):
    """Step 3."""
    is_root = place.parent is None
    children = [kept for child in list(place.children) for kept in pruned(child)]
    place.children = children
    if place.number >= 0 or (is_root and len(children) > 1):
        return [place]
    return children


def sort(places):
    """Step 4."""
    for place in places:
        place.children = sort(place.children)
    return sorted(places, key=Place.key)


def gathered(roots):
    """Step 5."""
    table: dict[str, Place] = {}
    for root in roots:
        base, is_reply = root.first().mention.subject
        old = table.get(base)
        if not base:
            continue
        if old is None or (
            old.number >= 0 and (root.number < 0 or (old.first().mention.subject.is_reply and not is_reply))
        ):
            table[base] = root
    result = list(roots)
    for root in roots:
        base, is_reply = root.first().mention.subject
        main = table.get(base)
        if main is None or main is root or root not in result:
            continue
        if main.number >= 0 and (root in main.children):
            continue
        main_is_reply = main.first().mention.subject.is_reply
        if main.number < 0 and root in main.children:
            continue
        result.remove(root)
        if main.number < 0 and root.number < 0:
            main.children += root.children
        elif main.number < 0 or (is_reply and not main_is_reply):
            main.children.append(root)
        else:
            both = Place()
            both.children = [main, root]
            result[result.index(main)] = both
            table[base] = both
    return result
