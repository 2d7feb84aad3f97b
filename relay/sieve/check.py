"""The tree of a script, bound to the language: ``compile_script`` gives a ``Script``, or all that is wrong with it.

What is checked: ``require`` (known, in front, RFC 5228 3.2), that each command and test exists and its extension is
required, if/elsif/else in order, arguments by number and kind, tags (known, once, one of each group), comparators and
match types that fit each other, and values that are constant: addresses, header names, flags, parts of dates.
A value with ``${...}`` under ``variables`` is known only when the script runs, and is checked then.

Not here: the grammar (syntax.py), the signatures (language.py), the values (values.py).
"""

from __future__ import annotations

from typing import Final, NoReturn

from relay.sieve import lexer, limits, values
from relay.sieve.errors import Problem, ScriptError
from relay.sieve.language import (
    COMMANDS,
    COMPARATORS,
    EXTENSIONS,
    IMPLIED,
    NUMBER,
    RELATIONS,
    STRING,
    STRINGS,
    TESTS,
    Signature,
)
from relay.sieve.lexer import Positions
from relay.sieve.syntax import Argument, Item, parse
from relay.sieve.tree import Node, Script, Value
from relay.sieve.triggers import triggers


def compile_script(octets: bytes) -> Script:
    """The script in ``octets`` (UTF-8); ScriptError with all that is wrong with it."""
    text = lexer.decode(octets)
    positions = Positions(text)
    problems: list[Problem] = []
    items = parse(text, positions, problems)
    checker = _Checker(positions, problems)
    commands = checker.script(items)
    if problems:
        raise ScriptError(sorted(problems)[: limits.PROBLEMS])
    return Script(tuple(commands), frozenset(checker.extensions), triggers(commands))


class _ItemError(Exception):
    """Nothing more can be said about this command or test."""


