"""Tokens to a tree: the generic grammar of RFC 5228 8.2, without knowledge of any command.

    start     = commands
    commands  = *command
    command   = identifier arguments (";" / block)
    arguments = *argument [ test / test-list ]
    argument  = string-list / number / tag
    test      = identifier arguments
    test-list = "(" test *("," test) ")"
    block     = "{" commands "}"

After an error the parser goes on behind the command, so that one look shows all that is wrong. Depth is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from relay.sieve import limits
from relay.sieve.errors import Problem, ScriptError
from relay.sieve.lexer import END, IDENTIFIER, NUMBER, PUNCTUATION, STRING, TAG, Lexer, Positions, Token


class Argument(NamedTuple):
    """One argument as it is written."""

    kind: str
    """TAG, NUMBER or STRING."""
    value: str | int | tuple[str, ...]
    """Of a tag its name; of strings always a tuple."""
    offset: int
    is_list: bool = False
    """Whether strings stand in brackets."""


@dataclass(slots=True)
class Item:
    """One command or test."""

    name: str
    offset: int
    arguments: list[Argument] = field(default_factory=list)
    tests: list[Item] = field(default_factory=list)
    is_test_list: bool = False
    block: list[Item] | None = None


class _CommandError(Exception):
    """Reading goes on behind this command."""


def parse(text: str, positions: Positions, problems: list[Problem]) -> list[Item]:
    """The commands of ``text``. What is wrong goes to ``problems``; ScriptError when there is too much of it."""
    return _Parser(list(Lexer(text, positions, problems).tokens()), positions, problems).commands(0)


class _Parser:
    def __init__(self, tokens: list[Token], positions: Positions, problems: list[Problem]) -> None:
        self._tokens = tokens
        self._at = 0
        self._positions = positions
        self._problems = problems
        self._items = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def commands(self, depth: int) -> list[Item]:
        found: list[Item] = []
        while self._token.kind != END:
            if self._is("}"):
                if depth:
                    break
                self._wrong(self._token, 'this "}" closes nothing')
                self._at += 1
                continue
            try:
                found.append(self._command(depth))
            except _CommandError:
                self._skip()
        return found

    def _command(self, depth: int) -> Item:
        item = self._item(depth, "a command")
        if self._is("{"):
            opening = self._token
            self._at += 1
            if depth >= limits.NESTING:
                self._give_up(opening)
            item.block = self.commands(depth + 1)
            if not self._is("}"):
                self._wrong(opening, 'this "{" is never closed')
                raise _CommandError
            self._at += 1
        elif self._is(";"):
            self._at += 1
        else:
            self._missing('";" or "{"')
        return item

    def _item(self, depth: int, what: str) -> Item:
        token = self._token
        if token.kind != IDENTIFIER:
            self._missing(what)
        self._items += 1
        if self._items > limits.COMMANDS or depth > limits.NESTING:
            self._give_up(token)
        self._at += 1
        item = Item(token.value, token.offset)
        while (argument := self._argument()) is not None:
            item.arguments.append(argument)
        if self._is("("):
            self._at += 1
            item.is_test_list = True
            item.tests.append(self._item(depth + 1, "a test"))
            while self._is(","):
                self._at += 1
                item.tests.append(self._item(depth + 1, "a test"))
            self._expect(")")
        elif self._token.kind == IDENTIFIER:
            item.tests.append(self._item(depth + 1, "a test"))
        return item

    def _argument(self) -> Argument | None:
        token = self._token
        if token.kind == TAG:
            self._at += 1
            return Argument(TAG, token.value, token.offset)
        if token.kind == NUMBER:
            self._at += 1
            return Argument(NUMBER, int(token.value), token.offset)
        if token.kind == STRING:
            self._at += 1
            return Argument(STRING, (token.value,), token.offset)
        if self._is("["):
            return self._strings()
        return None

    def _strings(self) -> Argument:
        opening = self._token
        self._at += 1
        values: list[str] = []
        while True:
            if self._token.kind != STRING:
                self._missing("a string")
            values.append(self._token.value)
            self._at += 1
            if not self._is(","):
                break
            self._at += 1
        self._expect("]")
        if len(values) > limits.LIST_STRINGS:
            self._wrong(opening, f"a list has at most {limits.LIST_STRINGS} strings")
        return Argument(STRING, tuple(values), opening.offset, is_list=True)

    def _is(self, sign: str) -> bool:
        return self._token.kind == PUNCTUATION and self._token.value == sign

    def _expect(self, sign: str) -> None:
        if not self._is(sign):
            self._missing(f'"{sign}"')
        self._at += 1

    def _missing(self, what: str) -> None:
        token = self._token
        there = {END: "the end of the script", STRING: "a string", NUMBER: "a number"}.get(
            token.kind, f'":{token.value}"' if token.kind == TAG else f'"{token.value}"'
        )
        self._wrong(token, f"{what} should be here, not {there}")
        raise _CommandError

    def _skip(self) -> None:
        """To behind the next ";" or block, or to the "}" of the block that this is in."""
        depth = 0
        while self._token.kind != END:
            if self._is("{"):
                depth += 1
            elif self._is("}"):
                if depth == 0:
                    return
                depth -= 1
                if depth == 0:
                    self._at += 1
                    return
            elif self._is(";") and depth == 0:
                self._at += 1
                return
            self._at += 1

    def _give_up(self, token: Token) -> None:
        nested = self._items <= limits.COMMANDS
        text = (
            f"nested more than {limits.NESTING} deep" if nested else f"more than {limits.COMMANDS} commands and tests"
        )
        self._problems.append(self._positions.problem(token.offset, text))
        raise ScriptError(self._problems)

    def _wrong(self, token: Token, text: str) -> None:
        self._problems.append(self._positions.problem(token.offset, text))
        if len(self._problems) >= limits.PROBLEMS:
            raise ScriptError(self._problems)
