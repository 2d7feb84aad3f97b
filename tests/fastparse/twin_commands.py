"""Twins of the line and command parsers, of parameters and xtext."""

from __future__ import annotations

import re

SMTP_VERBS = {
    b"HELO", b"EHLO", b"LHLO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"RSET", b"NOOP", b"VRFY", b"EXPN", b"HELP", b"QUIT",
    b"STARTTLS", b"AUTH",
}  # fmt: skip
HTTP_METHODS = {b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"TRACE", b"PRI"}
KEYWORDS = {
    b"SIZE", b"BODY", b"SMTPUTF8", b"RET", b"ENVID", b"NOTIFY", b"ORCPT", b"AUTH", b"BY", b"MT-PRIORITY", b"REQUIRETLS",
}  # fmt: skip
KINDS = {b"\r": "bare-cr", b"\n": "bare-lf", b"\0": "nul"}
FAULTY = re.compile(rb"\r(?!\n)(?!\Z)|(?<!\r)\n|\0")
"""A CR at the very end of what has been read is not yet a fault."""


def first_fault(octets: bytes) -> str:
    """The first bare CR, bare LF or NUL."""
    found = FAULTY.search(octets)
    return KINDS[found.group()] if found else ""


def split_line(octets: bytes) -> tuple[int, str]:
    """The line at the start of ``octets``."""
    line, lf, _ = octets.partition(b"\n")
    return (len(line) + 1 if lf else -1), first_fault(line + lf)


def parse_command(line: bytes) -> tuple[str, bytes]:
    """Verb and argument."""
    word, space, rest = line.partition(b" ")
    if not rest.strip(b" \t"):
        word = word.rstrip(b" \t")
    if word.upper() in SMTP_VERBS:
        verb = word.upper().decode()
    elif line[:1] == b"\x16":
        verb = "TLS"
    else:
        verb = "HTTP" if space and word in HTTP_METHODS else ""
    return verb, rest.strip(b" \t")


PARAM = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=((?:[!-<>-~]|[^\x00-\x7f\ud800-\udfff])+))?")


def parse_params(octets: bytes) -> list[tuple[str, bytes, bytes | None]] | None:
    """RFC 5321 4.1.2 esmtp-param, RFC 6531 3.4."""
    params = []
    for text in octets.decode(errors="surrogateescape").split(" "):
        if not text:
            continue
        found = PARAM.fullmatch(text)
        if found is None:
            return None
        keyword = found[1].encode()
        known = keyword.upper().decode() if keyword.upper() in KEYWORDS else ""
        params.append((known, keyword, None if found[2] is None else found[2].encode()))
    return params


def parse_decimal(octets: bytes) -> int:
    """RFC 1870 3: 1*20DIGIT."""
    return min(int(octets), 2**63 - 1) if re.fullmatch(rb"[0-9]{1,20}", octets) else -1


def has_only_xtext(octets: bytes) -> bool:
    """RFC 3461 4."""
    return re.fullmatch(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", octets) is not None
