"""Twin of the path parser: the grammar of RFC 5321 4.1.2 and RFC 6531 3.3 as regular expressions.

Octets that are not UTF-8 become lone surrogates (``surrogateescape``), which no expression accepts. Where an
expression ends, the twin asks why: the line is over, an octet is not UTF-8, or the part is malformed.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

U = r"[^\x00-\x7f\ud800-\udfff]"
ATOM = rf"(?:[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]|{U})+"
# What can be read of a part before the first octet that makes it wrong ("viable"), and the whole part.
DOT_STRING = re.compile(rf"{ATOM}(?:\.{ATOM})*")
VIABLE_DOT_STRING = re.compile(rf"(?:{ATOM}(?:\.{ATOM})*\.?)?")
# The same for a lenient reader: dots anywhere, and an atom among them.
LENIENT_DOT_STRING = re.compile(rf"\.*{ATOM}(?:\.+{ATOM})*\.*")
LENIENT_VIABLE = re.compile(rf"\.*(?:{ATOM}(?:\.+{ATOM})*\.*)?")
QUOTED = re.compile(rf'"(?:[ !#-\[\]-~]|\\[ -~]|{U})*"')
VIABLE_QUOTED = re.compile(rf'"(?:[ !#-\[\]-~]|\\[ -~]|{U})*(?:\\\Z)?')
EDGE = rf"(?:[A-Za-z0-9_]|{U})"
INNER = rf"(?:[A-Za-z0-9_-]|{U})"
LABEL = rf"{EDGE}(?:{INNER}*{EDGE})?"
DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*")
LENIENT_DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")
VIABLE_DOMAIN = re.compile(rf"(?:{LABEL}\.)*(?:{EDGE}{INNER}*)?")
LITERAL = re.compile(r"\[([!-Z^-~]*)\]")
GENERAL = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]:.+")


class Wrong(Exception):  # noqa: N818 - a way out of the twin, never seen outside
    def __init__(self, error: str, at: int) -> None:
        super().__init__(error)
        self.error = error
        self.at = at


class Path(NamedTuple):
    error: str
    flags: frozenset[str] = frozenset()
    local: bytes = b""
    domain: bytes = b""
    address: bytes = b""
    params: bytes = b""
    at: int = 0


def octets_of(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


class Reader:
    """The rest of the text, from where the last part ended."""

    def __init__(self, text: str, *, lenient: bool = False) -> None:
        self.text = text
        self.at = 0
        self.lenient = lenient

    @property
    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def wrong(self, error: str, at: int | None = None) -> Wrong:
        at = self.at if at is None else at
        if at < len(self.text) and "\udc80" <= self.text[at] <= "\udcff":
            error = "utf8"
        return Wrong(error, at)

    def take(self, whole: re.Pattern[str], viable: re.Pattern[str], error: str) -> str:
        """Reads one part; wrong when what is viable is not the whole part."""
        begun = viable.match(self.text, self.at)
        assert begun is not None
        part = begun.group()
        broken = "\udc80" <= self.text[begun.end() : begun.end() + 1] <= "\udcff"
        if broken or not whole.fullmatch(part):
            raise self.wrong(error, begun.end())
        self.at = begun.end()
        return part


def is_ipv4(text: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False


def is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    if "%" in text:
        return False
    groups = len([group for group in text.split(":") if group]) + text.count(".") // 3
    return "::" not in text or groups <= 6


def is_literal(content: str) -> bool:
    if content[:5].upper() == "IPV6:":
        return is_ipv6(content[5:])
    return is_ipv4(content) or GENERAL.fullmatch(content) is not None


def read_domain(reader: Reader, error: str) -> str:
    domain = reader.take(LENIENT_DOMAIN if reader.lenient else DOMAIN, VIABLE_DOMAIN, error)
    if re.fullmatch(r"(?:.*\.)?[0-9]+\.?", domain):
        raise reader.wrong(error)
    return domain


def read_route(reader: Reader) -> list[str]:
    domains = []
    while reader.next == "@":
        reader.at += 1
        domains.append(read_domain(reader, "route"))
        if reader.next == ":":
            reader.at += 1
            return domains
        if reader.next != ",":
            raise Wrong("route", reader.at)
        reader.at += 1
    raise Wrong("route", reader.at)


def read_local(reader: Reader) -> str:
    if reader.next == '"':
        begun = VIABLE_QUOTED.match(reader.text, reader.at)
        assert begun is not None
        if reader.text[begun.end() : begun.end() + 1] != '"':
            raise reader.wrong("quoted", begun.end())
        start, reader.at = reader.at, begun.end() + 1
        return reader.text[start : reader.at]
    if reader.lenient:
        return reader.take(LENIENT_DOT_STRING, LENIENT_VIABLE, "local")
    return reader.take(DOT_STRING, VIABLE_DOT_STRING, "local")


def read_literal(reader: Reader) -> str:
    found = LITERAL.match(reader.text, reader.at)
    if found is None:
        begun = re.compile(r"\[[!-Z^-~]*").match(reader.text, reader.at)
        assert begun is not None
        raise Wrong("literal", begun.end())
    if not is_literal(found[1]):
        raise Wrong("literal", reader.at)
    reader.at = found.end()
    return found.group()


def fewest_quotes(local: str) -> str:
    """The same local part as RFC 5321 4.1.2 wants it written."""
    if not local.startswith('"'):
        return local
    meant = re.sub(r"\\(.)", r"\1", local[1:-1])
    return meant if DOT_STRING.fullmatch(meant) else '"' + re.sub(r'(["\\])', r"\\\1", meant) + '"'


def lengths(local: str, domain: str, route: list[str], path_length: int) -> str:
    labels = [label for name in [domain, *route] if not name.startswith("[") for label in name.split(".")]
    if len(octets_of(local)) > 64:
        return "local-too-long"
    if any(len(label) > 63 for label in labels if label.isascii()):
        return "label-too-long"
    if len(octets_of(domain)) > 255:
        return "domain-too-long"
    return "path-too-long" if path_length > 256 else ""


def read_mailbox(reader: Reader) -> tuple[str, str | None]:
    """Local part and domain; None when no "@" follows."""
    local = read_local(reader)
    if reader.next != "@":
        return local, None
    reader.at += 1
    return local, read_literal(reader) if reader.next == "[" else read_domain(reader, "domain")


def result(local: str, domain: str, text: str, flags: set[str]) -> Path:
    if local.startswith('"'):
        flags.add("quoted")
    if domain.startswith("["):
        flags.add("literal")
    if not text.isascii():
        flags.add("utf8")
    lowered = re.sub("[A-Z]", lambda found: found.group().lower(), domain)
    address = fewest_quotes(local) + ("@" + lowered if domain else "")
    return Path("", frozenset(flags), octets_of(local), octets_of(domain), octets_of(address))


def read_path(reader: Reader, verb: str) -> Path:
    """From "<" to ">"."""
    start = reader.at
    reader.at += 1
    if reader.next == ">":
        reader.at += 1
        if verb == "RCPT":
            raise Wrong("null", reader.at)
        return Path("", frozenset({"null"}))
    route = read_route(reader) if reader.next == "@" else []
    local, domain = read_mailbox(reader)
    if reader.next != ">":
        raise Wrong("local" if domain is None else "domain", reader.at)
    text = reader.text[start : reader.at + 1]
    if domain is None and (verb == "MAIL" or route or local.lower() != "postmaster" or not local.isascii()):
        raise Wrong("no-domain", reader.at)
    reader.at += 1
    if error := lengths(local, domain or "", route, len(octets_of(text))):
        raise Wrong(error, reader.at)
    flags = {"routed"} if route else set()
    if domain is None:
        flags.add("postmaster")
    return result(local, domain or "", text, flags)


def is_closed(error: str) -> bool:
    """Whether the error is noticed only after the ">"."""
    return error == "null" or error.endswith("too-long")


def read_argument(reader: Reader, verb: str) -> Path:
    """The keyword, spaces, the path, and a look at what follows."""
    keyword = re.match("(?i:FROM:)" if verb == "MAIL" else "(?i:TO:)", reader.text, re.ASCII)
    if keyword is None:
        raise Wrong("keyword", 0)
    reader.at = keyword.end()
    while reader.next == " ":
        reader.at += 1
    if reader.next != "<":
        raise Wrong("no-angle", reader.at)
    try:
        path = read_path(reader, verb)
    except Wrong as wrong:
        if wrong.at == len(reader.text) and not is_closed(wrong.error):
            raise Wrong("unclosed", wrong.at) from None
        raise
    if reader.next not in {"", " "}:
        raise Wrong("after-path", reader.at)
    return path


def parse_path(verb: str, argument: bytes, *, lenient: bool = False) -> Path:
    """FROM:<path> params, TO:<path> params."""
    reader = Reader(argument.decode(errors="surrogateescape"), lenient=lenient)
    try:
        path = read_argument(reader, verb)
    except Wrong as wrong:
        return Path(wrong.error, at=len(octets_of(reader.text[: wrong.at])))
    rest = octets_of(reader.text[reader.at :])
    return path._replace(params=rest.strip(b" "), at=len(argument) - len(rest))


def read_whole_mailbox(reader: Reader, size: int) -> tuple[str, str]:
    """A mailbox of ``size`` octets with nothing behind it."""
    local, domain = read_mailbox(reader)
    if domain is None:
        raise Wrong("local" if reader.next else "no-domain", reader.at)
    if reader.next:
        raise Wrong("domain", reader.at)
    if error := lengths(local, domain, [], size + 2):
        raise Wrong(error, reader.at)
    return local, domain


def parse_mailbox(octets: bytes) -> Path:
    """local@domain."""
    reader = Reader(octets.decode(errors="surrogateescape"))
    try:
        local, domain = read_whole_mailbox(reader, len(octets))
    except Wrong as wrong:
        return Path(wrong.error, at=len(octets_of(reader.text[: wrong.at])))
    return result(local, domain, reader.text, set())._replace(at=len(octets))


def parse_host(octets: bytes) -> str:
    """The argument of EHLO."""
    reader = Reader(octets.decode(errors="surrogateescape"))
    try:
        domain = read_literal(reader) if reader.next == "[" else read_domain(reader, "domain")
    except Wrong:
        return ""
    if reader.next or len(octets) > 255 or lengths("", domain, [], 0):
        return ""
    return "literal" if domain.startswith("[") else "domain"
