"""What a submission server judges and changes in a content (RFC 6409 5, 8), whatever its size and however it comes."""

import random
import re

import pytest

from relay.smtp._submitted import without_blind
from tests.smtp.stand import Stand
from tests.smtp.test_login import logged_in

LARGE = 64 << 10
KINDS = ("small", "pieces", "many pieces", "file", "chunk", "chunks", "file of chunks")
BODIES = {
    "small": b"Hello.\r\n",
    "pieces": b"Hello.\r\n" * 16_000,
    "many pieces": b"Hello.\r\n" * 16_000,
    "file": b"Hello.\r\n" * 40_000,
    "chunk": b"Hello.\r\n",
    "chunks": b"Hello.\r\n" * 16_000,
    "file of chunks": b"Hello.\r\n" * 40_000,
}
FILLING = b"X-Filling: so that the fields that count come in another piece\r\n" * 2000
REFUSED_AUTHOR = "550 5.7.1 Your account may not write as this author"
REFUSED_HEADER = "554 5.6.0 Header section cannot be read (RFC 5322 2.2)"


def stand(**settings) -> Stand:
    return Stand(kind="submission", plaintext_login=True, large_content=256 << 10, **settings)


def submit(peer, content: bytes, kind: str = "small") -> str:
    """Sends ``content`` as ``kind`` says; the reply to its end."""
    assert peer.say("MAIL FROM:<anna@local.test>", "RCPT TO:<x@elsewhere.example>")[-1].startswith("250")
    if "chunk" in kind:
        size = 40_000 if "chunks" in kind else len(content) or 1
        parts = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        reply = b""
        for number, part in enumerate(parts):
            last = b" LAST" if number == len(parts) - 1 else b""
            reply = peer.send(b"BDAT %d%b\r\n" % (len(part), last) + part)
            if not reply.startswith(b"250"):
                break
        return str(reply.decode().strip())
    assert peer.say("DATA")[-1].startswith("354")
    wire = re.sub(rb"(?m)^\.", b"..", content) + b".\r\n"
    size = {"pieces": 65_536, "many pieces": 1000, "file": 65_536}.get(kind, len(wire))
    return b"".join(peer.send(wire[at : at + size]) for at in range(0, len(wire), size)).decode().strip()


def stored(world: Stand) -> bytes:
    """The content of the one record, without the Received field on top."""
    (record,) = world.spool.records
    assert record.envelope.size == len(record.content), "the size in the envelope is that of what is stored"
    return re.sub(rb"\AReceived:(?:[^\r]|\r\n[ \t])*\r\n", b"", record.content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        (b"Subject: a\r\nFrom: anna@local.test\r\n", ""),
        (b"Subject: a\r\nFrom: ceo@bank.test\r\n", REFUSED_AUTHOR),
        (b"Subject: a\r\nno field\r\nFrom: ceo@bank.test\r\n", REFUSED_HEADER + ": line 2 is no field"),
        (b"From: anna@local.test\r\nno field\r\n", REFUSED_HEADER + ": line 2 is no field"),
        (b"From: anna@local.test\r\n a fold\r\nX\x01: y\r\n", REFUSED_HEADER + ": line 3 is no field"),
        (b" a fold of nothing\r\nFrom: anna@local.test\r\n", REFUSED_HEADER + ": line 1 is no field"),
        (b"From anna@local.test Mon\r\nFrom: anna@local.test\r\n", REFUSED_HEADER + ": line 1 is no field"),
        (b".Subject: a\r\nFrom: ceo@bank.test\r\n", REFUSED_AUTHOR),
        (FILLING + b"From: ceo@bank.test\r\n", REFUSED_AUTHOR),
        (FILLING + b"From: anna@local.test\r\n", ""),
        (FILLING + b"no field\r\nFrom: ceo@bank.test\r\n", REFUSED_HEADER + ": line 2001 is no field"),
    ],
    ids=range(11),
)
def test_the_same_octets_are_judged_however_they_come(kind, header, refusal):
    world = stand()
    reply = submit(logged_in(world), header + b"\r\n" + BODIES[kind], kind)
    assert reply.startswith(refusal or "250 2.0.0"), reply
    assert len(world.spool.records) == (not refusal)


