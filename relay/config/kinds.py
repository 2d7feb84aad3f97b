"""The kinds of value a setting can have: how one is read, checked, and shown.

Each kind reads what TOML gives (``parse``) and what an environment variable gives (``parse_text``), and raises
ValueError with a text that says what was wrong and what is right; the loader adds file, line and key path. ``show``
is the inverse of ``parse``: TOML text that reads as the same value.

Not here: which settings there are (relay/config/model.py).
"""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from relay.config import units
from relay.mail.address import AddressError, ascii_domain
from relay.mail.next_hop import NextHop, parse_next_hop

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_TYPE_NAMES: Final[dict[type, str]] = {
    bool: "true/false",
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}
_LOCAL_PART: Final = re.compile(r"[^\s@<>()\[\]\\,;:\"\x00-\x20\x7f]{1,64}")


class Endpoint(NamedTuple):
    """An IP address and a port."""

    address: str
    port: int


@dataclass(frozen=True)
class Kind:
    """How a setting's value is read and shown. Subclasses say what they accept."""

    def parse(self, value: object) -> Any:
        """The checked value of what TOML gave; ValueError when it will not do."""
        raise NotImplementedError

    def parse_text(self, text: str) -> Any:
        """The checked value of what an environment variable holds; ValueError when it will not do."""
        return self.parse(text)

    def show(self, value: Any) -> str:
        """``value`` as TOML."""
        return json.dumps(str(value), ensure_ascii=False)

    def describe(self) -> str:
        """Type, unit and range in a few words, for the reference page."""
        raise NotImplementedError


