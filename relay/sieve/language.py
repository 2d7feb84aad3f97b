"""The commands and tests there are: one signature each, as RFC 5228 and its extensions declare them.

A signature says which tagged and positional arguments there may be; the checker (check.py) binds what is written to
it, the evaluator looks only at what was bound.
"""

from __future__ import annotations

from typing import Final, NamedTuple

STRING: Final = "a string"
STRINGS: Final = "a string or a list of strings"
NUMBER: Final = "a number"


class Tagged(NamedTuple):
    """One tagged argument."""

    group: str
    """At most one of a group is given; the name under which it is bound."""
    argument: str = ""
    """What must follow it: STRING, STRINGS, NUMBER or nothing."""
    extension: str = ""
    """Which must be required for it."""


class Signature(NamedTuple):
    """How a command or test is written."""

    arguments: tuple[str, ...] = ()
    tags: dict[str, Tagged] = {}  # noqa: RUF012 - never changed
    extensions: tuple[str, ...] = ()
    """One of which must be required; none: it is there always."""
    optional_first: str = ""
    """Kind of an argument that may stand before the others."""
    optional_last: str = ""
    """Kind of an argument that may stand behind the others."""
    tests: str = ""
    """``one`` test, a ``list`` of them, or none."""
    has_block: bool = False


EXTENSIONS: Final = (
    "body", "comparator-i;ascii-casemap", "comparator-i;ascii-numeric", "comparator-i;octet",
    "comparator-i;unicode-casemap", "copy", "date", "duplicate", "editheader", "encoded-character", "envelope",
    "ereject", "fileinto", "imap4flags", "include", "index", "mailbox", "reject", "relational", "spamtest",
    "spamtestplus", "special-use", "subaddress", "vacation", "vacation-seconds", "variables", "virustest",
)  # fmt: skip
"""What ``require`` may name."""
IMPLIED: Final = {"spamtestplus": ("spamtest",), "vacation-seconds": ("vacation",)}
"""What is there with another extension (RFC 5235 2.2.1, RFC 6131 2)."""

COMPARATORS: Final = {
    "i;octet": "", "i;ascii-casemap": "", "i;ascii-numeric": "comparator-i;ascii-numeric",
    "i;unicode-casemap": "comparator-i;unicode-casemap",
}  # fmt: skip
"""And the extension that each needs (RFC 5228 2.7.3)."""
RELATIONS: Final = ("gt", "ge", "lt", "le", "eq", "ne")
DATE_PARTS: Final = (
    "year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11", "zone", "weekday",
)  # fmt: skip

_MATCH: Final = {
    "is": Tagged("match"),
    "contains": Tagged("match"),
    "matches": Tagged("match"),
    "count": Tagged("match", STRING, "relational"),
    "value": Tagged("match", STRING, "relational"),
    "comparator": Tagged("comparator", STRING),
}
_PART: Final = {
    "all": Tagged("part"),
    "localpart": Tagged("part"),
    "domain": Tagged("part"),
    "user": Tagged("part", "", "subaddress"),
    "detail": Tagged("part", "", "subaddress"),
}
_INDEX: Final = {"index": Tagged("index", NUMBER, "index"), "last": Tagged("last", "", "index")}
_COPY: Final = {"copy": Tagged("copy", "", "copy")}
_FLAGS: Final = {"flags": Tagged("flags", STRINGS, "imap4flags")}

