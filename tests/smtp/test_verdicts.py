"""What verdicts do, through a whole session: each kind, at each stage that can have it, in memory and in a file; and
checks that are late, fail or never answer, pipelined and not."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from relay.mail.envelope import BODY_8BIT, DOTS, LARGE
from relay.mail.reply import Reply
from relay.policy.content import Content
from relay.policy.edits import BOTTOM, Add, Change, Remove
from relay.policy.facts import Fact
from relay.policy.pipeline import ACCEPT, STAGES, Check
from relay.policy.verdict import ANNOTATE, DISCARD, Verdict, defer, reject
from tests.smtp.stand import MESSAGE, Peer, Stand

KIB = 1024
LARGE_MESSAGE = MESSAGE + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 1500
SETTINGS = {"large_content": 64 * KIB, "early_talk": "everybody"}


def check(stage: str, answer: Any, name: str = "test", **settings: Any) -> Check:
    """One that gives ``answer``, or what calling it with view and subject gives."""
    return Check(name, stage, answer if callable(answer) else lambda _view, _about: answer, **settings)


def talk(*checks: Check, content: bytes = MESSAGE, **settings: Any) -> Stand:
    """A whole transaction that is accepted, with ``checks``; the stand with what came of it."""
    stand = Stand(checks=checks, **{**SETTINGS, **settings})
    assert stand.connect().transmit(content).startswith("250 2.0.0 Ok: queued as ")
    return stand


def line(stand: Stand) -> dict[str, Any]:
    found: dict[str, Any] = stand.log.lines[-1]
    return found


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("content", [MESSAGE, LARGE_MESSAGE])
def test_header_edits_of_each_stage_are_made(stage: str, content: bytes) -> None:
    edits = (Add(b"X-Top: 1\r\n"), Add(b"X-Last: 2\r\n", BOTTOM), Remove(b"to"), Change(b"Subject", b"Subject: y\r\n"))
    stand = talk(check(stage, Verdict(ANNOTATE, edits=edits)), content=content)
    (record,) = stand.spool.records
    header, _, body = record.content.partition(b"\r\n\r\n")
    assert header.split(b"\r\n\t")[-1].split(b"\r\n")[1:] == [
        b"X-Top: 1", b"From: sender@elsewhere.example", b"Subject: y", b"X-Last: 2",
    ]  # fmt: skip
    assert body == content.partition(b"\r\n\r\n")[2]
    assert record.envelope.size == len(record.content)
    assert line(stand)["changes"] == [
        "field added: X-Top", "field added: X-Last", "field removed: to", "field changed: Subject",
    ]  # fmt: skip
    assert stand.context.buffered == 0


def test_what_each_stage_annotates_adds_up_in_their_order() -> None:
    checks = [check(stage, Verdict(ANNOTATE, edits=(Add(b"X-%b: 1\r\n" % stage.encode()),))) for stage in STAGES]
    stand = Stand(checks=checks)
    peer = stand.connect()
    for _ in range(2):
        assert peer.transmit(MESSAGE).startswith("250 ")
    for record in stand.spool.records:
        names = [each.partition(b":")[0] for each in record.content.split(b"\r\n") if each.startswith(b"X-")]
        assert names == [b"X-content", b"X-rcpt", b"X-mail", b"X-helo", b"X-connect"]


def test_what_was_annotated_about_an_earlier_greeting_does_not_count() -> None:
    stand = Stand(checks=[check("helo", lambda _, name: Verdict(ANNOTATE, edits=(Add(b"X-Helo: %b\r\n" % name),)))])
    peer = stand.connect()
    for name in ("one.example", "two.example"):
        peer.say(f"EHLO {name}")
    peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<anna@local.test>")
    peer.say("DATA")
    peer.send(MESSAGE + b".\r\n")
    content = stand.spool.records[0].content
    assert content.count(b"X-Helo") == 1
    assert b"X-Helo: two.example\r\n" in content
    assert [each["check"] for each in line(stand)["decisions"]] == ["test"]


@pytest.mark.parametrize("content", [b"", b"\r\nbody\r\n", b"no field\r\n", b"X: 1\r\n"])
def test_fields_are_added_where_there_is_no_header_section_or_no_body(content: bytes) -> None:
    stand = talk(check("content", Verdict(ANNOTATE, edits=(Add(b"X-Top: 1\r\n"),))), content=content)
    (record,) = stand.spool.records
    plain = talk(check("content", None), content=content).spool.records[0].content
    received = len(record.parts[0].partition(b"X-Top")[0].partition(b"\r\n\r\n")[0])
    assert record.content[:received] == plain[:received]
    assert record.content.count(b"X-Top: 1\r\n") == 1
    assert record.content.replace(b"X-Top: 1\r\n", b"") in (plain, plain + b"\r\n")


def test_a_submission_has_date_and_message_id_before_it_is_checked() -> None:
    seen: list[bytes] = []

    def look(_view: Any, content: Content) -> None:
        seen.extend((content.header, b"".join(content.octets())))

    stand = talk(
        check("content", look), kind="submission", content=b"From: a@b.test\r\n\r\nbody\r\n", trusted_networks=()
    )
    (record,) = stand.spool.records
    assert seen[0].startswith(b"Message-ID: <")
    assert b"\r\nDate: " in seen[0]
    assert record.content.endswith(seen[1]), "what was checked is what is sent, below our Received field"


@pytest.mark.parametrize("instead", [(b"a@x.test",), (b"a@x.test", b"b@y.test"), ()])
def test_a_recipient_becomes_others(instead: tuple[bytes, ...]) -> None:
    def expand(_view: Any, recipient: bytes) -> Verdict | None:
        return Verdict(ANNOTATE, instead=instead) if recipient == b"anna@local.test" else None

    stand = Stand(checks=[check("rcpt", expand)])
    assert stand.connect().transmit(MESSAGE, "anna@local.test", "bert@local.test").startswith("250 ")
    assert stand.spool.records[0].envelope.recipients == (*instead, b"bert@local.test")
    assert line(stand)["redirected"] == [f"anna@local.test: {b' '.join(instead).decode()}"]
    assert stand.count("relay_smtp_recipients_total", "accepted") == 2


def test_a_message_whose_recipients_all_become_nobody_is_accepted_and_thrown_away() -> None:
    stand = talk(check("rcpt", Verdict(ANNOTATE, instead=())))
    assert stand.spool.records == []
    assert line(stand)["result"] == "discarded"


@pytest.mark.parametrize("stage", ["mail", "rcpt", "content"])
def test_recipients_are_added(stage: str) -> None:
    stand = talk(check(stage, Verdict(ANNOTATE, added=(b"copy@x.test", b"anna@local.test"))))
    assert set(stand.spool.records[0].envelope.recipients) == {b"anna@local.test", b"copy@x.test"}
    assert "recipient added: copy@x.test" in line(stand)["changes"]
    assert b"\tfor <" not in stand.spool.records[0].received, "nobody sees who else gets it"


def test_recipients_are_removed_at_the_end_of_the_content() -> None:
    stand = Stand(checks=[check("content", Verdict(ANNOTATE, removed=(b"anna@local.test", b"x@nowhere.test")))])
    assert stand.connect().transmit(MESSAGE, "anna@local.test", "bert@local.test").startswith("250 ")
    assert stand.spool.records[0].envelope.recipients == (b"bert@local.test",)
    assert line(stand)["changes"] == ["recipient removed: anna@local.test"]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "content"])
@pytest.mark.parametrize("path", [b"", b"other@x.test"])
def test_the_reverse_path_is_another(stage: str, path: bytes) -> None:
    stand = talk(check(stage, Verdict(ANNOTATE, reverse_path=path)))
    assert stand.spool.records[0].envelope.reverse_path == path
    assert line(stand)["reverse_path"] == "sender@elsewhere.example"
    assert line(stand)["changes"] == [f"reverse-path: <{path.decode()}>"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("verdict", "held", "result"),
    [
        (Verdict(ANNOTATE, hold="by the rule"), "by the rule", "hold"),
        (Verdict(ANNOTATE, quarantine="a virus"), "quarantined: a virus", "quarantine"),
    ],
)
def test_a_message_is_held_with_its_reason(stage: str, verdict: Verdict, held: str, result: str) -> None:
    stand = talk(check(stage, verdict), check("content", Verdict(ANNOTATE, hold="later")))
    assert stand.spool.records[0].envelope.held == held
    assert line(stand)["changes"][0] == f"held: {held}"
    assert line(stand)["decisions"][0]["result"] == result
    assert line(stand)["result"] == "accepted"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("content", [MESSAGE, LARGE_MESSAGE])
def test_a_message_is_discarded_and_its_sender_cannot_tell(stage: str, content: bytes) -> None:
    stand = talk(check(stage, Verdict(DISCARD, why="a rule")), content=content)
    assert stand.spool.records == []
    assert [large.state for large in stand.spool.larges] == ["aborted"] * len(stand.spool.larges)
    found = line(stand)
    assert (found["result"], found["code"]) == ("discarded", 250)
    assert found["changes"] == ["discarded by test"]
    assert found["decisions"][0]["why"] == "a rule"
    assert stand.count("relay_smtp_transactions_total", "discarded") == 1
    assert stand.count("relay_smtp_messages_accepted_total", "mx") == 0
    assert stand.context.buffered == 0


@pytest.mark.parametrize("content", [MESSAGE, LARGE_MESSAGE])
@pytest.mark.parametrize(
    ("body", "flags"),
    [
        (b"new\r\n", 0),
        (b"", 0),
        (b".dot\r\n\xff\r\n", DOTS | BODY_8BIT),
        ((b"z" * 998 + b"\r\n") * 100, LARGE),
    ],
)
def test_a_body_is_replaced(content: bytes, body: bytes, flags: int) -> None:
    stand = talk(check("content", Verdict(ANNOTATE, body=body)), content=content)
    (record,) = stand.spool.records
    header, _, rest = record.content.partition(b"\r\n\r\n")
    assert rest == body
    assert header.endswith(b"Subject: a test")
    assert record.envelope.flags == flags
    assert record.envelope.size == len(record.content)
    assert line(stand)["changes"] == ["body replaced"]
    assert stand.context.buffered == 0
    assert [large.state for large in stand.spool.larges if large is not record.large] in ([], ["aborted"])


@pytest.mark.parametrize("body", [b"no line end", b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"])
def test_a_body_that_is_no_lines_is_a_fault_of_the_check(body: bytes) -> None:
    """I3: what a check brings must not smuggle a message either."""
    stand = Stand(checks=[check("content", Verdict(ANNOTATE, body=body))])
    assert stand.connect().transmit(MESSAGE).startswith("451 4.3.0 ")
    assert stand.spool.records == []


def test_a_field_with_a_dot_or_an_odd_octet_is_seen_in_the_envelope() -> None:
    stand = talk(check("content", Verdict(ANNOTATE, edits=(Add(b".X: 1\r\n"), Add(b"Y: \xc3\xa9\r\n")))))
    assert stand.spool.records[0].envelope.flags == DOTS | BODY_8BIT


def test_checks_of_the_content_read_it_as_it_will_be_sent() -> None:
    seen: list[Any] = []

    def look(view: Any, content: Content) -> None:
        seen.append(([each.name for each in content.fields], content.size, view.octets, view.recipients))

    talk(check("content", look))
    assert seen == [([b"From", b"To", b"Subject"], len(MESSAGE), len(MESSAGE), (b"anna@local.test",))]


def test_facts_go_from_stage_to_stage_and_into_the_log() -> None:
    count = Fact[int]("count", str)

    def add(view: Any, _about: Any) -> None:
        view.facts.put(count, (view.facts.get(count) or 0) + 1)

    stand = Stand(checks=[check(stage, add) for stage in STAGES])
    peer = stand.connect()
    for _ in range(2):
        peer.transmit(MESSAGE)
    # The second greeting counts in the session as well; a transaction's own facts end with it.
    assert [each["facts"] for each in stand.log.lines] == [["count=2", "count=5"], ["count=3", "count=6"]]


# ---- late, never, raises --------------------------------------------------------------------------------------------

LINES = (
    b"EHLO client.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<anna@local.test>\r\n", b"DATA\r\n",
    MESSAGE + b".\r\n",
)  # fmt: skip
NO = reject(Reply(550, "5.7.9", "Because"))
LATER = defer(Reply(451, "4.7.9", "Later"))


async def never() -> Verdict | None:
    await asyncio.Event().wait()
    return None


async def raising() -> Verdict | None:
    await asyncio.sleep(0)
    raise ZeroDivisionError("secret")


def giving(verdict: Verdict | None) -> Callable[[], Any]:
    async def wait() -> Verdict | None:
        await asyncio.sleep(0)
        return verdict

    return wait


async def converse(peer: Peer, pieces: list[bytes]) -> bytes:
    """Sends ``pieces`` and answers what is asked, as a connection does; all replies."""
    out = peer.greeting
    for piece in itertools.chain([b""], pieces):
        out += peer.send(piece)
        while peer.session.open_questions:
            question = peer.session.open_questions[0]
            question.answered(await question.awaitable)
            out += peer.send(b"")
    return out


def replies_of(stage: str, answer: Callable[[], Any], pieces: list[bytes], **settings: Any) -> tuple[Stand, list[str]]:
    checks = [check(stage, lambda _view, _about: answer(), deadline=0.001, **settings)]
    checks += [check(each, None) for each in STAGES if each != stage]
    stand = Stand(checks=checks, early_talk="everybody")
    out = asyncio.run(converse(stand.connect(), pieces))
    return stand, [each[:9].strip() for each in out.decode().splitlines() if each[3] == " "]


GOOD = ["220 mx.re", "250 SMTPU", "250 2.1.0", "250 2.1.5", "354 End d", "250 2.0.0"]
"""The last lines of the replies when nothing is refused."""
AFTER = {
    "connect": [],
    "helo": ["503 5.5.1"] * 3,
    "mail": ["503 5.5.1"] * 2,
    "rcpt": ["554 5.5.1"],
    "content": [],
}
"""What follows a refusal at each stage, up to DATA."""


@pytest.mark.parametrize("is_pipelined", [True, False])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("answer", "code", "result"),
    [
        (giving(NO), "550 5.7.9", "reject"),
        (giving(LATER), "451 4.7.9", "defer"),
        (never, "451 4.3.0", "timeout"),
        (raising, "451 4.3.0", "error"),
    ],
)
def test_a_late_refusal_or_a_failure_at_each_stage(
    is_pipelined: bool, stage: str, answer: Any, code: str, result: str
) -> None:
    pieces = [b"".join(LINES[:-1]), LINES[-1]] if is_pipelined else list(LINES)
    stand, replies = replies_of(stage, answer, pieces)
    at = STAGES.index(stage) + (stage == "content")
    assert replies[: at + 1] == [*GOOD[:at], code]
    assert replies[at + 1 : at + 1 + len(AFTER[stage])] == [each.strip() for each in AFTER[stage]]
    assert stand.spool.records == []
    assert stand.count("relay_policy_checks_total", "other", result) >= 1
    assert all("secret" not in each for each in replies)


@pytest.mark.parametrize("is_pipelined", [True, False])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("answer", "settings"),
    [
        (giving(None), {}),
        (giving(Verdict(ANNOTATE, edits=(Add(b"X-Late: 1\r\n"),))), {}),
        (never, {"on_error": ACCEPT}),
        (raising, {"on_error": ACCEPT}),
    ],
)
def test_a_late_pass_or_a_failure_that_is_accepted(is_pipelined: bool, stage: str, answer: Any, settings: Any) -> None:
    pieces = [b"".join(LINES[:-1]), LINES[-1]] if is_pipelined else list(LINES)
    stand, replies = replies_of(stage, answer, pieces, **settings)
    assert replies == GOOD
    (record,) = stand.spool.records
    found = [each["result"] for each in line(stand)["decisions"]]
    assert len(found) == len(STAGES)
    late = {never: "timeout", raising: "error"}.get(answer)
    if late:
        assert found[STAGES.index(stage)] == late
    else:
        assert (b"X-Late: 1\r\n" in record.content) == ("annotate" in found)
