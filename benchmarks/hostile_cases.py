"""The parsers that see what strangers wrote, and what is made to be slow for them; for the ``hostile`` scenario and for
the test that counts steps (tests/hostile).

An input is a unit that is repeated up to a number of octets. Every parser of a kind is given all inputs of that kind:
what is hostile to one was harmless to the last one, too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

Parser = Callable[[bytes], Any]


class Kind(NamedTuple):
    """Parsers that take the same, and inputs for them."""

    parsers: Callable[[], dict[str, Parser]]
    friendly: dict[str, bytes]
    hostile: dict[str, bytes]


def fields() -> dict[str, Parser]:
    """What reads a header field's value."""
    from relay.imap import ordering, sections, structure
    from relay.mail import dates, encoded_words, header_addresses, parameters

    return {
        "encoded words": encoded_words.decode,
        "addresses": header_addresses.addresses,
        "parameters": parameters.parameters,
        "dates": dates.parse,
        "ENVELOPE": lambda value: structure.envelope({"subject": value, "from": value, "to": value, "date": value}),
        "base subject": ordering.base_subject,
        "fields by name": sections.values_by_name,
        "Sieve header and address tests": _sieve(_SCRIPT),
        "Sieve vacation": _sieve('require "vacation"; vacation "away";'),
        "Sieve spamtest": _sieve(
            'require ["spamtest", "relational", "comparator-i;ascii-numeric"];'
            'if spamtest :value "ge" :comparator "i;ascii-numeric" "5" { discard; }'
        ),
        "Sieve editheader": _sieve(
            'require "editheader"; addheader "X-A" "b"; deleteheader :contains "x-b" "c"; deleteheader "subject";'
        ),
        "the default script": _default(),
        "DSN": _bounce,
    }


_SCRIPT: Final = """
require ["variables", "date", "relational", "comparator-i;unicode-casemap", "fileinto", "index"];
if header :contains ["subject", "x-a", "to"] ["nosuch", "neither"] { discard; }
if header :matches :comparator "i;unicode-casemap" "subject" "*[*]*x*" { set "a" "${2}"; }
if address :domain :is ["from", "to", "cc"] ["nosuch.test", "neither.test"] { discard; }
if date :value "ge" "date" "year" "3000" { discard; }
if header :is :comparator "i;unicode-casemap" "subject" "nosuch" { discard; }
"""


def _sieve(text: str) -> Parser:
    from relay.sieve import Environment, MessageView, compile_script, evaluate

    script = compile_script(text.encode())
    environment = Environment(datetime.now(UTC), reverse_path="ann@example.org", recipient="bob@demo.test")

    def run(value: bytes) -> Any:
        header = b"".join(b"%b: %b\r\n" % (name, value) for name in (b"Subject", b"To", b"Date", b"X-Spam-Status"))
        header += value + b"\r\n"
        return evaluate(script, MessageView(header, len(header)), environment)

    return run


def _default() -> Parser:
    from relay.sieve import Environment, MessageView, compile_script, evaluate
    from relay.sieve.default import TEXT

    script = compile_script(TEXT)
    environment = Environment(datetime.now(UTC), reverse_path="ann@example.org", recipient="bob@demo.test")

    def run(value: bytes) -> Any:
        header = b"X-Spam-Flag: " + value.replace(b"\r\n ", b"\r\n  ") + b"\r\n"
        return evaluate(script, MessageView(header, len(header)), environment)

    return run


def _bounce(value: bytes) -> Any:
    from relay.dsn import bounce
    from relay.mail.envelope import Envelope
    from relay.mail.outcome import failed

    envelope = Envelope("Q", 0, b"a@x.test", (b"b@y.test",), 0, 100)
    outcome = failed("5.0.0", value[:2000].decode("latin-1"), "rcpt", code=550)
    content = b"Message-ID:" + value + b"\r\nSubject: " + value + b"\r\n\r\nbody\r\n"
    return bounce(envelope, [(0, outcome)], content, hostname="mx.test", message_id="1@x", now=0)


def texts() -> dict[str, Parser]:
    """What reads the octets of a text part."""
    from relay.mail import charsets, html_text, transfer
    from relay.mail.casemap import casemap
    from relay.mail.unicode_text import normalized
    from relay.sieve.match import fold

    labels = ("utf-8", "us-ascii", "windows-1252", "gb2312", "big5", "shift_jis", "iso-2022-jp", "euc-jp", "euc-kr",
              "utf-7", "utf-16", "iso-2022-kr", "hz", "bz2")  # fmt: skip
    return {
        **{f"charset {label}": partial(charsets.decode, label=label) for label in labels},
        "quoted-printable": partial(transfer.decode, encoding="quoted-printable"),
        "base64": partial(transfer.decode, encoding="base64"),
        "HTML": lambda octets: html_text.text_of(octets.decode("latin-1")),
        "normalisation": lambda octets: normalized("NFKD", octets.decode("utf-8", "replace")),
        "i;unicode-casemap": lambda octets: fold("i;unicode-casemap", octets.decode("utf-8", "replace")),
        "SEARCH's casemap": lambda octets: casemap(octets.decode("utf-8", "replace")),
        "i;ascii-casemap": lambda octets: fold("i;ascii-casemap", octets.decode("utf-8", "replace")),
    }


