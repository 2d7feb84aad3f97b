"""Messages' journeys put together again from log lines."""

import json

import pytest

from relay.telemetry.journey import LONGEST_LINE, MOST_STEPS, Search


def line(kind: str, time: str, **fields: object) -> bytes:
    return json.dumps({"time": f"2026-01-02T03:04:{time}Z", "kind": kind, **fields}, separators=(",", ":")).encode()


def accepted(queue_id: str, time: str = "05.000", **fields: object) -> bytes:
    told = {"queue_id": queue_id, "session_id": "5e55", "transaction": 1, "client": "192.0.2.17", "code": 250,
            "status": "2.0.0", "result": "accepted", "reverse_path": "Ann@example.org",
            "recipients": ["bob@demo.test"]}  # fmt: skip
    return line("transaction", time, **{**told, **fields})


def delivery(queue_id: str, time: str, outcome: str, recipient: str = "bob@demo.test", **fields: object) -> bytes:
    return line("delivery", time, queue_id=queue_id, outcome=outcome, recipients=[recipient], **fields)


REFUSED = line(
    "transaction", "01.000", session_id="5e56", transaction=3, client="192.0.2.18", result="refused", stage="rcpt",
    reverse_path="eve@example.net", refusals=["bub@demo.test: 550 5.1.1"], code=554, status="5.5.1",
)  # fmt: skip
LOG = [
    b'{"time":"2026-01-02T03:04:00.000Z","kind":"event","event":"started","client":"192.0.2.17"}',
    delivery("M1", "05.000", "deferred", code=450, status="4.2.1"),
    accepted("M1"),
    REFUSED,
    accepted("M2", "06.000", recipients=["eve@relay.test"]),
    delivery("M2", "07.000", "delivered", "eve@relay.test", code=250, status="2.0.0"),
    delivery("M1", "09.000", "delivered"),
    b"Traceback (most recent call last):",
    b'{"time":"2026-01-02T03:04:00.000Z","kind":"transaction","queue_id":"M1","client":"192.',
    b"[1,2]",
]


def found(*words: str, log: list[bytes] = LOG, since: str = "", limit: int = 100) -> dict[str, int]:
    search = Search(words, since=since, limit=limit)
    for each in log:
        search.see(each)
    for each in log:
        search.gather(each)
    return {journey.key: len(journey.steps) for journey in search.journeys()}


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["M1"], {"M1"}),
        (["m1"], {"M1"}),
        (["bob@demo.test"], {"M1"}),
        (["<ANN@EXAMPLE.ORG>"], {"M1", "M2"}),
        (["@demo.test"], {"5e56/3", "M1"}),
        (["demo.test"], {"5e56/3", "M1"}),
        (["5e56"], {"5e56/3"}),
        (["192.0.2.17"], {"M1", "M2"}),
        (["192.0.2.1"], set()),
        (["bub@demo.test"], {"5e56/3"}),
        (["5.1.1"], {"5e56/3"}),
        (["4.2.1"], {"M1"}),
        (["450"], {"M1"}),
        (["example.org", "relay.test"], {"M2"}),
        (["example.org", "450"], {"M1"}),
        (["example.net", "450"], set()),
        (["emo.test"], set()),
        (["*"], set()),
    ],
)
def test_a_word_finds_the_journeys_that_it_stands_in_anywhere(words, keys):
    assert set(found(*words)) == keys


def test_a_journey_has_all_its_lines_the_reception_first():
    search = Search(["4.2.1"])
    for reading in (search.see, search.gather):
        for each in LOG:
            reading(each)
    (journey,) = search.journeys()
    assert [step.get("result") or step["outcome"] for step in journey.steps] == ["accepted", "deferred", "delivered"]


