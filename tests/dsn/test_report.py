"""DSNs as other programs read them: checked with the standard library's parser (RFC 3464, 6522, 6533)."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage, Message
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay import dsn
from relay.mail.envelope import BODY_8BIT, DOTS, DSN, SMTPUTF8, Envelope
from relay.mail.outcome import EXPIRED, Outcome, deferred, failed
from relay.queue.settle import expired

BEGIN = 1_700_000_000_000_000
NOW = BEGIN + 500_000_000
CONTENT = (
    b"Received: from x\r\n\tby y\r\nFrom: a@b.example\r\nMessage-ID: <one@b.example>\r\nSubject: hello\r\n\r\n"
    b"body\r\n.dot\r\n"
)
NO_USER = failed("5.1.1", "5.1.1 no such user", "rcpt", code=550, next_hop="mx1.y.example[192.0.2.1]:25")
GONE = Outcome(EXPIRED, 0, "4.4.7", "cannot connect: refused", "connect", "mx1.y.example[192.0.2.1]:25")


def original(*recipients: bytes, **changes: Any) -> Envelope:
    base = Envelope("01HV3Z0000000", BEGIN, b"a@b.example", recipients or (b"x@y.example", b"z@y.example"), 0, 100)
    return base._replace(**changes)


def bounce(
    envelope: Envelope | None = None,
    failures: list[tuple[int, Outcome]] | None = None,
    content: bytes = CONTENT,
    **more: Any,
) -> bytes:
    report = dsn.bounce(
        envelope or original(),
        failures if failures is not None else [(0, NO_USER), (1, GONE)],
        content,
        hostname="mx.relay.example",
        message_id="01HV40000000@mx.relay.example",
        now=NOW,
        **more,
    )
    check_form(report)
    return report


def check_form(report: bytes) -> None:
    """What every message must keep: CRLF only, lines below 998 octets, no NUL (RFC 5322 2.1.1)."""
    lines = report.split(b"\r\n")
    assert lines[-1] == b""
    for line in lines:
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line
        assert b"\0" not in line
    header = report.partition(b"\r\n\r\n")[0]
    assert header.isascii() or dsn.flags(report) & SMTPUTF8


def parse(report: bytes) -> tuple[EmailMessage, list[Message], list[Message]]:
    """The message, its three parts, and the blocks of the status part."""
    message = email.message_from_bytes(report, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert not message.defects
    parts = list(message.iter_parts())
    assert len(parts) == 3
    for part in parts:
        assert not part.defects
    status = parts[1]
    if status.get_content_type() == "message/delivery-status":
        blocks = [block for block in status.get_payload() if block.keys()]  # type: ignore[union-attr]
    else:
        text = report.split(b"Delivery report\r\n\r\n")[1].split(b"\r\n--=_")[0].decode()
        blocks = [
            email.message_from_string(block, policy=email.policy.default)
            for block in text.split("\r\n\r\n")
            if block.strip()
        ]
    return message, parts, blocks  # type: ignore[return-value]


def test_the_header_section_says_what_it_is_and_stops_auto_answers():
    """RFC 3464 2, RFC 3834 5."""
    message, _, _ = parse(bounce())
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mx.relay.example>"
    assert message["To"] == "a@b.example"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<01HV40000000@mx.relay.example>"
    assert message["In-Reply-To"] == message["References"] == "<one@b.example>"
    assert message["Date"].datetime.timestamp() == NOW // 1_000_000
    assert message["MIME-Version"] == "1.0"


def test_each_recipient_has_its_fields():
    """RFC 3464 2.2 and 2.3."""
    _, parts, blocks = parse(bounce())
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert blocks[0]["Reporting-MTA"] == "dns; mx.relay.example"
    assert blocks[0]["Arrival-Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert [dict(block.items()) for block in blocks[1:]] == [
        {
            "Final-Recipient": "rfc822; x@y.example",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx1.y.example",
            "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
        },
        {
            "Final-Recipient": "rfc822; z@y.example",
            "Action": "failed",
            "Status": "4.4.7",
            "Remote-MTA": "dns; mx1.y.example",
            "Diagnostic-Code": "x-relay; cannot connect: refused",
        },
    ]


def test_the_words_name_the_stage_what_was_said_and_what_happens_next():
    _, parts, _ = parse(bounce())
    words = " ".join(str(parts[0].get_payload()).split())
    assert "<x@y.example> The mail server mx1.y.example refused it when told who the recipient is" in words
    assert "550 5.1.1 no such user" in words
    assert "The address does not exist there. Check its spelling." in words
    assert "What happens next: nothing more will be tried with this message." in words
    assert "queue id 01HV3Z0000000" in words


def test_recipients_with_one_outcome_are_described_together():
    recipients = tuple(b"u%d@y.example" % n for n in range(3))
    report = bounce(original(*recipients), [(n, NO_USER) for n in range(3)])
    assert report.count(b"refused it when told") == 1
    assert len(parse(report)[2]) == 4


def test_a_delay_says_until_when_it_is_tried():
    until = BEGIN + 432_000_000_000
    report = dsn.delay(
        original(),
        [(1, deferred("4.4.1", "timed out", "connect", next_hop="mx1.y.example[192.0.2.1]:25"))],
        CONTENT,
        hostname="mx.relay.example",
        message_id="x@y",
        now=NOW,
        expires_at=until,
    )
    check_form(report)
    message, parts, blocks = parse(report)
    assert message["Subject"] == "Your message is delayed; no need to send it again"
    assert blocks[1]["Action"] == "delayed"
    assert blocks[1]["Status"] == "4.4.1"
    assert blocks[1]["Will-Retry-Until"] == "Sun, 19 Nov 2023 22:13:20 +0000"
    assert "Sun, 19 Nov 2023 22:13:20 +0000" in " ".join(str(parts[0].get_payload()).split())


def test_the_header_section_is_returned_as_it_was():
    report = bounce()
    assert b"\r\n\r\nReceived: from x\r\n\tby y\r\nFrom: a@b.example\r\n" in report
    assert b"body" not in report.partition(b"Header section of")[2]


def test_the_whole_message_is_returned_when_asked_for():
    report = bounce(whole=True)
    _, parts, _ = parse(report)
    assert parts[2].get_content_type() == "message/rfc822"
    assert CONTENT in report
    assert dsn.flags(report) == DSN | DOTS


@pytest.mark.parametrize("content", [b"x: y\r\n\r\n" + b"a" * 2_000_000, b"x: y\r\n\r\n" + b"a" * 999 + b"\r\n"])
def test_what_is_too_long_is_returned_as_header_section_only(content: bytes):
    _, parts, _ = parse(bounce(content=content, whole=True))
    assert parts[2].get_content_type() == "text/rfc822-headers"


def test_a_huge_header_section_is_cut_after_a_line():
    content = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 3000) for n in range(1000)) + b"\r\nbody"
    report = bounce(content=content)
    assert len(report) < 40_000


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\r\nbody\r\n", b"no header at all", b"X: y\r\n"])
def test_content_without_a_header_section_has_a_report_too(content: bytes):
    parse(bounce(content=content))
    parse(bounce(content=content, whole=True))


def test_a_boundary_in_the_returned_message_does_not_end_it():
    """A DSN about a message that holds the boundary of this very DSN."""
    plain = bounce()
    boundary = plain.split(b'boundary="')[1].split(b'"')[0]
    content = b"X: y\r\n\r\n--" + boundary + b"--\r\nafter\r\n"
    _, parts, _ = parse(bounce(content=content, whole=True))
    assert len(parts) == 3


def test_no_dsn_is_made_for_the_null_reverse_path():
    """RFC 5321 4.5.5, RFC 3464 2: bounces never bounce."""
    with pytest.raises(ValueError, match="null reverse-path"):
        bounce(original(reverse_path=b""))


def test_utf8_in_the_reverse_path_takes_the_forms_of_rfc_6533():
    envelope = original("grüße@y.example".encode(), reverse_path="jörg@b.example".encode(), flags=SMTPUTF8)
    content = "Subject: grüße\r\n\r\nbody\r\n".encode()
    report = bounce(envelope, [(0, NO_USER)], content)
    message, parts, blocks = parse(report)
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/global-delivery-status",
        "message/global-headers",
    ]
    assert "To: <jörg@b.example>\r\n".encode() in report
    assert blocks[1]["Final-Recipient"] == "utf-8; grüße@y.example"
    assert "Subject: grüße\r\n".encode() in report
    assert dsn.flags(report) == DSN | BODY_8BIT | SMTPUTF8
    whole = parse(bounce(envelope, [(0, NO_USER)], content, whole=True))[1][2]
    assert whole.get_content_type() == "message/global"
    assert message["MIME-Version"] == "1.0"


def test_a_sender_without_utf8_gets_ascii():
    """RFC 6533 3: the address in its xtext form."""
    report = bounce(original("grüße@y.example".encode()), [(0, NO_USER._replace(text="unbekannt: grüße"))])
    assert report.isascii()
    _, _, blocks = parse(report)
    assert blocks[1]["Final-Recipient"] == "utf-8; gr\\x{FC}\\x{DF}e@y.example"
    assert dsn.flags(report) == DSN


def test_eight_bit_in_a_returned_header_section_does_not_make_the_dsn_eight_bit():
    assert bounce(content=b"Subject: gr\xfc\xdfe\r\n\r\n").isascii()


def test_a_returned_eight_bit_body_is_flagged():
    report = bounce(content=b"X: y\r\n\r\ngr\xc3\xbc\r\n", whole=True)
    assert dsn.flags(report) == DSN | BODY_8BIT


def test_what_peers_say_cannot_end_a_field():
    """A reply with line ends inside must not become header fields of ours."""
    evil = failed(
        "5.0.0", "no\r\nFinal-Recipient: rfc822; evil@x\r\n\r\n--=_0", "rcpt", code=550, next_hop="mx\r\nX: y:25"
    )
    envelope = original(b'"a\r\nb"@y.example')
    _, _, blocks = parse(bounce(envelope, [(0, evil)]))
    assert len(blocks) == 2
    assert len(blocks[1].get_all("Final-Recipient", [])) == 1
    assert blocks[1]["Final-Recipient"] == 'rfc822; "a?b"@y.example'


def test_a_thousand_recipients_with_long_texts_stay_small():
    recipients = tuple(b"u%d@y.example" % n for n in range(1000))
    failures = [(n, failed("5.0.0", f"{n} " + "x" * 3000, "rcpt", code=550)) for n in range(1000)]
    report = bounce(original(*recipients), failures)
    assert len(report) < 400_000
    _, _, blocks = parse(report)
    assert len(blocks) == 1001


_TEXT = st.text(max_size=600)


@settings(deadline=None, max_examples=150)
@given(
    st.builds(
        Outcome,
        st.sampled_from(["failed", "expired"]),
        st.sampled_from([0, 450, 550]),
        _TEXT,
        _TEXT,
        st.sampled_from(["rcpt", "connect", "store", "", "whatever"]),
        _TEXT,
    ),
    st.binary(max_size=300).filter(bool),
    st.binary(max_size=300),
    st.binary(max_size=2000).map(lambda octets: octets.replace(b"\r", b"").replace(b"\0", b"").replace(b"\n", b"\r\n")),
    st.booleans(),
    st.sampled_from([0, SMTPUTF8]),
)
def test_any_outcome_address_and_content_makes_a_report_of_three_parts(
    outcome: Outcome, reverse_path: bytes, recipient: bytes, content: bytes, whole: bool, flags: int
):
    report = dsn.bounce(
        original(recipient, reverse_path=reverse_path, flags=flags),
        [(0, outcome)],
        content,
        hostname="mx.relay.example",
        message_id="x@y",
        now=NOW,
        whole=whole,
    )
    check_form(report)
    boundary = report.split(b'boundary="')[1].split(b'"')[0]
    assert report.count(b"--" + boundary + b"\r\n") == 3
    assert report.endswith(b"\r\n--" + boundary + b"--\r\n")


def test_a_dsn_of_a_domain_that_does_not_exist_names_no_server():
    """RFC 3464 2.3.5: Remote-MTA only where one was asked."""
    report = bounce(original(b"x@y.example"), [(0, failed("5.1.2", "y.example does not exist", "dns"))])
    _, parts, blocks = parse(report)
    assert "Remote-MTA" not in blocks[1]
    assert blocks[1]["Diagnostic-Code"] == "x-relay; y.example does not exist"
    assert "The domain of this address has no mail server" in " ".join(parts[0].get_content().split())  # type: ignore[attr-defined]
    assert b"nothing was said" not in report


@pytest.mark.parametrize(
    ("outcome", "status", "diagnostic"),
    [
        (failed("5.2.2", "full", "rcpt", code=552, next_hop="mx"), "5.2.2", "552 5.2.2 full"),
        (failed("4.2.2", "full", "rcpt", code=550, next_hop="mx"), "4.2.2", "550 4.2.2 full"),
        (failed("5.0.0", "no", "rcpt", code=550, next_hop="mx"), "5.0.0", "550 no"),
        (failed("5.0.0", "5.0.0 no", "rcpt", code=550, next_hop="mx"), "5.0.0", "550 5.0.0 no"),
        (expired(deferred("4.0.0", "later", "rcpt", code=450, next_hop="mx")), "4.4.7", "450 later"),
        (expired(deferred("5.5.3", "later", "rcpt", code=552, next_hop="mx")), "4.4.7", "552 5.5.3 later"),
    ],
)
def test_a_reply_is_quoted_as_it_was_said(outcome: Outcome, status: str, diagnostic: str):
    """RFC 3464 2.3.6: no status is put into a peer's mouth."""
    _, _, blocks = parse(bounce(original(b"x@y.example"), [(0, outcome)]))
    assert (blocks[1]["Status"], blocks[1]["Diagnostic-Code"]) == (status, f"smtp; {diagnostic}")


def test_a_sender_whose_domain_alone_has_utf8_gets_a_dsn_that_any_server_takes():
    """RFC 6531 3.2: A-labels are no internationalized address."""
    envelope = original("b@bü.example".encode(), reverse_path="a@ä.example".encode(), flags=SMTPUTF8)
    report = bounce(envelope, [(0, NO_USER)])
    message, _, blocks = parse(report)
    assert message["To"] == "a@xn--4ca.example"
    assert blocks[1]["Final-Recipient"] == "rfc822; b@xn--b-eha.example"
    assert not dsn.flags(report) & SMTPUTF8