class _Checker:
    def __init__(self, positions: Positions, problems: list[Problem]) -> None:
        self._positions = positions
        self._problems = problems
        self.extensions: set[str] = set()

    # ---- commands ---------------------------------------------------------------------------------------------------

    def script(self, items: list[Item]) -> list[Node]:
        start = 0
        while start < len(items) and items[start].name == "require":
            self._require(items[start])
            start += 1
        return self._commands(items[start:])

    def _require(self, item: Item) -> None:
        node = self._bound(item, COMMANDS["require"])
        if node is None:
            return
        names = node.arguments[0]
        assert isinstance(names, tuple)
        for name in names:
            if name not in EXTENSIONS:
                self._wrong(item.offset, f"the extension {values.shown(name)} is not known here")
            self.extensions.add(name)
            self.extensions.update(IMPLIED.get(name, ()))

    def _commands(self, items: list[Item]) -> list[Node]:
        nodes: list[Node] = []
        chain: Node | None = None
        for item in items:
            if item.name == "require":
                self._wrong(item.offset, "require stands before all other commands")
                continue
            node = self._command(item)
            if item.name in ("elsif", "else"):
                if chain is None:
                    self._wrong(item.offset, f"{item.name} has no if before it")
                elif node is not None:
                    chain.branches.append(node)
                if item.name == "else":
                    chain = None
                continue
            chain = (node or Node("if", 0)) if item.name == "if" else None
            if node is not None:
                nodes.append(node)
        return nodes

    def _command(self, item: Item) -> Node | None:
        signature = COMMANDS.get(item.name)
        if signature is None:
            what = "is a test, not a command" if item.name in TESTS else "is no command"
            self._wrong(item.offset, f'"{item.name}" {what}')
            self._commands(item.block or [])
            return None
        node = self._bound(item, signature)
        if signature.has_block and item.block is None:
            self._wrong(item.offset, f"{item.name} needs a block: {{ ... }}")
        elif item.block is not None:
            if not signature.has_block:
                self._wrong(item.offset, f'{item.name} has no block; it ends with ";"')
            block = self._commands(item.block)
            if node is not None:
                node.block = block
        return node

    def _test(self, item: Item) -> Node | None:
        signature = TESTS.get(item.name)
        if signature is None:
            what = "is a command, not a test" if item.name in COMMANDS else "is no test"
            self._wrong(item.offset, f'"{item.name}" {what}')
            return None
        return self._bound(item, signature)

    # ---- arguments --------------------------------------------------------------------------------------------------

    def _bound(self, item: Item, signature: Signature) -> Node | None:
        """``item`` by its signature; None when something is wrong with it."""
        before = len(self._problems)
        node = Node(item.name, self._positions.line(item.offset))
        if signature.extensions and not self.extensions.intersection(signature.extensions):
            self._wrong(item.offset, f'{item.name} needs require "{signature.extensions[0]}"')
        node.tests = self._tests(item, signature)
        try:
            positional = self._tags(item, signature, node)
            self._positional(item, signature, node, positional)
            if len(self._problems) == before:
                self._values(item, node)
        except _ItemError:
            pass
        return node if len(self._problems) == before else None

    def _tests(self, item: Item, signature: Signature) -> list[Node]:
        if not signature.tests:
            if item.tests:
                self._wrong(item.tests[0].offset, f"{item.name} takes no test")
            return []
        if not item.tests:
            self._wrong(item.offset, f"{item.name} needs {'a test' if signature.tests == 'one' else 'a list of tests'}")
        elif signature.tests == "one" and (len(item.tests) > 1 or item.is_test_list):
            self._wrong(item.offset, f"{item.name} takes one test, not a list; use allof or anyof")
        elif signature.tests == "list" and not item.is_test_list:
            self._wrong(item.offset, f"{item.name} takes a list of tests in parentheses")
        return [node for test in item.tests if (node := self._test(test)) is not None]

    def _tags(self, item: Item, signature: Signature, node: Node) -> list[Argument]:
        """Binds the tagged arguments; returns the others."""
        rest = list(item.arguments)
        positional: list[Argument] = []
        while rest:
            argument = rest.pop(0)
            if argument.kind != lexer.TAG:
                positional.append(argument)
                continue
            name = str(argument.value)
            tagged = signature.tags.get(name)
            if tagged is None:
                self._stop(argument.offset, f'{item.name} has no argument ":{name}"')
            if positional:
                self._wrong(argument.offset, f'":{name}" stands before the arguments without a tag')
            if tagged.extension and tagged.extension not in self.extensions:
                self._wrong(argument.offset, f'":{name}" needs require "{tagged.extension}"')
            if tagged.group in node.tags:
                other = node.tags[tagged.group][0]
                text = "is given twice" if other == name else f'and ":{other}" exclude each other'
                self._wrong(argument.offset, f'":{name}" {text}')
            value: Value = True
            if tagged.argument:
                if not rest or rest[0].kind == lexer.TAG:
                    self._stop(argument.offset, f'":{name}" needs {tagged.argument} behind it')
                value = self._value(rest.pop(0), tagged.argument, f'":{name}"')
            node.tags[tagged.group] = (name, value)
        return positional

    def _positional(self, item: Item, signature: Signature, node: Node, given: list[Argument]) -> None:
        wanted = signature.arguments
        extra = len(given) - len(wanted)
        if extra == 1 and signature.optional_first:
            node.optional = self._value(given[0], signature.optional_first, item.name)
            given = given[1:]
        elif extra == 1 and signature.optional_last:
            node.optional = self._value(given[-1], signature.optional_last, item.name)
            given = given[:-1]
        elif extra > 0:
            self._stop(given[len(wanted)].offset, f"{item.name} takes no more arguments than {len(wanted)}")
        elif extra < 0:
            self._stop(item.offset, f"{item.name} needs {wanted[len(given)]} more")
        node.arguments = [self._value(*pair, item.name) for pair in zip(given, wanted, strict=True)]

    def _value(self, argument: Argument, kind: str, owner: str) -> Value:
        if kind == NUMBER:
            if argument.kind != lexer.NUMBER:
                self._stop(argument.offset, f"{owner} takes a number here")
            return argument.value
        if argument.kind != lexer.STRING or (kind == STRING and argument.is_list):
            self._stop(argument.offset, f"{owner} takes {kind} here")
        assert isinstance(argument.value, tuple)
        if "encoded-character" in self.extensions:
            decoded = tuple(self._decoded(each, argument.offset) for each in argument.value)
        else:
            decoded = argument.value
        return decoded if kind == STRINGS else decoded[0]

    def _decoded(self, text: str, offset: int) -> str:
        try:
            return values.decode_characters(text)
        except ValueError as fault:
            self._stop(offset, str(fault))

    # ---- values -----------------------------------------------------------------------------------------------------

    def _values(self, item: Item, node: Node) -> None:
        if "match" in node.tags or "comparator" in node.tags:
            self._match(item, node)
        for problem in values.problems(node.name, node.arguments, node.tags, node.optional, self._is_constant):
            self._wrong(item.offset, problem)

    def _is_constant(self, text: str) -> bool:
        return "variables" not in self.extensions or "${" not in text

    def _match(self, item: Item, node: Node) -> None:
        match, relation = node.tags.get("match", ("is", True))
        comparator = str(node.tags.get("comparator", ("", "i;ascii-casemap"))[1])
        if comparator not in COMPARATORS:
            self._wrong(item.offset, f"there is no comparator {values.shown(comparator)}")
            return
        needed = COMPARATORS[comparator]
        if needed and needed not in self.extensions:
            self._wrong(item.offset, f'the comparator "{comparator}" needs require "{needed}"')
        if match in ("count", "value"):
            if relation not in RELATIONS:
                self._wrong(item.offset, f'":{match}" takes one of {", ".join(RELATIONS)}')
        elif match in _SUBSTRING and comparator == "i;ascii-numeric":
            self._wrong(item.offset, f'the comparator "i;ascii-numeric" has no ":{match}" (RFC 4790 9.1.1)')

    def _stop(self, offset: int, text: str) -> NoReturn:
        self._wrong(offset, text)
        raise _ItemError

    def _wrong(self, offset: int, text: str) -> None:
        self._problems.append(self._positions.problem(offset, text))
        if len(self._problems) >= limits.PROBLEMS:
            raise ScriptError(sorted(self._problems))


_SUBSTRING: Final = ("contains", "matches")