TAGGED = [
    accepted("T1", recipients=["alice+news@a.test"]),
    accepted("T2", "06.000", recipients=["alice@a.test"]),
    accepted("T3", "07.000", recipients=["alice@b.test"]),
    accepted("T4", "08.000", recipients=["alicent@a.test", "alice-x@a.test"]),
    accepted("T5", "09.000", recipients=["alice@a.test"], redirected=["Postmaster@a.test: alice@a.test"]),
]


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("alice@a.test", {"T1", "T2", "T5"}),
        ("ALICE@A.TEST", {"T1", "T2", "T5"}),
        ("alice+news@a.test", {"T1"}),
        ("alice+n@a.test", set()),
        ("@a.test", {"T1", "T2", "T4", "T5"}),
        ("postmaster@a.test", {"T5"}),
        ("alic@a.test", set()),
    ],
)
def test_an_address_finds_its_sub_addresses_and_what_was_redirected_from_it(word, keys):
    assert set(found(word, log=TAGGED)) == keys


def test_since_leaves_out_what_was_over_by_then():
    assert set(found("example.org", since="2026-01-02T03:04:06.")) == {"M2"}
    assert found("M1", since="2026-01-02T03:04:08.") == {"M1": 3}, "a journey that went on is told whole"


def test_only_the_newest_are_kept_and_the_others_counted():
    log = [accepted(f"N{number:05}", f"{number / 1000:06.3f}") for number in range(5000)]
    search = Search(["example.org"], limit=3)
    for reading in (search.see, search.gather):
        for each in log:
            reading(each)
    assert [journey.key for journey in search.journeys()] == ["N04997", "N04998", "N04999"]
    assert search.passed_over == 4997


def test_words_that_stand_in_different_lines_are_joined_after_many_half_matches():
    half = [accepted(f"H{number:05}") for number in range(2000)]
    log = [accepted("W"), *half[:100], delivery("W", "09.000", "deferred", status="4.4.1"), *half[100:]]
    assert set(found("example.org", "4.4.1", log=log, limit=2)) == {"W"}


def test_memory_is_bounded_by_what_is_kept_of_one_journey():
    log = [accepted("M1"), *(delivery("M1", "09.000", "deferred") for _ in range(MOST_STEPS + 5))]
    search = Search(["M1"])
    for reading in (search.see, search.gather):
        for each in log:
            reading(each)
    (journey,) = search.journeys()
    assert (len(journey.steps), journey.left_out) == (MOST_STEPS, 6)


def test_an_endless_line_is_passed_over():
    assert found("M1", log=[accepted("M1", text="x" * LONGEST_LINE)]) == {}


EXPLAINED = [
    line(
        "transaction", "01.000", session_id="06B0000000ABC", transaction=2, result="refused", code=550, status="5.1.1"
    ),
    line(
        "transaction", "02.000", session_id="06B0000000ABC", transaction=3, queue_id="06B0000000ABD", result="accepted"
    ),
    line("transaction", "03.000", session_id="06B0000000ABC", result="refused", code=554, status="5.5.1"),
]


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["06B0000000ABC-2"], {"06B0000000ABC/2"}),
        (["06b0000000abc-3"], {"06B0000000ABD"}),
        (["[06B0000000ABC-2]"], {"06B0000000ABC/2"}),
        (["06B0000000ABC"], {"06B0000000ABC/2", "06B0000000ABD", "06B0000000ABC/"}),
        (["[06B0000000ABC]"], {"06B0000000ABC/2", "06B0000000ABD", "06B0000000ABC/"}),
        (["550 5.1.1 No such recipient here: <bub@demo.test> [06B0000000ABC-2]"], {"06B0000000ABC/2"}),
        (
            ["host", "mx.demo.test", "said:", "550", "5.1.1", "No", "such", "[06B0000000ABC-2]", "(in", "reply"],
            {"06B0000000ABC/2"},
        ),
        (["06B0000000ABC-23"], set()),
        (["06B0000000ABC-"], set()),
    ],
)
def test_the_id_at_the_end_of_a_refusal_finds_its_transaction(words: list[str], keys: set[str]) -> None:
    assert set(found(*words, log=EXPLAINED)) == keys


def test_a_refused_login_is_found_by_the_id_of_its_session() -> None:
    log = [
        line(
            "event", "01.000", event="login refused", session_id="06B0000000ABC", reason="credentials", protocol="smtp"
        ),
        line("event", "02.000", event="started", session_id="06B0000000ABC"),
    ]
    assert found("[06B0000000ABC]", log=log) == {"06B0000000ABC/": 1}
