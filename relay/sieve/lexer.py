r"""Octets of a script to tokens (RFC 5228 8.1).

Theory: one pass with one regular expression for white space and one for tokens; both look at each character once.
Line ends are CRLF (RFC 5228 2.1); LF alone is taken, too, since people edit scripts where lines end so.

The value of a string token is what it means: escapes and dot stuffing are gone, and a line break in it is CRLF.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from relay.sieve import limits
from relay.sieve.errors import Problem, ScriptError

IDENTIFIER: Final = "identifier"
TAG: Final = "tag"
NUMBER: Final = "number"
STRING: Final = "string"
PUNCTUATION: Final = "punctuation"
END: Final = "end"

NUMBER_LIMIT: Final = (1 << 63) - 1

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*|/\*(?s:.*?)\*/)*")
_TOKEN: Final = re.compile(
    r"""(?P<text>text:[ \t]*(?:\#[^\n]*)?\r?\n)
      | (?P<tag>:[A-Za-z_][A-Za-z0-9_]*)
      | (?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>[0-9]+[KMGkmg]?)(?![A-Za-z0-9_])
      | (?P<string>"(?:[^"\\]|\\(?s:.))*")
      | (?P<punctuation>[]{}()[,;])""",
    re.VERBOSE | re.IGNORECASE,
)
_TEXT_END: Final = re.compile(r"^\.\r?(?:\n|\Z)", re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_QUANTIFIERS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Token(NamedTuple):
    """One token."""

    kind: str
    value: str
    """An identifier or tag in lower case, a tag without its colon; a number in decimal; a string as it is meant."""
    offset: int


class Positions:
    """Lines and columns of a text."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        self._starts += [match.end() for match in re.finditer("\n", text)]

    def problem(self, offset: int, text: str) -> Problem:
        """``text`` about what is at ``offset``."""
        line = bisect_right(self._starts, offset)
        return Problem(line, offset - self._starts[line - 1] + 1, text)

    def line(self, offset: int) -> int:
        """The line of ``offset``, from 1."""
        return bisect_right(self._starts, offset)


def decode(octets: bytes) -> str:
    """The characters of a script; ScriptError when it is too long, is not UTF-8 or has a NUL (RFC 5228 2.1)."""
    if len(octets) > limits.SCRIPT_OCTETS:
        raise ScriptError([Problem(1, 1, f"a script has at most {limits.SCRIPT_OCTETS} octets, not {len(octets)}")])
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as fault:
        before = octets[: fault.start].decode("utf-8")
        raise ScriptError([Positions(before).problem(len(before), "this is not UTF-8")]) from None
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        at = text.index("\0")
        raise ScriptError([Positions(text).problem(at, "a NUL is not allowed in a script")])
    return text


class Lexer:
    """The tokens of a script; what is wrong goes to ``problems``, and reading goes on behind it."""

    def __init__(self, text: str, positions: Positions, problems: list[Problem]) -> None:
        self._text = text
        self._positions = positions
        self._problems = problems

    def tokens(self) -> Iterator[Token]:
        """All tokens; the last is of kind END."""
        text, at = self._text, 0
        while True:
            space = _SPACE.match(text, at)
            at = space.end() if space else at
            if at >= len(text):
                break
            match = _TOKEN.match(text, at)
            if match is None:
                at = self._unknown(at)
                continue
            kind = match.lastgroup or ""
            if kind == "text":
                end, value = self._multi_line(match.end())
                yield self._string(at, value)
                at = end
                continue
            if kind == STRING:
                yield self._string(at, _ESCAPE.sub(r"\1", match[0][1:-1]))
            elif kind == NUMBER:
                yield Token(NUMBER, str(self._number(at, match[0])), at)
            else:
                yield Token(kind, match[0].lower().removeprefix(":"), at)
            at = match.end()
        yield Token(END, "", len(text))

    def _string(self, at: int, value: str) -> Token:
        if len(value) > limits.STRING_CHARACTERS:
            self._wrong(at, f"a string has at most {limits.STRING_CHARACTERS} characters")
            value = ""
        if "\n" in value:
            value = value.replace("\r\n", "\n").replace("\n", "\r\n")
        return Token(STRING, value, at)

    def _number(self, at: int, word: str) -> int:
        digits = word.rstrip("KMGkmg")
        factor = _QUANTIFIERS[word[-1].upper()] if digits != word else 1
        if len(digits.lstrip("0")) > 19 or int(digits[-40:]) * factor > NUMBER_LIMIT:
            self._wrong(at, f"a number is at most {NUMBER_LIMIT}")
            return 0
        return int(digits[-40:]) * factor

    def _multi_line(self, start: int) -> tuple[int, str]:
        end = _TEXT_END.search(self._text, start)
        if end is None:
            self._wrong(start, 'this "text:" has no end: a line with nothing but a dot')
            return len(self._text), ""
        lines = self._text[start : end.start()].split("\n")
        return end.end(), "\n".join(line.removeprefix(".") if line.startswith("..") else line for line in lines)

    def _unknown(self, at: int) -> int:
        text = self._text
        if text.startswith("/*", at):
            self._wrong(at, "this comment has no end")
            return len(text)
        if text[at] == '"':
            self._wrong(at, "this string has no end")
            return len(text)
        self._wrong(at, f"{text[at]!r} has no meaning here")
        return at + 1

    def _wrong(self, at: int, text: str) -> None:
        self._problems.append(self._positions.problem(at, text))
        if len(self._problems) >= limits.PROBLEMS:
            raise ScriptError(self._problems)
