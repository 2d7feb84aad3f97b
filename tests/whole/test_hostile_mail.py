"""Mail that was made to stop the appliance, sent to its port by a stranger: others' mail comes through, and whoever
reads the mailbox gets an answer about every message."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.readers import ADDRESS, Readers
from tests.support.appliance import wait_for

KIB = 1024
HEAD = "From: b@x.test\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: {type}\r\n{more}\r\n"
WORDS = "=?a?q?\r\n " * 7000


def content(subject: str = "x", more: str = "", type: str = "text/plain", body: str = "body\r\n") -> bytes:  # noqa: A002
    return (HEAD.format(subject=subject, more=more, type=type) + body).encode("utf-8", "surrogateescape")


HOSTILE = {
    "open encoded words": content(more="".join(f"X-Spam-Flag: {WORDS}\r\n" for _ in range(12))),
    "quotes": content(more='To: "' + '\\"' * 30_000 + "\r\n"),
    "commas in a bracket": content(more="To: <" + ("," * 900 + "\r\n ") * 100 + "\r\n"),
    "at signs": content(more="To: <" + ("@" * 900 + "\r\n ") * 100 + "\r\n"),
    "a bomb in Subject": content(subject="=?zlib?Q?x?= =?bz2?B?QlpoOTFBWSZTWQ==?="),
    "a bomb in the body": content(type="text/plain; charset=bz2"),
    "lone surrogates": content(subject="=?utf-7?Q?+2AA-?=", type="text/plain; charset=utf-7", body="+2AA- +3AA-\r\n"),
    "punycode": content(subject="=?punycode-?Q?" + "a" * 20_000 + "-9?=", type="text/plain; charset=punycode"),
    "an open script": content(type="text/html", body="<script\r\n" * 20_000),
    "a long reference": content(type="text/html", body="&#" + "9" * 900 + ";\r\n"),
    "comments": content(more="To: " + ("(" * 900 + "\r\n ") * 100 + "\r\n"),
    "groups": content(more="To: " + ("a:" * 400 + "\r\n ") * 100 + "\r\n"),
    "an escape": content(body="\x1b[31mred\x1b[0m\r\n"),
}


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Readers]:
    with Readers(tmp_path) as appliance:
        yield appliance


def answered(client: imaplib.IMAP4, *words: str | None) -> list[bytes]:
    kind, found = (
        client.uid(*map(str, words)) if words[0] == "FETCH" else getattr(client, str(words[0]).lower())(*words[1:])
    )
    assert kind == "OK", (words, found)
    return [each if isinstance(each, bytes) else b"".join(each) for each in found]


def test_every_message_is_delivered_and_every_command_is_answered(relay: Readers) -> None:
    script = relay.maildir / "sieve" / "active.sieve"
    script.parent.mkdir(parents=True)
    script.write_text(
        'require ["vacation", "duplicate", "body", "fileinto", "mailbox"];\n'
        'if anyof (address :is ["to", "cc"] "x@y", header :contains "subject" "zzz", body :text :contains "zzz")\n'
        '{ fileinto :create "Never"; }\n'
        'if duplicate :header "subject" { keep; }\n'
        'vacation "away";\n'
    )
    (script.parent / "active").symlink_to(script.name)
    for each in HOSTILE.values():
        relay.send(ADDRESS, content=each)
    relay.send(ADDRESS, content=content(subject="the last one"))
    count = len(HOSTILE) + 1
    wait_for(lambda: len(relay.stored(ADDRESS)) == count, 60, relay.tail)

    client = relay.client()
    client.select("INBOX")
    for item in ("ENVELOPE", "BODYSTRUCTURE", "PREVIEW", "BINARY.PEEK[1]"):
        shown = answered(client, "FETCH", "1:*", f"({item})")
        assert len(re.findall(rb"^\d+ \(UID ", b"\n".join(shown), re.MULTILINE)) == count, item
        assert item != "PREVIEW" or b"\x1b" not in b"".join(shown)
    assert len(answered(client, "SEARCH", None, "SUBJECT", '"the last one"')[0].split()) == 1
    assert len(answered(client, "SEARCH", None, "TEXT", '"the last one"')[0].split()) == 1
    assert answered(client, "SEARCH", None, "FROM", "x.test")[0].split() == [b"%d" % n for n in range(1, count + 1)]
    for order in ("SUBJECT", "DISPLAYFROM", "DISPLAYTO", "TO", "DATE"):
        assert len(answered(client, "SORT", f"({order})", "UTF-8", "ALL")[0].split()) == count
    client.logout()
    assert not [each for each in relay.events() if each.get("event") in ("worker_hung", "worker_died")]
