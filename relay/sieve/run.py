"""The state of one run: the budget, the variables of the script that runs, the flags, what was decided so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from relay.net import stopping
from relay.sieve import limits, match, values
from relay.sieve.actions import Result
from relay.sieve.environment import Environment
from relay.sieve.errors import RunError
from relay.sieve.message import MessageView
from relay.sieve.tree import Node, Script
from relay.sieve.variables import Variables


class Run:
    """One script and one message; ``within`` gives the same run for an included script."""

    def __init__(self, script: Script, message: MessageView, environment: Environment) -> None:
        self.script = script
        self.message = message
        self.environment = environment
        self.result = Result()
        self.flags: list[str] = []
        self.keeps_implicitly = True
        self.actions = 0
        self.added_fields = 0
        self.left = limits.BUDGET
        self.includes = 0
        self.once: set[tuple[str, str]] = set()
        self.including: list[tuple[str, str]] = []
        self.shared: dict[str, str] = {}
        self.variables = Variables(self.shared)

    def charge(self, units: int = 1) -> None:
        """Takes from the budget; RunError when it is used up, JobStopped when the run's time is over."""
        stopping.check()
        self.left -= units
        if self.left < 0:
            raise RunError("the script takes too long")

    def trace(self, node: Node, text: str) -> None:
        """Tells a person who asked."""
        if self.environment.trace is not None:
            self.environment.trace(node.line, text)

    # ---- values -----------------------------------------------------------------------------------------------------

    def text(self, value: Any) -> str:
        """A string argument, variables replaced."""
        text = str(value)
        if "${" in text and "variables" in self.script.extensions:
            self.charge(len(text) // 1000 + 1)
            return self.variables.expand(text)
        return text

    def texts(self, value: Any) -> list[str]:
        """A string or list of strings as a list."""
        return [self.text(each) for each in (value if isinstance(value, tuple) else (value,))]

    def matches(self, node: Node, found: Iterable[str], keys: Any, *, sets_variables: bool = True) -> bool:
        """Whether any value found matches any key, by the match type and comparator of ``node`` (RFC 5228 2.7)."""
        kind, relation = node.tags.get("match", ("is", True))
        comparator = str(node.tags.get("comparator", ("", "i;ascii-casemap"))[1])
        decide = match.matcher(kind, str(relation), comparator)
        wanted = self.texts(keys)
        if kind == "count":
            count = str(sum(1 for _ in found))
            self.charge(len(wanted))
            return any(decide(count, key) is not None for key in wanted)
        for value in found:
            self.charge(match.folding_cost(comparator, value))
            for key in wanted:
                self.charge(match.cost(len(value), key) if kind == "matches" else (len(value) + len(key)) // 1000 + 1)
                captures = decide(value, key)
                if captures is not None:
                    if captures and sets_variables:
                        self.variables.matched(captures)
                    return True
        return False

    # ---- flags (RFC 5232) -------------------------------------------------------------------------------------------

    def flags_of(self, variable: str | None) -> list[str]:
        """Those of a variable, or of the internal one."""
        return self.flags if variable is None else clean_flags([self.variables.get(variable)])

    def set_flags(self, variable: str | None, flags: list[str]) -> None:
        """Takes over ``flags``, cleaned."""
        if len(flags) > limits.FLAGS:
            raise RunError(f"more than {limits.FLAGS} flags")
        if variable is None:
            self.flags = flags
        else:
            self.variables.set(variable, " ".join(flags))


def clean_flags(texts: Sequence[str]) -> list[str]:
    """The flags in ``texts`` (several in one, with spaces between), each once; what is no flag is left out (RFC 5232
    2)."""
    found: dict[str, str] = {}
    for text in texts:
        for flag in text.split():
            if not values.flag_fault(flag):
                found.setdefault(flag.lower(), values.SYSTEM_FLAGS.get(flag.lower(), flag))
    return list(found.values())
