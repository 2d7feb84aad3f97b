"""The client machine's dialogue, octet for octet, and its rules one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.delivery._delivery import Delivery
from relay.delivery.owner import Limits
from relay.mail.envelope import BODY_8BIT, DOTS, SMTPUTF8
from relay.mail.outcome import DEFERRED, DELIVERED, FAILED
from tests.delivery.peer import CUT, Peer, RecordingOwner, converse, machine_for, message

UTF8_HEADER = "Subject: käse\r\n\r\nx\r\n".encode()
UTF8_BODY = "Subject: cheese\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nkäse\r\n".encode()
UTF8_PART = (
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Disposition: attachment; filename=käse\r\n\r\nx\r\n--b--\r\n"
).encode()
UTF8_MESSAGE = (
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: message/global\r\n\r\nSubject: käse\r\n\r\nx\r\n--b--\r\n"
).encode()
HELLO = b"250-peer.test\r\n250-PIPELINING\r\n250-8bitmime\r\n250-SMTPUTF8\r\n250 SIZE 1000\r\n"


def greeted(owner: RecordingOwner, hello: bytes = HELLO, **options):
    """A machine past EHLO, and what it wrote on being greeted."""
    machine = machine_for(owner, **options)
    assert machine.receive(b"220 peer.test\r\n") == b"EHLO relay.test\r\n"
    return machine, machine.receive(hello)


def test_a_busy_session_costs_one_write_and_one_read_per_message():
    """RFC 2920: the next envelope rides behind the content."""
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, out = greeted(owner)
    assert out == b"MAIL FROM:<s1@relay.test> SIZE=20\r\nRCPT TO:<r1-0@peer.test>\r\nDATA\r\n"
    out = machine.receive(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")
    assert out == (
        b"Subject: 1\r\n\r\nBody\r\n.\r\n"
        b"RSET\r\nMAIL FROM:<s2@relay.test> SIZE=20\r\nRCPT TO:<r2-0@peer.test>\r\nDATA\r\n"
    )
    out = machine.receive(b"250 2.0.0 Ok: queued as X\r\n250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")
    assert out == b"Subject: 2\r\n\r\nBody\r\n.\r\n"
    assert owner.of(0)[0] == (DELIVERED, 250, "2.0.0", "Ok: queued as X", "reply", "peer.test[192.0.2.1]:25")


def test_without_pipelining_each_command_waits_for_its_reply():
    machine, out = greeted(RecordingOwner([message(1, 2)]), b"250 peer.test\r\n")
    assert out == b"MAIL FROM:<s1@relay.test>\r\n"
    assert machine.receive(b"250 ok\r\n") == b"RCPT TO:<r1-0@peer.test>\r\n"
    assert machine.receive(b"250 ok\r\n") == b"RCPT TO:<r1-1@peer.test>\r\n"
    assert machine.receive(b"250 ok\r\n") == b"DATA\r\n"
    assert machine.receive(b"354 ok\r\n").endswith(b"\r\n.\r\n")
    assert machine.receive(b"250 ok\r\n") == b""
    assert machine.is_idle


def test_ehlo_refused_falls_back_to_helo():
    """RFC 5321 3.2."""
    owner = RecordingOwner([message(1)])
    peer = Peer({("ehlo", 0): b"502 5.5.1 what?"})
    converse(machine_for(owner), peer)
    assert peer.commands[:3] == [b"EHLO relay.test", b"HELO relay.test", b"MAIL FROM:<s1@relay.test>"]
    assert [outcome.kind for outcome in owner.of(0)] == [DELIVERED] * 2


def test_lhlo_refused_does_not_fall_back():
    owner = RecordingOwner([message(1)])
    peer = Peer({("ehlo", 0): b"502 5.5.1 what?"}, lmtp=True)
    converse(machine_for(owner, lmtp=True), peer)
    assert peer.commands == [b"LHLO relay.test"]


@pytest.mark.parametrize("reply_to_dot", [b"554 5.5.1 nobody\r\n", b"250 2.0.0 fine, an empty message\r\n"])
def test_a_354_with_all_recipients_refused_is_answered_with_a_single_dot(reply_to_dot):
    """RFC 2920 3.1."""
    owner = RecordingOwner([message(1, 2), message(2, 1)])
    machine, _ = greeted(owner)
    out = machine.receive(b"250 ok\r\n550 5.1.1 no\r\n450 4.2.0 no\r\n354 go\r\n")
    assert out == b".\r\nRSET\r\nMAIL FROM:<s2@relay.test> SIZE=20\r\nRCPT TO:<r2-0@peer.test>\r\nDATA\r\n"
    assert [(o.kind, o.stage) for o in owner.of(0)] == [(FAILED, "rcpt"), (DEFERRED, "rcpt")]
    assert machine.receive(reply_to_dot + b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n").startswith(b"Subject: 2")
    machine.receive(b"250 2.0.0 Ok\r\n")
    assert owner.of(1)[0].kind == DELIVERED


def test_a_peer_that_refuses_mail_but_takes_a_recipient_and_data_gets_no_content():
    """A dot would deliver an empty message to that recipient."""
    owner = RecordingOwner([message(1, 1)])
    machine, _ = greeted(owner)
    assert machine.receive(b"451 4.3.0 later\r\n250 ok\r\n354 go\r\n") == b""
    assert machine.is_closed
    assert [(o.kind, o.stage) for o in owner.of(0)] == [(DEFERRED, "mail")]


@pytest.mark.parametrize("rides", [True, False])
def test_what_a_peer_keeps_of_a_refused_content_is_reset(rides):
    """Postfix keeps the transaction whose content its smtpd_end_of_data_restrictions refused."""
    owner = RecordingOwner([message(1, 1), *([message(2, 1)] if rides else [])])
    machine, _ = greeted(owner)
    out = machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n") + machine.receive(b"554 5.7.1 not this\r\n")
    if not rides:
        owner.waiting = [message(2, 1)]
        out = machine.wake()
    assert b"RSET\r\nMAIL FROM:<s2@relay.test>" in out
    machine.receive(b"250 ok\r\n" * 3 + b"354 go\r\n")
    machine.receive(b"250 ok\r\n")
    assert [owner.of(index)[0].kind for index in (0, 1)] == [FAILED, DELIVERED]


@pytest.mark.parametrize("hello", [HELLO, b"250 peer.test\r\n"])
def test_what_is_out_of_sequence_behind_another_transaction_goes_back_without_blame(hello):
    """Haraka answers so to all that rides behind a content, and Postfix to MAIL where no RSET could ride along."""
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, _ = greeted(owner, hello)
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n"):
        machine.receive(reply)
    assert machine.receive(b"503 5.5.1 bad sequence of commands\r\n" * (4 if hello == HELLO else 1)) == b""
    assert machine.is_closed
    machine.eof()
    assert [outcome[0].kind for outcome in owner.outcomes.values()] == [DELIVERED]
    assert owner.closings == [([owner.taken[1]], None)]


def test_a_503_to_the_first_mail_of_a_connection_is_the_answer_to_that_message():
    """A peer that wants something else first would be asked for ever."""
    owner = RecordingOwner([message(1, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"503 5.5.1 log in first\r\n" * 3)
    assert (owner.of(0)[0].kind, owner.of(0)[0].stage) == (FAILED, "mail")


def test_all_recipients_refused_and_data_too_is_reset_and_goes_on():
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, _ = greeted(owner)
    out = machine.receive(b"250 ok\r\n550 5.1.1 no\r\n503 5.5.1 no recipients\r\n")
    assert out == b"RSET\r\nMAIL FROM:<s2@relay.test> SIZE=20\r\nRCPT TO:<r2-0@peer.test>\r\nDATA\r\n"
    assert owner.of(0)[0][:3] == (FAILED, 550, "5.1.1")
    machine.receive(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    machine.receive(b"250 ok\r\n")
    assert owner.of(1)[0].kind == DELIVERED


def test_a_refused_rset_ends_the_session_and_hands_the_next_delivery_back():
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n451 4.3.0 no data\r\n")
    machine.receive(b"500 what\r\n")
    assert machine.is_closed
    machine.eof()
    assert owner.closings[0][0] == [owner.taken[1]]
    owner.check_all_came_back()


def test_what_rode_behind_a_content_whose_fate_is_unknown_is_handed_back_unsent():
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    machine.eof()
    (outcome,) = owner.of(0)
    assert (outcome.kind, outcome.status, outcome.stage) == (DEFERRED, "4.4.2", "reply")
    assert "may have been accepted" in outcome.text
    unsent, why = owner.closings[0]
    assert unsent == [owner.taken[1]]
    assert why is not None


@pytest.mark.parametrize("farewell", [b"421 4.3.2 enough\r\n", None])
def test_a_peer_that_closes_after_some_messages_gives_the_next_one_back_without_blame(farewell):
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    machine.receive(b"250 2.0.0 ok\r\n")
    if farewell:
        machine.receive(farewell)
        assert machine.is_closed
    machine.eof()
    assert owner.closings == [([owner.taken[1]], None)]


def test_the_first_delivery_of_a_connection_is_blamed_so_that_it_cannot_go_round_for_ever():
    owner = RecordingOwner([message(1, 1)])
    machine, _ = greeted(owner)
    machine.eof()
    assert owner.of(0)[0].kind == DEFERRED
    unsent, why = owner.closings[0]
    assert unsent == []
    assert why is not None


def test_a_recipient_refused_before_the_connection_was_lost_stays_refused():
    owner = RecordingOwner([message(1, 2)])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n550 5.1.1 no such user\r\n")
    machine.eof()
    assert [o.kind for o in owner.of(0)] == [FAILED, DEFERRED]


@pytest.mark.parametrize(
    ("early", "kind"),
    [
        (b"552 5.3.4 too big\r\n", FAILED),
        (b"451 4.3.0 disk\r\n", DEFERRED),
        (b"250 2.0.0 ok\r\n", DEFERRED),
        (b"2", DEFERRED),
    ],
)
def test_a_reply_before_the_content_was_sent_stops_it(early, kind):
    """It must not be taken for the reply to the end of data."""
    owner = RecordingOwner([message(1, 1), message(2, 1)])
    machine, _ = greeted(owner)
    assert machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n" + early) == b""
    assert machine.is_closed
    assert owner.of(0)[0].kind == kind
    machine.eof()
    assert len(owner.taken) == 1
    assert owner.closings[0][1] is not None
    assert owner.closings[0][1].kind == DEFERRED, "one refused message does not refuse the others"


def test_replies_ahead_of_their_commands_end_the_session():
    owner = RecordingOwner([message(1, 1)])
    machine, out = greeted(owner, HELLO + b"250 ok\r\n250 ok\r\n354 go\r\n250 delivered\r\n")
    assert out == b""
    assert machine.is_closed
    assert not owner.taken


@pytest.mark.parametrize("extensions", [(b"PIPELINING",), (b"8BITMIME",), (b"PIPELINING", b"CHUNKING")])
@pytest.mark.parametrize(
    ("reply", "place", "kind", "status"),
    [
        (b"552 too many", 1, DEFERRED, "4.0.0"),
        (b"552 5.5.3 too many", 1, DEFERRED, "5.5.3"),
        (b"452 4.5.3 too many", 1, DEFERRED, "4.5.3"),
        (b"552 5.2.2 full", 1, FAILED, "5.2.2"),
        (b"552 5.0.0 no", 1, FAILED, "5.0.0"),
        (b"552 full", 0, FAILED, "5.0.0"),
        (b"552 5.5.3 too many", 0, FAILED, "5.5.3"),
        (b"452 4.2.2 full", 0, DEFERRED, "4.2.2"),
    ],
)
def test_552_to_rcpt_is_too_many_recipients_only_where_it_can_be(extensions, reply, place, kind, status):
    """RFC 5321 4.5.3.1.10 against 4.2.1, 4.2.3: not to the first recipient, nor with a status that says otherwise."""
    for count in range(3):  # in the first transaction, and in those that may be in flight behind a proven one
        owner = RecordingOwner([message(number, 2) for number in range(count + 1)])
        converse(machine_for(owner), Peer({("rcpt", 2 * count + place): reply}, extensions=extensions))
        outcomes = owner.of(count)
        assert (outcomes[place].kind, outcomes[place].code, outcomes[place].status) == (kind, int(reply[:3]), status)
        assert outcomes[1 - place].kind == DELIVERED


@pytest.mark.parametrize(
    ("reply", "kind", "status", "text"),
    [
        (b"550 4.2.2 full", FAILED, "4.2.2", "full"),
        (b"450 5.1.1 no such user", DEFERRED, "5.1.1", "no such user"),
        (b"550 5.0.0 no", FAILED, "5.0.0", "5.0.0 no"),
        (b"550 no", FAILED, "5.0.0", "no"),
        (b"550 2.1.5 no", FAILED, "5.0.0", "2.1.5 no"),
        (b"550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c", FAILED, "5.7.1", "a b c"),
        (b"550 \xff\x1b[2J\x7f", FAILED, "5.0.0", "\\xff?[2J?"),
        (b"550 " + b"x" * 30_000, FAILED, "5.0.0", "x" * 1000),
    ],
)
def test_code_and_status_stay_as_the_peer_said_them(reply, kind, status, text):
    """The code decides (RFC 5321 4.2.1); the status is told as it was said, also when its class is another."""
    owner = RecordingOwner([message(1)])
    converse(machine_for(owner), Peer({("rcpt", 0): reply}))
    assert owner.of(0)[0][:4] == (kind, int(reply[:3]), status, text)


def test_a_message_that_only_came_with_smtputf8_goes_on_without_it():
    """RFC 6531 3.2: what decides is what is in the envelope and the header sections."""
    owner = RecordingOwner([message(1, flags=SMTPUTF8), message(2, flags=SMTPUTF8 | BODY_8BIT, content=UTF8_BODY)])
    _, out = greeted(owner, b"250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
    assert out.startswith(b"MAIL FROM:<s1@relay.test>\r\n")
    assert owner.waiting == [] or b"SMTPUTF8" not in out
    owner = RecordingOwner([message(2, flags=SMTPUTF8 | BODY_8BIT, content=UTF8_BODY)])
    _, out = greeted(owner, b"250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
    assert out.startswith(b"MAIL FROM:<s2@relay.test> BODY=8BITMIME\r\n")


@pytest.mark.parametrize("content", [UTF8_HEADER, UTF8_PART, UTF8_MESSAGE])
def test_utf8_in_a_header_section_at_any_level_needs_smtputf8(content):
    delivery = message(1, 1, flags=SMTPUTF8 | BODY_8BIT, content=content)
    owner = RecordingOwner([delivery])
    greeted(owner, b"250-x\r\n250 8BITMIME\r\n")
    (outcome,) = owner.of(0)
    assert (outcome.kind, outcome.status, outcome.stage) == (FAILED, "5.6.7", "helo")
    assert "header section" in outcome.text
    owner = RecordingOwner([message(1, flags=SMTPUTF8 | BODY_8BIT, content=content)])
    _, out = greeted(owner, HELLO)
    assert b" SMTPUTF8\r\n" in out


def test_a_utf8_header_in_the_content_file_is_found(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(UTF8_PART[20:])
    delivery = Delivery(b"a@b", (b"c@d",), SMTPUTF8 | BODY_8BIT, len(UTF8_PART), UTF8_PART[:20], str(path))
    owner = RecordingOwner([delivery])
    greeted(owner, b"250-x\r\n250 8BITMIME\r\n")
    assert owner.of(0)[0].status == "5.6.7"


def test_only_recipients_with_utf8_in_their_local_part_fail_and_domains_go_as_a_labels():
    """RFC 6531 3.2; the owner gets the delivery back as it was."""
    recipients = ("ü@a.test".encode(), "b@bü.test".encode(), b"c@c.test", "ä@ü.test".encode())
    delivery = Delivery("s@ß.test".encode(), recipients, SMTPUTF8, 7, b"x: y\r\n\r\n")
    owner = RecordingOwner([delivery])
    peer = Peer({("rcpt", 1): b"550 5.1.1 no"}, extensions=(b"PIPELINING", b"8BITMIME"))
    converse(machine_for(owner), peer)
    assert [each for each in peer.commands if each[:4] in {b"MAIL", b"RCPT"}] == [
        b"MAIL FROM:<s@xn--zca.test>",
        b"RCPT TO:<b@xn--b-eha.test>",
        b"RCPT TO:<c@c.test>",
    ]
    assert [(o.kind, o.status) for o in owner.of(0)] == [
        (FAILED, "5.6.7"), (DELIVERED, "2.0.0"), (FAILED, "5.1.1"), (FAILED, "5.6.7"),
    ]  # fmt: skip
    assert "<ü@a.test>" in owner.of(0)[0].text
    assert (delivery.recipients, delivery.flags) == (recipients, SMTPUTF8)


def test_a_message_with_a_utf8_sender_fails_for_all_its_recipients():
    owner = RecordingOwner([Delivery("ü@x".encode(), (b"a@b", b"c@d"), SMTPUTF8, 7, b"x: y\r\n\r\n")])
    greeted(owner, b"250-x\r\n250 8BITMIME\r\n")
    assert {(o.status, "<ü@x>" in o.text) for o in owner.of(0)} == {("5.6.7", True)}


@pytest.mark.parametrize(
    ("delivery", "hello", "status"),
    [
        (message(1, flags=BODY_8BIT), b"250-x\r\n250 PIPELINING\r\n", "5.6.3"),
        (message(1, content=UTF8_HEADER, flags=SMTPUTF8 | BODY_8BIT), b"250-x\r\n250 8BITMIME\r\n", "5.6.7"),
        (Delivery("ü@x".encode(), (b"a@b",), 0, 1, b"x"), b"250-x\r\n250 8BITMIME\r\n", "5.6.7"),
        (message(1, content=b"x" * 1001), HELLO, "5.3.4"),
        (Delivery(b"a@b", (b"a@b>\r\nRCPT TO:<c@d",), 0, 1, b"x"), HELLO, "5.1.3"),
        (Delivery(b"a\n@b", (b"a@b",), 0, 1, b"x"), HELLO, "5.1.3"),
    ],
)
def test_what_the_peer_can_never_take_fails_without_being_sent(delivery, hello, status):
    owner = RecordingOwner([delivery, message(2, 1)])
    _, out = greeted(owner, hello)
    assert {(o.kind, o.status, o.code) for o in owner.of(0)} == {(FAILED, status, 0)}
    assert out.startswith(b"MAIL FROM:<s2@relay.test>"), "the next one is not held up"


def test_parameters_are_given_when_offered_and_needed():
    address = "jürgen@peer.test".encode()
    owner = RecordingOwner([Delivery(b"", (address,), BODY_8BIT | SMTPUTF8, 7, b"x: y\r\n\xc3")])
    machine, out = greeted(owner)
    assert out == b"MAIL FROM:<> SIZE=7 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<" + address + b">\r\nDATA\r\n"
    assert machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n") == b"x: y\r\n\xc3\r\n.\r\n", (
        "a last line without end gets one"
    )


@pytest.mark.parametrize("limit", [b"250 SIZE\r\n", b"250 SIZE 0\r\n", b"250 SIZE nonsense\r\n"])
def test_a_size_without_number_is_no_limit(limit):
    """RFC 1870 4."""
    owner = RecordingOwner([message(1, 1, content=b"x" * 5000)])
    _, out = greeted(owner, b"250-x\r\n" + limit)
    assert out == b"MAIL FROM:<s1@relay.test> SIZE=5000\r\n"


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_contents_are_stuffed_only_when_flagged(kind):
    """RFC 5321 4.5.2; the flag comes from the end-of-data scan."""
    content = b".dot\r\n..two\r\n.\r\nx\r\n"
    owner = RecordingOwner([Delivery(b"a@b", (b"c@d",), DOTS, len(content), kind(content)), message(2, 1)])
    peer = Peer()
    converse(machine_for(owner), peer)
    assert peer.delivered[0][2] == content
    assert len(peer.delivered) == 2


def test_an_empty_content_is_a_dot():
    owner = RecordingOwner([message(1, 1, content=b"")])
    machine, _ = greeted(owner)
    assert machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n") == b".\r\n"


def test_streamed_content_is_stuffed_across_pieces_and_ended_once_it_is_whole():
    content = b"a: b\r\n\r\n.x\r\n..\r\nend"
    for cut in range(len(content)):
        owner = RecordingOwner([Delivery(b"a@b", (b"c@d",), DOTS, len(content), path="/somewhere"), message(2, 1)])
        machine, _ = greeted(owner)
        assert machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n") == b""
        assert machine.is_streaming
        out = machine.stream(content[:cut]) + machine.stream(content[cut:]) + machine.stream(None)
        assert out.startswith(b"a: b\r\n\r\n..x\r\n...\r\nend\r\n.\r\nRSET\r\nMAIL FROM:<s2@relay.test>")
        assert not machine.is_streaming


@pytest.mark.parametrize("pieces", [[b"abc"], [b"abcdef", b"gh"]])
def test_a_content_file_of_another_size_is_never_ended(pieces):
    """The stored content is damaged: the peer must not take it for the message."""
    owner = RecordingOwner([Delivery(b"a@b", (b"c@d",), 0, 7, path="/somewhere")])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    for piece in pieces:
        machine.stream(piece)
    assert machine.stream(None) == b""
    assert machine.is_closed
    assert (owner.of(0)[0].kind, owner.of(0)[0].status) == (DEFERRED, "4.3.0")


def test_a_refusal_while_the_content_is_streamed_stops_it():
    owner = RecordingOwner([Delivery(b"a@b", (b"c@d",), 0, 10, path="/somewhere")])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    machine.stream(b"12345")
    machine.receive(b"552 5.3.4 too much\r\n")
    assert machine.is_closed
    assert owner.of(0)[0][:3] == (FAILED, 552, "5.3.4")


def test_wake_makes_an_idle_session_take_and_nothing_else():
    owner = RecordingOwner()
    machine, out = greeted(owner)
    assert out == b""
    assert machine.is_idle
    owner.waiting = [message(1, 1), message(2, 1), message(3, 1)]
    assert machine.wake().startswith(b"MAIL FROM:<s1@relay.test>")
    assert machine.wake() == b""
    assert len(owner.taken) == 1


def test_work_that_comes_while_the_reply_is_awaited_is_taken_with_the_reply():
    owner = RecordingOwner([message(1, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    owner.waiting = [message(2, 1)]
    assert machine.receive(b"250 2.0.0 ok\r\n").startswith(b"RSET\r\nMAIL FROM:<s2@relay.test>")


def test_quit_waits_for_what_is_in_hand():
    owner = RecordingOwner([message(1, 1), message(2, 1), message(3, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert machine.quit() == b""
    assert machine.receive(b"250 ok\r\n" * 4 + b"354 go\r\n") == b"Subject: 2\r\n\r\nBody\r\n.\r\n"
    assert machine.receive(b"250 ok\r\n") == b"QUIT\r\n"
    machine.receive(b"221 bye\r\n")
    assert machine.is_closed
    machine.eof()
    assert owner.closings == [([], None)]
    assert len(owner.taken) == 2


def test_the_owner_may_wake_and_quit_from_inside_its_calls():
    owner = RecordingOwner([message(1, 1, flags=SMTPUTF8), message(2, 1), message(3, 1)])
    machine = machine_for(owner)
    owner.on_finished = lambda: (machine.wake(), machine.quit() if len(owner.taken) == 3 else None)
    peer = Peer()
    converse(machine, peer)
    assert [delivery.tag for delivery in owner.taken] == [1, 2, 3], "3 rode behind 2"
    assert peer.commands[-1] == b"QUIT"
    owner.check_all_came_back()


def test_a_connection_is_ended_after_max_messages():
    owner = RecordingOwner([message(number, 1) for number in range(5)])
    peer = Peer()
    converse(machine_for(owner, limits=Limits(max_messages=3)), peer)
    assert len(peer.delivered) == 3
    assert peer.commands[-1] == b"QUIT"
    assert owner.closings == [([], None)]


def test_an_idle_connection_is_ended_with_quit_and_the_wait_for_its_reply_is_short():
    owner = RecordingOwner()
    machine, _ = greeted(owner, limits=Limits(idle=30, quit=5))
    assert machine.deadline == 30.0
    assert machine.expire(29.9) == b""
    assert machine.expire(30.0) == b"QUIT\r\n"
    assert machine.deadline == 35.0
    machine.expire(35.0)
    assert machine.is_closed
    machine.eof()
    assert owner.closings == [([], None)]


def test_deadlines_are_those_of_the_stage_and_octets_alone_do_not_move_them():
    """RFC 5321 4.5.3.2."""
    owner = RecordingOwner([message(1, 1)])
    limits = Limits(banner=1, helo=2, mail=3, rcpt=4, data=5, content=6, reply=7)
    machine = machine_for(owner, limits=limits)
    assert machine.deadline == 1
    machine.receive(b"220-peer\r\n", 0.5)
    assert machine.deadline == 1
    machine.receive(b"220 peer\r\n", 10)
    assert machine.deadline == 12
    machine.receive(HELLO, 20)
    assert machine.deadline == 23
    machine.receive(b"250 o", 21)
    assert machine.deadline == 23
    machine.receive(b"k\r\n", 30)
    assert machine.deadline == 34
    machine.receive(b"250 ok\r\n", 40)
    assert machine.deadline == 45
    machine.receive(b"354 ok\r\n", 50)
    assert machine.deadline == 57
    machine.receive(b"250 ok\r\n", 60)
    assert machine.deadline == 60 + limits.idle


def test_text_of_the_peer_is_made_printable_and_bounded():
    owner = RecordingOwner([message(1, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"550-5.7.1 no\x1b[31m\r\n550 5.7.1 " + b"\xff" * 2000 + b"\r\n")
    (outcome,) = owner.of(0) if owner.outcomes else (None,)
    machine.receive(b"503 no\r\n503 no\r\n")
    (outcome,) = owner.of(0)
    assert outcome.status == "5.7.1"
    assert outcome.text.startswith("no?[31m \\xff")
    assert len(outcome.text) <= 4000
    assert outcome.text.isprintable()


def test_a_cut_in_the_middle_of_a_reply_is_a_lost_connection():
    owner = RecordingOwner([message(1, 1)])
    machine, _ = greeted(owner)
    machine.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    machine.receive(b"250 2.0.0 O")
    machine.eof()
    assert owner.of(0)[0].kind == DEFERRED


def test_a_delivery_has_recipients_and_a_content():
    with pytest.raises(ValueError):
        Delivery(b"", (), 0, 1, b"x")
    with pytest.raises(ValueError):
        Delivery(b"", (b"a@b",), 0, 1)


REPLY_LINES = st.sampled_from(
    [
        b"220 hi\r\n",
        HELLO,
        b"250 ok\r\n",
        b"250-a\r\n",
        b"354 go\r\n",
        b"421 bye\r\n",
        b"450 x\r\n",
        b"550 x\r\n",
        b"55",
        b"\r\n",
        b"250 2.0.0 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
        CUT[:1],
        b"\x00",
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(REPLY_LINES | st.binary(max_size=12), max_size=40), st.booleans(), st.sampled_from([0, DOTS, BODY_8BIT])
)
def test_no_stream_of_replies_loses_a_delivery(replies, lmtp, flags):
    owner = RecordingOwner([message(number, 1 + number % 3, flags=flags) for number in range(6)])
    machine = machine_for(owner, lmtp=lmtp)
    for octets in replies:
        machine.receive(octets)
    machine.eof()
    owner.check_all_came_back()
    assert machine.is_closed


ENDLESS = b"550-5.7.1 no\r\n" * 4_000


@pytest.mark.parametrize("extensions", [(b"PIPELINING",), (b"8BITMIME",)])
def test_a_refusal_that_does_not_end_counts_for_what_it_answers_and_for_nothing_else(extensions):
    """RFC 5321 4.2.1: permanent is permanent, however many lines it has. The session cannot go on."""
    owner = RecordingOwner([message(1, 3)])
    converse(machine_for(owner), Peer({("rcpt", 1): ENDLESS}, extensions=extensions))
    first, second, third = owner.of(0)
    assert (second.kind, second.code, second.status) == (FAILED, 550, "5.7.1")
    assert second.text.startswith("no no no")
    assert len(second.text) <= 1000
    assert {first.kind, third.kind} == {DEFERRED}


@pytest.mark.parametrize(("stage", "kind"), [("mail", FAILED), ("data", FAILED), ("reply", FAILED)])
def test_a_refusal_of_the_message_that_does_not_end_refuses_the_message(stage, kind):
    owner = RecordingOwner([message(1), message(2)])
    converse(machine_for(owner), Peer({(stage, 0): ENDLESS}))
    assert {outcome.kind for outcome in owner.of(0)} == {kind}
    assert (
        all(outcome.kind == DEFERRED for outcome in owner.outcomes.get(id(owner.taken[-1]), []))
        or len(owner.taken) == 1
    )


def test_an_endless_success_is_none():
    owner = RecordingOwner([message(1)])
    converse(machine_for(owner), Peer({("reply", 0): b"250-ok\r\n" * 10_000}))
    assert {outcome.kind for outcome in owner.of(0)} == {DEFERRED}


def test_an_endless_refusal_of_a_transaction_in_flight_refuses_no_other():
    owner = RecordingOwner([message(number) for number in range(6)])
    converse(machine_for(owner), Peer({("rcpt", 6): ENDLESS}, extensions=(b"PIPELINING", b"CHUNKING")))
    failed = [outcome for outcomes in owner.outcomes.values() for outcome in outcomes if outcome.kind == FAILED]
    assert len(failed) <= 1