def require_text(value: object) -> str:
    """``value`` when it is text; ValueError, which does not show it, otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"must be text in quotes, not {_show_type(value)}")
    return value


def _show_type(value: object) -> str:
    return _TYPE_NAMES.get(type(value), type(value).__name__)


@dataclass(frozen=True)
class Text(Kind):
    """Printable text on one line; ``may_be_empty`` where empty has a meaning of its own."""

    may_be_empty: bool = True
    longest: int = 200

    def parse(self, value: object) -> str:
        text = require_text(value)
        if not text and not self.may_be_empty:
            raise ValueError("must not be empty")
        if len(text) > self.longest:
            raise ValueError(f"is longer than {self.longest} characters")
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
            raise ValueError("must not hold control characters or line breaks")
        return text

    def describe(self) -> str:
        return "text"


@dataclass(frozen=True)
class Flag(Kind):
    """true or false."""

    def parse(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false (no quotes), not {_show_type(value)}")
        return value

    def parse_text(self, text: str) -> bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f'must be true or false, not "{text}"')
        return text.lower() == "true"

    def show(self, value: Any) -> str:
        return "true" if value else "false"

    def describe(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int

    def parse(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number (no quotes), not {_show_type(value)}")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be from {self.low} to {self.high}, not {value}")
        return value

    def parse_text(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            raise ValueError(f'must be a whole number, not "{text}"')
        return self.parse(int(text))

    def show(self, value: Any) -> str:
        return str(value)

    def describe(self) -> str:
        return f"whole number, {self.low} to {self.high}"


@dataclass(frozen=True)
class Real(Kind):
    """A number from ``low`` to ``high``."""

    low: float
    high: float

    def parse(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be a number (no quotes), not {_show_type(value)}")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be from {self.low:g} to {self.high:g}, not {value:g}")
        return float(value)

    def parse_text(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f'must be a number, not "{text}"') from None
        return self.parse(number)

    def show(self, value: Any) -> str:
        return repr(float(value))

    def describe(self) -> str:
        return f"number, {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Duration(Kind):
    """Seconds as float, written with a unit; ``low`` and ``high`` in the same writing. ``zero`` says what 0 means."""

    low: str
    high: str
    zero: str = ""

    def parse(self, value: object) -> float:
        text = "0" if value == 0 and not isinstance(value, bool) else value
        if not isinstance(text, str):
            raise ValueError(f'must be a duration in quotes, such as "5m", not {_show_type(value)}')
        seconds = units.parse_duration(text)
        if not (seconds == 0 and self.zero) and not self._is_in_range(seconds):
            allowed = '"0" or ' if self.zero else ""
            raise ValueError(f'must be {allowed}from "{self.low}" to "{self.high}", not "{text}"')
        return seconds

    def _is_in_range(self, seconds: float) -> bool:
        return units.parse_duration(self.low) <= seconds <= units.parse_duration(self.high)

    def show(self, value: Any) -> str:
        return f'"{units.show_duration(value)}"'

    def describe(self) -> str:
        return f"duration, {self.low} to {self.high}" + (f"; 0 = {self.zero}" if self.zero else "")


@dataclass(frozen=True)
class Size(Kind):
    """Octets as int, written with a unit; ``low`` and ``high`` in the same writing. ``zero`` says what 0 means."""

    low: str
    high: str
    zero: str = ""

    def parse(self, value: object) -> int:
        text = "0" if value == 0 and not isinstance(value, bool) else value
        if not isinstance(text, str):
            raise ValueError(f'must be a size in quotes, such as "25MiB", not {_show_type(value)}')
        octets = units.parse_size(text)
        if not (octets == 0 and self.zero) and not units.parse_size(self.low) <= octets <= units.parse_size(self.high):
            allowed = '"0" or ' if self.zero else ""
            raise ValueError(f'must be {allowed}from "{self.low}" to "{self.high}", not "{text}"')
        return octets

    def show(self, value: Any) -> str:
        return f'"{units.show_size(value)}"'

    def describe(self) -> str:
        return f"size, {self.low} to {self.high}" + (f"; 0 = {self.zero}" if self.zero else "")


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    def parse(self, value: object) -> str:
        text = require_text(value)
        if text not in self.words:
            near = get_close_matches(text, self.words, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise ValueError(f'must be one of {", ".join(self.words)}, not "{text}"{hint}')
        return text

    def describe(self) -> str:
        return "one of " + ", ".join(self.words)


@dataclass(frozen=True)
class FilePath(Kind):
    """A path. The loader takes a relative one from the folder of the configuration file."""

    def parse(self, value: object) -> Path:
        text = require_text(value)
        if not text or "\0" in text:
            raise ValueError("must be a path")
        return Path(text)

    def describe(self) -> str:
        return "path; a relative one is taken from the folder of the configuration file"


@dataclass(frozen=True)
class LogDestination(Kind):
    """``stdout``, ``stderr`` or an absolute path."""

    def parse(self, value: object) -> str:
        text = require_text(value)
        if text not in ("stdout", "stderr") and not (text.startswith("/") and "\0" not in text):
            raise ValueError(f'must be stdout, stderr or an absolute path, not "{text}"')
        return text

    def describe(self) -> str:
        return "stdout, stderr or an absolute path"


@dataclass(frozen=True)
class Domain(Kind):
    """A domain name, kept in lower case; an internationalised one as A-labels (IDNA 2008, RFC 5890 2.3.2.1)."""

    def parse(self, value: object) -> str:
        text = require_text(value).rstrip(".")
        try:
            name = ascii_domain(text.encode()).decode("ascii")
        except (AddressError, UnicodeError):
            name = ""
        if not _DOMAIN.fullmatch(name):
            raise ValueError(f'"{value}" is not a domain name')
        return name

    def describe(self) -> str:
        return "domain name"


@dataclass(frozen=True)
class HostPattern(Domain):
    """A host name, or ``*.`` and a domain: one label more (RFC 6125 6.4.3)."""

    def parse(self, value: object) -> str:
        text = require_text(value)
        return "*." + super().parse(text[2:]) if text.startswith("*.") else super().parse(text)

    def describe(self) -> str:
        return 'host name, or "*." and a domain'


@dataclass(frozen=True)
class Mail(Kind):
    """A mail address; the domain is kept in lower case, the local part as it is (RFC 5321 2.4)."""

    may_be_empty: bool = False
    may_be_elsewhere: bool = False
    """It need not be one of ours: dots may stand anywhere in its local part, as some large providers have them."""

    def parse(self, value: object) -> str:
        text = require_text(value)
        if not text and self.may_be_empty:
            return ""
        local, at, domain = text.rpartition("@")
        atoms = local.split(".")
        is_local_part = any(atoms) if self.may_be_elsewhere else all(atoms)
        if not at or not _LOCAL_PART.fullmatch(local) or not is_local_part:
            raise ValueError(f'"{text}" is not a mail address; write local-part@domain')
        return f"{local}@{Domain().parse(domain)}"

    def describe(self) -> str:
        return "mail address"


@dataclass(frozen=True)
class IpAddress(Kind):
    """An IPv4 or IPv6 address."""

    may_be_empty: bool = False

    def parse(self, value: object) -> str:
        text = require_text(value)
        if not text and self.may_be_empty:
            return ""
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise ValueError(f'"{text}" is not an IP address (host names are not looked up here)') from None

    def describe(self) -> str:
        return "IP address"


@dataclass(frozen=True)
class Network(Kind):
    """An IP network in CIDR writing; a single address is a network of one."""

    def parse(self, value: object) -> str:
        text = require_text(value)
        try:
            return str(ipaddress.ip_network(text))
        except ValueError as fault:
            if "host bits" in str(fault):
                meant = ipaddress.ip_network(text, strict=False)
                raise ValueError(f'"{text}" has bits set behind its prefix; did you mean "{meant}"?') from None
            raise ValueError(f'"{text}" is not a network; write e.g. "192.0.2.0/24" or "2001:db8::/32"') from None

    def describe(self) -> str:
        return "network (CIDR)"


@dataclass(frozen=True)
class Server(Kind):
    """``address`` or ``address:port`` (``[address]:port`` for IPv6)."""

    default_port: int

    def parse(self, value: object) -> Endpoint:
        text = require_text(value)
        match = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?|([0-9.]+):([0-9]{1,5})", text, re.ASCII)
        address, port = (match[1] or match[3], match[2] or match[4]) if match else (text, None)
        number = int(port) if port else self.default_port
        if not 1 <= number <= 65535:
            raise ValueError(f'"{text}": a port is from 1 to 65535')
        return Endpoint(IpAddress().parse(address), number)

    def show(self, value: Any) -> str:
        host = f"[{value.address}]" if ":" in value.address else value.address
        return f'"{host}:{value.port}"'

    def describe(self) -> str:
        return f"IP address, with :port when it is not {self.default_port}"


@dataclass(frozen=True)
class Hop(Kind):
    """A next hop (relay.mail.next_hop)."""

    may_be_empty: bool = False

    def parse(self, value: object) -> NextHop | None:
        text = require_text(value)
        if not text and self.may_be_empty:
            return None
        return parse_next_hop(text)

    def show(self, value: Any) -> str:
        return f'"{value if value is not None else ""}"'

    def describe(self) -> str:
        return "next hop: smtp://host:port, lmtp://host:port or lmtp:///path/of/socket"


@dataclass(frozen=True)
class Many(Kind):
    """A list of one kind, without repetition; in an environment variable with commas between, or as a TOML list."""

    item: Kind

    def parse(self, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list [ ... ], not {_show_type(value)}")
        return tuple(dict.fromkeys(self.item.parse(item) for item in value))

    def parse_text(self, text: str) -> tuple[Any, ...]:
        if text.lstrip().startswith("["):
            return self.parse(parse_toml_value(text))
        return self.parse([item.strip() for item in text.split(",") if item.strip()])

    def show(self, value: Any) -> str:
        return "[" + ", ".join(self.item.show(item) for item in value) + "]"

    def describe(self) -> str:
        return f"list of: {self.item.describe()}"


def parse_toml_value(text: str) -> object:
    """The one TOML value in ``text``; ValueError when it is not one."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as fault:
        raise ValueError(f"is not a TOML value: {fault}") from None
    if len(table) != 1:
        raise ValueError("is more than one TOML value")
    return table["value"]