COMMANDS: Final[dict[str, Signature]] = {
    "require": Signature((STRINGS,)),
    "if": Signature(tests="one", has_block=True),
    "elsif": Signature(tests="one", has_block=True),
    "else": Signature(has_block=True),
    "stop": Signature(),
    "keep": Signature(tags=_FLAGS),
    "discard": Signature(),
    "redirect": Signature((STRING,), _COPY),
    "fileinto": Signature(
        (STRING,),
        {
            **_COPY,
            **_FLAGS,
            "create": Tagged("create", "", "mailbox"),
            "specialuse": Tagged("specialuse", STRING, "special-use"),
        },
        ("fileinto",),
    ),
    "reject": Signature((STRING,), extensions=("reject",)),
    "ereject": Signature((STRING,), extensions=("ereject",)),
    "setflag": Signature((STRINGS,), extensions=("imap4flags",), optional_first=STRING),
    "addflag": Signature((STRINGS,), extensions=("imap4flags",), optional_first=STRING),
    "removeflag": Signature((STRINGS,), extensions=("imap4flags",), optional_first=STRING),
    "vacation": Signature(
        (STRING,),
        {
            "days": Tagged("period", NUMBER),
            "seconds": Tagged("period", NUMBER, "vacation-seconds"),
            "subject": Tagged("subject", STRING),
            "from": Tagged("from", STRING),
            "addresses": Tagged("addresses", STRINGS),
            "mime": Tagged("mime"),
            "handle": Tagged("handle", STRING),
        },
        ("vacation",),
    ),
    "set": Signature(
        (STRING, STRING),
        {
            "lower": Tagged("case"),
            "upper": Tagged("case"),
            "lowerfirst": Tagged("first"),
            "upperfirst": Tagged("first"),
            "quotewildcard": Tagged("quote"),
            "length": Tagged("length"),
        },
        ("variables",),
    ),
    "addheader": Signature((STRING, STRING), {"last": Tagged("last")}, ("editheader",)),
    "deleteheader": Signature(
        (STRING,),
        {**_MATCH, "index": Tagged("index", NUMBER), "last": Tagged("last")},
        ("editheader",),
        optional_last=STRINGS,
    ),
    "include": Signature(
        (STRING,),
        {
            "personal": Tagged("location"),
            "global": Tagged("location"),
            "once": Tagged("once"),
            "optional": Tagged("optional"),
        },
        ("include",),
    ),
    "return": Signature(extensions=("include",)),
    "global": Signature((STRINGS,), extensions=("include",)),
}

TESTS: Final[dict[str, Signature]] = {
    "true": Signature(),
    "false": Signature(),
    "not": Signature(tests="one"),
    "allof": Signature(tests="list"),
    "anyof": Signature(tests="list"),
    "header": Signature((STRINGS, STRINGS), {**_MATCH, **_INDEX}),
    "address": Signature((STRINGS, STRINGS), {**_MATCH, **_PART, **_INDEX}),
    "envelope": Signature((STRINGS, STRINGS), {**_MATCH, **_PART}, ("envelope",)),
    "exists": Signature((STRINGS,)),
    "size": Signature((NUMBER,), {"over": Tagged("limit"), "under": Tagged("limit")}),
    "hasflag": Signature((STRINGS,), _MATCH, ("imap4flags",), optional_first=STRINGS),
    "body": Signature(
        (STRINGS,),
        {
            **_MATCH,
            "raw": Tagged("transform"),
            "text": Tagged("transform"),
            "content": Tagged("transform", STRINGS),
        },
        ("body",),
    ),
    "date": Signature(
        (STRING, STRING, STRINGS),
        {**_MATCH, **_INDEX, "zone": Tagged("zone", STRING), "originalzone": Tagged("zone")},
        ("date",),
    ),
    "currentdate": Signature((STRING, STRINGS), {**_MATCH, "zone": Tagged("zone", STRING)}, ("date",)),
    "string": Signature((STRINGS, STRINGS), _MATCH, ("variables",)),
    "mailboxexists": Signature((STRINGS,), extensions=("mailbox",)),
    "specialuse_exists": Signature((STRINGS,), extensions=("special-use",), optional_first=STRING),
    "duplicate": Signature(
        (),
        {
            "handle": Tagged("handle", STRING),
            "header": Tagged("id", STRING),
            "uniqueid": Tagged("id", STRING),
            "seconds": Tagged("seconds", NUMBER),
            "last": Tagged("last"),
        },
        ("duplicate",),
    ),
    "spamtest": Signature((STRING,), {**_MATCH, "percent": Tagged("percent", "", "spamtestplus")}, ("spamtest",)),
    "virustest": Signature((STRING,), _MATCH, ("virustest",)),
}