@pytest.mark.parametrize("size", [100, 300 << 10])
@pytest.mark.parametrize("budget", [64 << 20, 512 << 10])
def test_a_field_that_loses_a_dot_on_its_way_is_judged_as_it_arrives(size, budget):
    """RFC 5321 4.5.2: the receiver takes one dot away from any line that begins with one."""
    peer = logged_in(stand(memory_budget=budget))
    peer.say("MAIL FROM:<anna@local.test>", "RCPT TO:<x@elsewhere.example>", "DATA")
    reply = peer.send(b".From: ceo@bank.test\r\n\r\n" + b"Hello.\r\n" * (size // 8) + b".\r\n").decode()
    assert reply.startswith(REFUSED_AUTHOR)


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        (FILLING + b"From: anna@local.test\r\nBcc: a@x.example\r\n", ""),
        (FILLING + b"From: ceo@bank.test\r\n", REFUSED_AUTHOR),
        (FILLING + b"no field\r\nFrom: ceo@bank.test\r\n", REFUSED_HEADER),
    ],
    ids=range(3),
)
def test_a_content_that_goes_to_a_file_for_want_of_memory_is_judged_like_others(header, refusal):
    world = Stand(kind="submission", plaintext_login=True, memory_budget=512 << 10)
    body = b"Date: x\r\nMessage-ID: <y@z>\r\n\r\n" + BODIES["file"]
    reply = submit(logged_in(world), header + body, "many pieces")
    assert reply.startswith(refusal or "250 2.0.0"), reply
    if not refusal:
        assert world.spool.larges
        assert stored(world) == header.replace(b"Bcc: a@x.example\r\n", b"") + body


def test_a_header_section_that_never_ends_is_refused():
    peer = logged_in(stand())
    assert submit(peer, b"X-Field: value\r\n" * 40_000, "file").startswith("552 5.3.4")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("header", "left"),
    [
        (b"Bcc: eve@x.example\r\nFrom: anna@local.test\r\n", b"From: anna@local.test\r\n"),
        (b"From: anna@local.test\r\nBCC : a@x.example,\r\n\tb@x.example\r\n c@x.example\r\nTo: d@x.example\r\n",
         b"From: anna@local.test\r\nTo: d@x.example\r\n"),
        (b"From: anna@local.test\r\nbcc:\r\nResent-Bcc: a@x.example\r\nBcc: b@x.example\r\n",
         b"From: anna@local.test\r\n"),
        (b"From: anna@local.test\r\nX-Bcc: a@x.example\r\nBccs: b\r\nSubject: Bcc:\r\n Bcc: c\r\n",
         b"From: anna@local.test\r\nX-Bcc: a@x.example\r\nBccs: b\r\nSubject: Bcc:\r\n Bcc: c\r\n"),
        (FILLING + b"From: anna@local.test\r\nBcc: a@x.example\r\n", FILLING + b"From: anna@local.test\r\n"),
        (b".From: dot\r\nFrom: anna@local.test\r\nBcc: a@x.example\r\n", b".From: dot\r\nFrom: anna@local.test\r\n"),
    ],
    ids=range(6),
)  # fmt: skip
def test_blind_recipients_stay_unseen(kind, header, left):
    """RFC 5322 3.6.3. The envelope keeps them; what is in the body is no field."""
    world = stand()
    rest = b"Date: x\r\nMessage-ID: <y@z>\r\n\r\nBcc: in the body\r\n.dot\r\n" + BODIES[kind]
    assert submit(logged_in(world), header + rest, kind).startswith("250")
    assert stored(world) == left + rest


def test_other_listeners_change_nothing():
    world = Stand()
    assert world.connect().transmit(b"Bcc: anna@local.test\r\nno field\r\n\r\nHello.\r\n").startswith("250")
    (record,) = world.spool.records
    assert record.content.endswith(b"Bcc: anna@local.test\r\nno field\r\n\r\nHello.\r\n")


def twin(header: bytes) -> bytes:
    """The slow way."""
    fields = re.findall(rb"[^\n]*\n(?:[ \t][^\n]*\n)*", header)
    return b"".join(each for each in fields if not re.match(rb"(?i)(?:resent-)?bcc[ \t]*:", each))


def test_taking_them_out_agrees_with_the_slow_way():
    draw = random.Random(5322)
    pieces = (b"Bcc", b"bCC", b"Resent-Bcc", b"Resent", b"-", b":", b" ", b"\t", b"x", b"\r\n", b"\r\n ", b"b", b"r")
    for _ in range(20_000):
        header = b"To: x\r\n" + b"".join(draw.choices(pieces, k=draw.randrange(24))) + b"\r\n\r\n"
        found = without_blind(header + b"Bcc: body", len(header))
        assert (header if found is None else found) == twin(header)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_without_from_gets_that_of_its_sender(kind):
    """RFC 5322 3.6: there must be one, and the submission server knows whose it is."""
    world = stand()
    assert submit(logged_in(world), b"Subject: a\r\n\r\n" + BODIES[kind], kind).startswith("250")
    assert re.match(rb"From: <anna@local.test>\r\n(?:Message-ID|Date): ", stored(world))


