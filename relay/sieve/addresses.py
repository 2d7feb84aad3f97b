"""Addresses in header fields (RFC 5322 3.4), for the address test: mailboxes in their order, groups opened.

Theory: one pass over tokens, no recursion, nothing looked at twice; comments may nest to any depth. It takes what
mail has, not only what the grammar allows; what has no addr-spec is left out (RFC 5228 5.1).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

ADDRESSES_LIMIT: Final = 10_000
_TOKEN: Final = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<sign>[()<>,;:])|(?P<space>[ \t\r\n]+)|(?P<atom>[^"()<>,;: \t\r\n]+|")""",
    re.DOTALL | re.VERBOSE,
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_ROUTE: Final = re.compile(r"@[^:]*:")


class Address(NamedTuple):
    """One mailbox."""

    local: str
    """Without quotes."""
    domain: str
    """Empty for a null reverse-path alone."""

    @property
    def text(self) -> str:
        """As the ``:all`` part is compared (RFC 5228 2.7.4)."""
        return f"{self.local}@{self.domain}" if self.domain else self.local


def parse_addresses(value: str) -> list[Address]:
    """The addresses of one field value, unfolded."""
    found: list[Address] = []
    plain: list[str] = []
    angle: list[str] | None = None
    inside = False
    depth = 0
    for match in _TOKEN.finditer(value):
        kind, text = match.lastgroup, match[0]
        if kind == "sign":
            if text == "(":
                depth += 1
                continue
            if text == ")":
                depth = max(0, depth - 1)
                continue
        if depth:
            continue
        if inside and text != ">":
            assert angle is not None
            angle.append(" " if kind == "space" else text)
        elif text == "<" and angle is None:
            angle, inside = [], True
        elif text == ">":
            inside = False
        elif kind == "sign" and text in ",;":
            _end(found, plain, angle)
            plain, angle = [], None
        elif kind == "sign" and text == ":":
            plain = []  # the name of a group
        else:
            plain.append(" " if kind == "space" else text)
        if len(found) >= ADDRESSES_LIMIT:
            return found
    _end(found, plain, angle)
    return found


def parse_path(path: str) -> Address:
    """The address of an envelope; the null reverse-path has neither part."""
    local, at, domain = path.rpartition("@")
    return Address(_unquoted(local), domain) if at else Address(_unquoted(path), "")


def _end(found: list[Address], plain: list[str], angle: list[str] | None) -> None:
    text = "".join(plain).strip() if angle is None else _ROUTE.sub("", "".join(angle).strip(), count=1)
    local, at, domain = text.rpartition("@")
    local, domain = local.strip(), domain.strip().rstrip(".")
    if not at or not local or not domain or " " in domain:
        return
    if not local.startswith('"'):
        local = re.sub(r" *\. *", ".", local)
        if " " in local:
            return
    found.append(Address(_unquoted(local), domain))


def _unquoted(local: str) -> str:
    if len(local) >= 2 and local.startswith('"') and local.endswith('"'):
        return _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return local


def part_of(address: Address, part: str, delimiter: str) -> str | None:
    """The part that is compared; None where there is none (``:detail`` without a delimiter, RFC 5233 4)."""
    match part:
        case "localpart":
            return address.local
        case "domain":
            return address.domain
        case "user":
            return address.local.partition(delimiter)[0] if delimiter else address.local
        case "detail":
            _, found, detail = address.local.partition(delimiter) if delimiter else ("", "", "")
            return detail if found else None
        case _:
            return address.text