def contents() -> dict[str, Parser]:
    """What reads a whole content."""
    from relay import _mime

    return {
        "MIME scan": _mime.scan,
        "BODYSTRUCTURE": _bodystructure,
        "Sieve body test": _body(),
    }


def _bodystructure(content: bytes) -> Any:
    from relay.imap import structure as imap_structure
    from relay.mailbox import structure

    with TemporaryDirectory(prefix="relay-hostile-") as folder:
        path = Path(folder) / "cur" / "1.a.b"
        path.parent.mkdir()
        path.write_bytes(content)
        return imap_structure.body(structure.scan(path).parts, is_extended=True)


def _body() -> Parser:
    from relay.sieve import Environment, MessageView, compile_script, evaluate

    text = b'require "body"; if body :text :contains ["nosuch", "neither"] { discard; }'
    script = compile_script(text)
    environment = Environment(datetime.now(UTC), reverse_path="ann@example.org", recipient="bob@demo.test")
    return lambda content: evaluate(script, MessageView(content[:65536], len(content), lambda: content), environment)


KINDS: Final[dict[str, Kind]] = {
    "field": Kind(
        fields,
        {
            "addresses": b"Ann Bell <ann.bell@example.org>,\r\n ",
            "encoded words": b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n ",
            "words": b"some words of a subject\r\n ",
            "UTF-8": "Grüße aus Köln\r\n ".encode(),
        },
        {
            "open words": b"=?a?q?\r\n ",
            "short words": b"=?a?q?x?=",
            "words of two charsets": b"=?a?q?x?==?b?b?eA?= ",
            "marks": b"=?",
            "half words": b"=?utf-8?q?a?b ",
            "commas in a bracket": b"<,",
            "at signs": b"<@",
            "routes": b"<@a,@b:",
            "parentheses": b"(",
            "closing parentheses": b")",
            "quotes": b'"\\"',
            "quotes alone": b'"',
            "brackets": b"[",
            "groups": b"a:",
            "commas": b"a,",
            "folds": b"\r\n ",
            "colons in a bracket": b"<:",
            "parameters": b";a=b",
            "sections": b";a*0*=''%",
            "percents": b";a*='''%4",
            "backslashes": b"\\",
            "dates": b"1 Jan 2020 (",
            "scores": b"score=1 ",
            "8 bits": b"\xe4",
            "surrogates": b"=?utf-7?q?+2AA-?= ",
            "combining": "a\u0316\u0301".encode(),
            "NUL": b"\0",
            "blanks": b" ",
            "one long word": b"x",
            "leaders": b"re:",
            "blobs": b"[a]",
            "open blobs": b"[a",
            "leaders with blobs": b"re[a]",
            "trailers": b"(fwd)",
            "forwards": b"[fwd:",
            "many fields": b"Subject: x\r\nX-B: c\r\nX-C:d\r\n",
        },
    ),
    "text": Kind(
        texts,
        {
            "English": b"The quick brown fox.\r\n",
            "UTF-8": "Grüße aus 中文\r\n".encode(),
            "HTML": b"<p>a &amp; <b>b</b></p>\r\n",
        },
        {
            "255": b"\xff",
            "128": b"\x80",
            "escapes": b"\x1b$",
            "half escapes": b"\x1b",
            "plus signs": b"+A",
            "high surrogates": b"\x00\xd8",
            "lead octets": b"\xa4\x81",
            "tildes": b"~{",
            "soft breaks": b"=\r\n",
            "blanks": b" \t",
            "blank soft breaks": b"= \r\n",
            "equals": b"=",
            "padding": b"QQ==",
            "ampersands": b"&#",
            "references": b"&notit;",
            "open scripts": b"<script",
            "comments": b"<!--",
            "tags": b"<",
            "combining": "a\u0316\u0301".encode(),
            "combining alone": "\u0316\u0301".encode(),
            "letters": "ßŉǰΐ".encode(),
        },
    ),
    "content": Kind(
        contents,
        {"lines": b"Subject: some words\r\n", "text": b"\r\nThe quick brown fox.\r\n"},
        {
            "delimiters": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
            "closed": b"--x--\r\n",
            "fields": b"a:\r\n",
            "folds": b"Content-Type: text/plain;\r\n a=b;\r\n",
            "parts": b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n\r\n',
            "messages": b"Content-Type: message/rfc822\r\n\r\n",
        },
    ),
}  # fmt: skip


def repeated(unit: bytes, octets: int) -> bytes:
    """``unit`` again and again, ``octets`` long."""
    return (unit * (octets // len(unit) + 1))[:octets]
