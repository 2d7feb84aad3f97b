"""What a person would read of HTML, for a preview: tags, scripts and styles left out, character references resolved.

Not a parser of HTML: the text comes out in its order, and that is enough here. One pass; what is looked for and not
there is not looked for again, so that time is linear whatever is left open.
"""

from __future__ import annotations

import re
from html.entities import html5
from typing import Final

from relay.mail import charsets

_SILENT: Final = ("script", "style", "title")
_REFERENCE: Final = re.compile(
    r"(?:#(?:[xX](?P<hex>[0-9A-Fa-f]{1,8})(?![0-9A-Fa-f])|(?P<decimal>[0-9]{1,8})(?![0-9]))|(?P<name>[A-Za-z][A-Za-z0-9]{1,31}))"
    r"(?P<end>;?)",
    re.ASCII,
)
_LEGACY: Final = 6
"""Characters of the longest name that counts without a semicolon."""
_LAST: Final = 0x10FFFF


def text_of(html: str) -> str:
    """The text of ``html``; each tag becomes a space."""
    lower = html.lower()
    if len(lower) != len(html):  # a letter that has two in lower case: places would not fit
        lower = html
    missing: set[str] = set()
    kept: list[str] = []
    at = 0
    while (tag := html.find("<", at)) >= 0:
        kept += (html[at:tag], " ")
        at = _past(lower, tag, missing)
    kept.append(html[at:])
    return resolved("".join(kept))


def _past(lower: str, tag: int, missing: set[str]) -> int:
    """Behind the tag at ``tag``, with what belongs to it; ``missing``: ends that are not there any more."""
    if lower.startswith("<!--", tag):
        return _behind(lower, "-->", tag + 4, missing)
    for name in _SILENT:
        if lower.startswith(name, tag + 1) and not lower[tag + 1 + len(name) : tag + 2 + len(name)].isalnum():
            end = _behind(lower, f"</{name}", tag, missing)
            return _behind(lower, ">", end, missing)
    return _behind(lower, ">", tag, missing)


def _behind(lower: str, end: str, at: int, missing: set[str]) -> int:
    found = -1 if end in missing else lower.find(end, at)
    if found < 0:
        missing.add(end)
        return len(lower)
    return found + len(end)


def resolved(text: str) -> str:
    """``text`` with its character references resolved; what is none stands as it is."""
    if "&" not in text:
        return text
    first, *others = text.split("&")
    return first + "".join([_resolved(each) for each in others])


def _resolved(text: str) -> str:
    """What stands behind an ampersand."""
    found = _REFERENCE.match(text)
    if found is None:
        return "&" + text
    rest = text[found.end() :]
    if found["name"] is None:
        return _of_number(int(found["hex"], 16) if found["hex"] else int(found["decimal"])) + rest
    name = found["name"]
    if found["end"] and name + ";" in html5:
        return html5[name + ";"] + rest
    for length in range(min(_LEGACY, len(name)), 1, -1):  # the old ones count without a semicolon, too
        if name[:length] in html5:
            return html5[name[:length]] + text[length + (found["end"] != "" and length == len(name)) :]
    return "&" + text


def _of_number(code: int) -> str:
    if 0x80 <= code < 0xA0:  # as browsers read them
        return charsets.decode(bytes((code,)), "windows-1252")
    return chr(code) if 0 < code <= _LAST and not 0xD800 <= code < 0xE000 else "\ufffd"
