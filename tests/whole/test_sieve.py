"""Scripts at delivery in the real appliance: filing, redirecting, answering, rejecting, and a broken one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, wait_for
from tests.support.sink import Sink

CONTENT = (
    "From: bob@relay.test\r\nTo: ann@local.test\r\nSubject: {subject}\r\nMessage-ID: <{id}@x>\r\n{more}\r\nhello\r\n"
)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as started:
        yield started


@pytest.fixture
def relay(tmp_path: Path, sink: Sink) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path, sink.port)
    appliance.add_account("ann@local.test")
    with appliance:
        yield appliance


def script(relay: Appliance, text: str) -> None:
    folder = relay.data / "mail" / "local.test" / "ann" / "sieve"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.sieve").write_text(text)
    (folder / "active").unlink(missing_ok=True)
    (folder / "active").symlink_to("x.sieve")


def send(relay: Appliance, subject: str, more: str = "", recipient: str = "ann@local.test") -> str:
    content = CONTENT.format(subject=subject, id=subject, more=more)
    return relay.send(recipient, sender="bob@relay.test", content=content)


def files(relay: Appliance, folder: str = "", kind: str = "") -> list[Path]:
    """The messages there; of ``kind`` new or cur, or of both: whoever opens a mailbox moves what is in new."""
    path = relay.data / "mail" / "local.test" / "ann" / folder
    kinds = [path / each for each in ([kind] if kind else ["new", "cur"])]
    return sorted(each for place in kinds if place.exists() for each in place.iterdir())


def test_without_a_script_spam_goes_to_junk_and_all_else_to_inbox(relay: Appliance) -> None:
    send(relay, "spam", "X-Spam-Flag: YES\r\n")
    send(relay, "ham", "X-Spam-Flag: NO\r\n")
    wait_for(lambda: files(relay) and files(relay, ".Junk"), 20, relay.tail)
    assert b"Subject: ham" in files(relay)[0].read_bytes()
    assert b"Subject: spam" in files(relay, ".Junk")[0].read_bytes()


def test_a_script_files_with_flags_and_a_sub_address_and_says_so_in_the_log(relay: Appliance) -> None:
    script(
        relay,
        'require ["fileinto", "mailbox", "imap4flags", "envelope", "subaddress"];\n'
        'if envelope :detail "to" "lists" { fileinto :create :flags ["\\\\Seen", "\\\\Flagged"] "Lists/All"; }',
    )
    queue_id = send(relay, "one", recipient="ann+lists@local.test")
    wait_for(lambda: files(relay, ".Lists.All", "cur"), 20, relay.tail)
    assert files(relay, ".Lists.All", "cur")[0].name.endswith(":2,FS")
    assert not files(relay)
    wait_for(
        lambda: [line for line in relay.events() if line.get("queue_id") == queue_id and line.get("text")], 10, "log"
    )
    (line,) = [each for each in relay.events() if each.get("queue_id") == queue_id and each.get("kind") == "delivery"]
    assert line["text"].startswith("sieve: stored as ")
    assert line["text"].endswith(" in Lists/All")


def test_a_redirect_arrives_at_the_next_hop_with_its_reverse_path_and_a_copy_is_kept(
    relay: Appliance, sink: Sink
) -> None:
    script(relay, 'require "copy"; redirect :copy "carol@relay.test";')
    send(relay, "on")
    wait_for(lambda: sink.messages and files(relay), 20, relay.tail)
    (message,) = sink.messages
    assert (message.reverse_path, message.recipients) == ("bob@relay.test", ("carol@relay.test",))
    assert message.content.startswith(b"Delivered-To: ann@local.test\r\n")
    assert b"Subject: on\r\n" in message.content


def test_a_large_message_is_redirected_whole_with_and_without_an_edited_header(relay: Appliance, sink: Sink) -> None:
    body = ("x" * 70 + "\r\n") * 30_000
    script(relay, 'require ["copy", "editheader", "fileinto"]; redirect :copy "c@relay.test"; addheader "X-A" "b"; '
                  'redirect "d@relay.test";')  # fmt: skip
    relay.send("ann@local.test", sender="bob@relay.test", content="Subject: big\r\n\r\n" + body)
    wait_for(lambda: len(sink.messages) == 2, 30, relay.tail)
    by_recipient = {message.recipients[0]: message.content for message in sink.messages}
    assert by_recipient["c@relay.test"].endswith(b"Subject: big\r\n\r\n" + body.encode())
    assert by_recipient["d@relay.test"].endswith(b"Subject: big\r\n\r\n" + body.encode())
    assert by_recipient["d@relay.test"].startswith(b"Delivered-To: ann@local.test\r\nX-A: b\r\n")


def test_a_redirect_that_comes_back_is_kept_and_not_sent_again(relay: Appliance) -> None:
    script(relay, 'redirect "ann@local.test";')
    send(relay, "loop")
    wait_for(lambda: files(relay), 20, relay.tail)
    (file,) = files(relay)
    assert file.read_bytes().count(b"Delivered-To: ann@local.test") == 1
    assert relay.metrics()['relay_sieve_messages_total{kind="redirect"}'] == 1


def test_vacation_answers_a_sender_once_and_keeps_the_messages(relay: Appliance, sink: Sink) -> None:
    """RFC 5230 4.2: once in seven days."""
    script(relay, 'require "vacation"; vacation :subject "Away" "I am not here.";')
    send(relay, "one")
    wait_for(lambda: sink.messages and len(files(relay)) == 1, 20, relay.tail)
    send(relay, "two")
    wait_for(lambda: len(files(relay)) == 2, 20, relay.tail)
    (answer,) = sink.messages
    assert (answer.reverse_path, answer.recipients) == ("", ("bob@relay.test",))
    assert b"Subject: Away\r\n" in answer.content
    assert b"Auto-Submitted: auto-replied" in answer.content
    assert b"In-Reply-To: <one@x>\r\n" in answer.content
    assert answer.content.endswith(b"\r\n\r\nI am not here.\r\n")


def test_reject_sends_an_mdn_and_ereject_a_bounce(relay: Appliance, sink: Sink) -> None:
    """RFC 5429 2.1, 2.2."""
    script(relay, 'require "reject"; reject "Not wanted here.";')
    send(relay, "one")
    wait_for(lambda: sink.messages, 20, relay.tail)
    assert sink.messages[0].reverse_path == ""
    assert b"report-type=disposition-notification" in sink.messages[0].content
    assert b"Not wanted here." in sink.messages[0].content
    script(relay, 'require "ereject"; ereject "Go away.";')
    send(relay, "two")
    wait_for(lambda: len(sink.messages) == 2, 20, relay.tail)
    assert b"report-type=delivery-status" in sink.messages[1].content
    assert b"Go away." in sink.messages[1].content
    assert not files(relay)


def test_a_broken_script_keeps_mail_and_tells_the_owner_once(relay: Appliance) -> None:
    """RFC 5228 2.10.6."""
    script(relay, 'fileinto "Work";')
    send(relay, "one")
    wait_for(lambda: len(files(relay)) == 2, 20, relay.tail)
    send(relay, "two")
    wait_for(lambda: len(files(relay)) == 3, 20, relay.tail)
    texts = [file.read_bytes() for file in files(relay)]
    (notice,) = [text for text in texts if b"Your mail filter" in text]
    assert b'line 1, column 1: fileinto needs require "fileinto"' in notice
    assert relay.metrics()["relay_sieve_faults_total"] == 2


def test_discard_stores_nothing_and_tells_nobody(relay: Appliance, sink: Sink) -> None:
    script(relay, "discard;")
    queue_id = send(relay, "gone")
    wait_for(lambda: [e for e in relay.events() if e.get("queue_id") == queue_id and e.get("outcome")], 20, relay.tail)
    (line,) = [each for each in relay.events() if each.get("queue_id") == queue_id and each.get("outcome")]
    assert (line["outcome"], line["text"]) == ("discarded", "sieve: discarded")
    assert not files(relay)
    assert not sink.messages


def test_a_kill_loses_no_redirect_and_no_copy(relay: Appliance, sink: Sink) -> None:
    """I1: each message that was answered with 250 is redirected and kept, whatever a kill -9 interrupts."""
    script(relay, 'require "copy"; redirect :copy "carol@relay.test";')
    subjects = [f"message-{number}" for number in range(40)]
    for subject in subjects[:30]:
        send(relay, subject)
    relay.kill()
    relay.start()
    for subject in subjects[30:]:
        send(relay, subject)

    def missing() -> list[str]:
        sent = b"".join(message.content for message in sink.messages)
        kept = b"".join(file.read_bytes() for file in files(relay))
        return [
            subject
            for subject in subjects
            if f"Subject: {subject}\r\n".encode() not in sent or f"Subject: {subject}\n".encode() not in kept
        ]

    wait_for(lambda: not missing(), 60, lambda: f"{missing()} {relay.tail()}")
    assert len(sink.messages) <= 2 * len(subjects)
