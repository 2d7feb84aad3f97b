"""Trees that grow by links from a root to a node of another one, and are cut: is this node in the tree below that root?

Theory: while trees are small the way to the root is walked. After a while of long ways (``PATIENCE`` steps for each
question) they are also kept as a link-cut tree (Sleator and Tarjan 1983): paths of the trees as splay trees by depth,
joined by links to the node above. Then a question, a link or a cut costs the logarithm of the number of nodes, however
deep the trees are. At the beginning each node is a path of its own, so nothing needs to be built.

Bound: an array of four numbers a node.
"""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 16
STEPS: Final = 1024
"""Beside PATIENCE, for a whole forest."""


class Forest:
    """Nodes are numbers from 0; each is a root until it is linked."""

    def __init__(self) -> None:
        self.parents: list[int] = []
        """The node above, -1 for a root."""
        self._below: list[int] = []
        """How many nodes are directly under each."""
        self._steps = STEPS
        """Steps up that may still be made without help."""
        self._paths: _Paths | None = None

    def add(self) -> int:
        """A new node."""
        self.parents.append(-1)
        self._below.append(0)
        if self._paths is not None:
            self._paths.add(-1)
        return len(self.parents) - 1

    def link(self, node: int, above: int) -> bool:
        """Puts the root ``node`` under ``above``; False, and nothing is done, when ``above`` is in its tree."""
        if above == node or (self._below[node] and self.root(above) == node):
            return False
        self.parents[node] = above
        self._below[above] += 1
        if self._paths is not None:
            self._paths.link(node, above)
        return True

    def cut(self, node: int) -> None:
        """Makes ``node``, which is no root, one."""
        self._below[self.parents[node]] -= 1
        self.parents[node] = -1
        if self._paths is not None:
            self._paths.cut(node)

    def root(self, node: int) -> int:
        """Of the tree in which ``node`` is."""
        if self._paths is not None:
            return self._paths.root(node)
        parents = self.parents
        steps = PATIENCE + self._steps
        while parents[node] >= 0:
            node = parents[node]
            steps -= 1
            if not steps:
                self._paths = _Paths(parents)
                return self._paths.root(node)
        self._steps = steps
        return node


class _Paths:
    """The link-cut tree. ``_up`` is the node above in the splay tree or, of its top, what the path hangs on."""

    def __init__(self, parents: list[int]) -> None:
        self._up = list(parents)
        self._left = [-1] * len(parents)
        self._right = [-1] * len(parents)

    def add(self, above: int) -> None:
        self._up.append(above)
        self._left.append(-1)
        self._right.append(-1)

    def link(self, node: int, above: int) -> None:
        self._access(node)
        self._up[node] = above

    def cut(self, node: int) -> None:
        self._access(node)
        above = self._left[node]
        self._left[node] = -1
        self._up[above] = -1

    def root(self, node: int) -> int:
        self._access(node)
        left = self._left
        while left[node] >= 0:
            node = left[node]
        self._access(node)  # pays for the way down
        return node

    def _access(self, node: int) -> None:
        """Makes the way from the root to ``node`` one path, with ``node`` on top of its splay tree."""
        below, at = -1, node
        while at >= 0:
            self._splay(at)
            self._right[at] = below
            below, at = at, self._up[at]
        self._splay(node)

    def _is_top(self, node: int) -> bool:
        up = self._up[node]
        return up < 0 or (self._left[up] != node and self._right[up] != node)

    def _splay(self, node: int) -> None:
        while not self._is_top(node):
            up = self._up[node]
            if not self._is_top(up):
                same = (self._left[up] == node) == (self._left[self._up[up]] == up)
                self._rotate(up if same else node)
            self._rotate(node)

    def _rotate(self, node: int) -> None:
        up, left, right = self._up, self._left, self._right
        above = up[node]
        top = up[above]
        if top >= 0:
            if left[top] == above:
                left[top] = node
            elif right[top] == above:
                right[top] = node
        if left[above] == node:
            moved = left[above] = right[node]
            right[node] = above
        else:
            moved = right[above] = left[node]
            left[node] = above
        if moved >= 0:
            up[moved] = above
        up[above], up[node] = node, top
