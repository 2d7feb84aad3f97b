"""Whether and how a script answers (RFC 5230, RFC 3834), and what a rejection says (RFC 5429, RFC 8098)."""

from __future__ import annotations

import email
import email.policy

import pytest

from relay.sieve import Environment, MessageView, answers
from relay.sieve.actions import Vacation
from tests.sieve.running import NOW

OWN = {"ann@local.test"}
MESSAGE = (
    b"From: bob@x.org\r\nTo: Ann <Ann@local.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <2@x>\r\n"
    b"References: <0@x>\r\n <1@x>\r\n"
)


def view(more: bytes = b"") -> MessageView:
    return MessageView(MESSAGE + more, 1000)


def environment(reverse_path: str = "bob@x.org") -> Environment:
    return Environment(NOW, reverse_path=reverse_path, recipient="ann@local.test")


def parsed(content: bytes):
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    return email.message_from_bytes(content, policy=email.policy.default)


@pytest.mark.parametrize(
    "more",
    [
        b"Auto-Submitted: auto-replied\r\n", b"Auto-Submitted: auto-generated; x=y\r\n", b"List-Id: <a.b>\r\n",
        b"List-Unsubscribe: <http://x>\r\n", b"Precedence: bulk\r\n", b"Precedence: List\r\n",
        b"X-Auto-Response-Suppress: DR, OOF\r\n",
    ],
)  # fmt: skip
def test_programs_and_lists_get_no_answer(more: bytes):
    """RFC 5230 4.6, RFC 3834 2."""
    assert answers.why_no_answer(view(more), environment(), OWN)


@pytest.mark.parametrize("sender", [
    "", "MAILER-DAEMON@x.org", "owner-list@x.org", "list-owner@x.org", "list-request@x.org", "noreply@x.org",
    "bounces+abc@x.org", "ANN@local.test", "ann@local.test.",
])  # fmt: skip
def test_these_senders_get_no_answer(sender: str):
    assert answers.why_no_answer(view(), environment(sender), OWN)


def test_who_writes_to_the_user_is_answered_and_who_writes_to_others_is_not():
    """RFC 5230 4.5."""
    assert answers.why_no_answer(view(b"Auto-Submitted: no\r\n"), environment(), OWN) == ""
    assert answers.why_no_answer(view(), environment(), {"carol@local.test"})
    assert answers.why_no_answer(view(b"Resent-To: carol@local.test\r\n"), environment(), {"carol@local.test"}) == ""


def test_an_answer_threads_and_cannot_be_answered():
    """RFC 5230 5, RFC 3834 3."""
    vacation = Vacation("Bin weg.\nGrüße", 1, "", "", (), is_mime=False, handle="")
    answer = parsed(answers.vacation_answer(vacation, view(), environment(), "ann@local.test", "id@mx"))
    assert answer["subject"] == "Auto: Grüße"
    assert answer["from"] == "ann@local.test"
    assert answer["to"] == "bob@x.org"
    assert answer["in-reply-to"] == "<2@x>"
    assert answer["references"].split() == ["<0@x>", "<1@x>", "<2@x>"]
    assert answer["auto-submitted"] == "auto-replied (vacation)"
    assert answer.get_content() == "Bin weg.\r\nGrüße\r\n"


def test_a_mime_answer_is_taken_as_it_is():
    """RFC 5230 4.3."""
    reason = "Content-Type: text/html\r\n\r\n<b>gone</b>\r\n"
    vacation = Vacation(reason, 1, "Away", "Änn <ann@x.org>", (), is_mime=True, handle="")
    answer = parsed(answers.vacation_answer(vacation, view(), environment(), "ann@local.test", "id@mx"))
    assert (answer["subject"], answer["from"]) == ("Away", "Änn <ann@x.org>")
    assert answer.get_content_type() == "text/html"
    assert "<b>gone</b>" in answer.get_content()


def test_nothing_in_a_script_or_message_adds_a_field_to_an_answer():
    vacation = Vacation("x", 1, "a\r\nBcc: all@x.org", "ann@x.org\nEvil: 1", (), is_mime=False, handle="")
    answer = parsed(answers.vacation_answer(vacation, view(), environment(), "ann@local.test", "id@mx"))
    assert answer["bcc"] is None
    assert answer["evil"] is None


def test_a_rejection_is_an_mdn_with_the_reason_and_the_header_section():
    report = parsed(
        answers.rejection("No, thank you.\nÄ", view(b"X-Long: " + b"y" * 2000 + b"\r\n"), environment(),
                          account="ann@local.test", hostname="mx.test", message_id="id@mx")
    )  # fmt: skip
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "disposition-notification"
    words, fields, header = report.iter_parts()
    assert "No, thank you.\r\nÄ" in words.get_content()
    assert b"Final-Recipient: rfc822;ann@local.test" in fields.as_bytes()
    assert b"Disposition: automatic-action/MDN-sent-automatically; deleted" in fields.as_bytes()
    assert "Message-ID: <2@x>" in header.get_content()
    assert "X-Long" not in header.get_content()