def test_an_application_of_a_trusted_network_writes_as_whom_it_likes_but_as_somebody():
    """It is not judged whose address it writes as; it is judged whether a message is one."""
    world = stand(trusted_networks=("192.0.2.0/24",))
    peer = world.connect().hello()
    assert submit(peer, b"From: ceo@bank.test\r\nBcc: a@x.example\r\n\r\n").startswith("250")
    assert submit(peer, b"no field\r\n\r\n") == REFUSED_HEADER + ": line 1 is no field"
    assert submit(peer, b"Subject: a\r\n\r\n").startswith("250")
    contents = [record.content for record in world.spool.records]
    assert b"Bcc" not in contents[0]
    assert b"\r\nFrom: <anna@local.test>\r\n" in contents[1]
    peer.say("MAIL FROM:<>", "RCPT TO:<x@elsewhere.example>", "DATA")
    assert peer.say("Subject: a", "", ".")[0].startswith("554 5.6.0 The message names no author")


def judged(header: str, **settings) -> str:
    return submit(logged_in(stand(**settings)), header.replace("\n", "\r\n").encode() + b"\r\ntext\r\n")


RESENT = "Resent-From: Anna <anna@local.test>\nResent-To: x@relay.test\nResent-Date: now\nFrom: friend@x.example\n"


@pytest.mark.parametrize(
    "header",
    [
        RESENT,
        "Resent-Sender: anna+x@local.test\nResent-From: boss@x.example\nFrom: friend@x.example\n",
        RESENT.replace("From: f", "Received: by a\nResent-From: eve@x.example\nResent-To: b\nFrom: f"),
        RESENT.replace("From: f", "Resent-From: eve@x.example\nFrom: f"),
        "Subject: a\n" + RESENT,
        "Resent-To: x@relay.test\nFrom: anna@local.test\n",
        "From: Team:;\n",
        "From: Team: anna@local.test, Anna <anna+a@local.test>;\n",
        "From: anna@local.test\nSender: anna+x@local.test\n",
    ],
)
def test_who_sends_a_message_again_stands_in_its_newest_resent_fields(header):
    """RFC 5322 3.6.6, RFC 6854."""
    assert judged(header).startswith("250")


@pytest.mark.parametrize(
    "header",
    [
        "From: friend@x.example\n",
        "Resent-From: eve@x.example\nFrom: anna@local.test\n",
        "Resent-From: anna@local.test, eve@x.example\nFrom: friend@x.example\n",
        "Resent-Sender: eve@x.example\nResent-From: anna@local.test\nFrom: friend@x.example\n",
        "Resent-From: eve@x.example\n" + RESENT,
        "Resent-From: eve@x.example\nReceived: by a\n" + RESENT,
        "Received: by a\n" + RESENT,
        "Return-Path: <a@x.example>\n" + RESENT,
        "Resent-To: x@relay.test\nFrom: friend@x.example\n",
        "From: Team: friend@x.example;\n",
        "From: anna@local.test\nSender: eve@x.example\n",
        "From: friend@x.example\nSender: anna@local.test\n",
        "From: anna@local.test, friend@x.example\nSender: anna@local.test\n",
    ],
)
def test_writing_as_somebody_else_is_refused(header):
    assert judged(header).startswith(REFUSED_AUTHOR)


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        ("From: friend@x.example\nSender: anna@local.test\n", True),
        ("From: a@x.example, b@x.example\nSender: Anna <anna@local.test>\n", True),
        (RESENT, True),
        ("From: anna@local.test\n", True),
        ("From: friend@x.example\n", False),
        ("From: friend@x.example\nSender: anna@local.test\nSender: anna@local.test\n", False),
        ("From: friend@x.example\nFrom: a@x.example\nSender: anna@local.test\n", False),
        ("From: anna@local.test\nSender: eve@x.example\n", False),
        ("Resent-From: eve@x.example\nSender: anna@local.test\nFrom: friend@x.example\n", False),
    ],
)
def test_with_the_setting_sender_it_counts_who_is_responsible(header, is_accepted):
    """RFC 5322 3.6.2."""
    assert judged(header, senders="sender").startswith("250" if is_accepted else REFUSED_AUTHOR)
