"""Values in scripts: which are well-formed. Used by the checker for constants, and by the evaluator for the others.

Each ``..._fault`` returns what is wrong in a few words, or "" when nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from relay.sieve import limits
from relay.sieve.language import DATE_PARTS

_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,200}")
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\x80-\U0010ffff]+"
_ADDRESS: Final = re.compile(
    rf"""(?:\.*{_ATOM}(?:\.+{_ATOM})*\.*|"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*")
        @(?:[A-Za-z0-9\x80-\U0010ffff](?:[A-Za-z0-9\x80-\U0010ffff.-]*[A-Za-z0-9\x80-\U0010ffff])?\.?
        |\[[A-Za-z0-9:.]+\])""",
    re.VERBOSE,
)
_KEYWORD: Final = re.compile(r"[!#$&',+\-./0-9:;<=>?@A-Z^_`a-z|}~]{1,100}", re.ASCII)
SYSTEM_FLAGS: Final = {
    "\\seen": "\\Seen", "\\answered": "\\Answered", "\\flagged": "\\Flagged", "\\deleted": "\\Deleted",
    "\\draft": "\\Draft",
}  # fmt: skip
_ZONE: Final = re.compile(r"[+-](?:[01][0-9]|2[0-3])[0-5][0-9]", re.ASCII)
_VARIABLE: Final = re.compile(r"(?:global\.)?[a-z_][a-z0-9_]*", re.ASCII | re.IGNORECASE)
_SCRIPT_NAME: Final = re.compile(r"[^/\x00-\x1f\x7f-\x9f\u2028\u2029]{1,128}")
_ADDRESS_FIELDS: Final = frozenset({
    "from", "to", "cc", "bcc", "sender", "reply-to", "resent-from", "resent-to", "resent-cc", "resent-bcc",
    "resent-sender", "resent-reply-to", "return-path", "delivered-to", "x-original-to", "disposition-notification-to",
    "errors-to", "mail-followup-to", "mail-reply-to", "apparently-to", "abuse-reports-to", "x-forwarded-to",
    "x-forwarded-for", "for-approval", "list-id", "envelope-to",
})  # fmt: skip
_ENCODED: Final = re.compile(
    r"\$\{(hex|unicode):([ \t\r\n]*[0-9A-F]+(?:[ \t\r\n]+[0-9A-F]+)*[ \t\r\n]*)\}", re.ASCII | re.IGNORECASE
)


def address_fault(text: str) -> str:
    """Whether mail can be sent to ``text``: an addr-spec without a name (RFC 5228 2.4.2.3)."""
    return "" if len(text) <= 320 and _ADDRESS.fullmatch(text) else "is no mail address (local-part@domain)"


def field_name_fault(text: str) -> str:
    """RFC 5322 2.2; RFC 5228 2.4.2.2."""
    return "" if _FIELD_NAME.fullmatch(text) else "is no name of a header field"


def address_field_fault(text: str) -> str:
    """RFC 5228 5.1: the address test is for fields that hold addresses."""
    return field_name_fault(text) or ("" if text.lower() in _ADDRESS_FIELDS else "is no header field with addresses")


def flag_fault(text: str) -> str:
    """One flag (RFC 5232 2)."""
    return "" if text.lower() in SYSTEM_FLAGS or _KEYWORD.fullmatch(text) else "is no flag"


def variable_fault(text: str) -> str:
    """A name that can be set (RFC 5229 3, RFC 6609 3.4.3)."""
    if len(text) > limits.VARIABLE_NAME:
        return f"is longer than {limits.VARIABLE_NAME} characters"
    return "" if _VARIABLE.fullmatch(text) else "is no name of a variable"


def script_name_fault(text: str) -> str:
    """RFC 5804 1.6: 1 to 128 characters here, none of them a slash or a control character."""
    return "" if _SCRIPT_NAME.fullmatch(text) and text not in (".", "..") else "is no name of a script"


def mailbox_fault(text: str) -> str:
    """What can be no mailbox anywhere; the store has rules of its own."""
    return "" if text and len(text) <= 1000 and text.isprintable() else "is no name of a mailbox"


def envelope_fault(text: str) -> str:
    """RFC 5228 5.4."""
    return "" if text.lower() in ("from", "to") else 'is no part of the envelope: "from" or "to"'


def date_part_fault(text: str) -> str:
    """RFC 5260 4.2."""
    return "" if text.lower() in DATE_PARTS else f"is none of {', '.join(DATE_PARTS)}"


def zone_fault(text: str) -> str:
    """RFC 5260 4.1."""
    return "" if _ZONE.fullmatch(text) else "is no time zone such as +0100"


def decode_characters(text: str) -> str:
    """``${hex:24 41}`` and ``${unicode:40}`` in ``text`` (RFC 5228 2.4.2.4).

    ValueError for a number that is no character, or octets that are not UTF-8.
    """
    if "${" not in text:
        return text
    pieces = b""
    at = 0
    for match in _ENCODED.finditer(text):
        numbers = [int(each[-12:], 16) if len(each.lstrip("0")) <= 12 else 1 << 40 for each in match[2].split()]
        pieces += text[at : match.start()].encode("utf-8", "surrogatepass")
        at = match.end()
        if match[1].lower() == "hex":
            if max(numbers) > 255:
                pieces += match[0].encode()
            else:
                pieces += bytes(numbers)
        elif any(each > 0x10FFFF or 0xD800 <= each <= 0xDFFF for each in numbers):
            raise ValueError(f"{match[0][:40]} is no Unicode character")
        else:
            pieces += "".join(map(chr, numbers)).encode()
    try:
        return (pieces + text[at:].encode()).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the octets of ${hex:...} are not UTF-8") from None


_CHECKED: Final[dict[str, tuple[Callable[[str], str], ...]]] = {
    "redirect": (address_fault,), "fileinto": (mailbox_fault,), "header": (field_name_fault,),
    "exists": (field_name_fault,), "address": (address_field_fault,), "envelope": (envelope_fault,),
    "date": (field_name_fault, date_part_fault), "currentdate": (date_part_fault,), "set": (variable_fault,),
    "global": (variable_fault,), "addheader": (field_name_fault,), "deleteheader": (field_name_fault,),
    "include": (script_name_fault,),
}  # fmt: skip
"""By command or test: what its first positional arguments must be."""
_CHECKED_TAGS: Final = {
    ("date", "zone"): zone_fault, ("currentdate", "zone"): zone_fault, ("duplicate", "header"): field_name_fault,
}  # fmt: skip


def problems(
    name: str,
    arguments: Sequence[Any],
    tags: Mapping[str, tuple[str, Any]],
    optional: Any,
    is_constant: Callable[[str], bool],
) -> Iterator[str]:
    """What is wrong with the constant values of one command or test."""
    checks = _CHECKED.get(name, ())
    for check, value in zip(checks, arguments, strict=False):
        for text in _texts(value):
            if is_constant(text) and (fault := check(text)):
                yield f"{shown(text)} {fault}"
    for tag, value in tags.values():
        tag_check = _CHECKED_TAGS.get((name, tag))
        for text in _texts(value):
            if tag_check is not None and is_constant(text) and (fault := tag_check(text)):
                yield f"{shown(text)} {fault}"
        if tag == "flags" or (tag == "from" and name == "vacation"):
            yield from _tag_faults(tag, value, is_constant)
    yield from _rules(name, tags, arguments, optional, is_constant)


def _tag_faults(tag: str, value: Any, is_constant: Callable[[str], bool]) -> Iterator[str]:
    for text in _texts(value):
        if not is_constant(text):
            continue
        if tag == "flags":
            yield from _flag_faults(text)
        elif "@" not in text:
            yield f"{shown(text)} is no mail address"


def _flag_faults(text: str) -> Iterator[str]:
    for flag in text.split():
        if fault := flag_fault(flag):
            yield f"{shown(flag)} {fault}"


def _rules(
    name: str, tags: Mapping[str, Any], arguments: Sequence[Any], optional: Any, is_constant: Callable[[str], bool]
) -> Iterator[str]:
    """What concerns one command or test alone."""
    if "last" in tags and name in ("header", "address", "date", "deleteheader") and "index" not in tags:
        yield '":last" needs ":index"'
    if "index" in tags and tags["index"][1] == 0:
        yield '":index" counts from 1'
    if name == "size" and "limit" not in tags:
        yield 'size needs ":over" or ":under"'
    if name in ("setflag", "addflag", "removeflag"):
        for text in _texts(arguments[0]):
            if is_constant(text):
                yield from _flag_faults(text)
    if name in ("setflag", "addflag", "removeflag", "hasflag") and optional is not None:
        for text in _texts(optional):
            if is_constant(text) and (fault := variable_fault(text)):
                yield f"{shown(text)} {fault}"
    if name == "body" and tags.get("transform", ("",))[0] == "content":
        for text in _texts(tags["transform"][1]):
            if is_constant(text) and text.count("/") > 1:
                yield f"{shown(text)} is no media type"


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) else ()


def shown(text: str) -> str:
    """``text`` in quotes for an error: short and printable."""
    short = text if len(text) <= 60 else text[:57] + "..."
    return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in short) + '"'
