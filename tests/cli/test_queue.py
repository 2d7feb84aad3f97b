"""relay queue, against a worker's side that is played by a thread on a real Unix socket."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.control import stopped
from relay.control.vocabulary import Selection
from relay.net.frames import FrameBuffer, encode
from tests.control.samples import ENTRY, NOW


def part(**changes):
    """A frame with ENTRY, changed so."""
    return ("part", ENTRY._replace(**changes)._asdict())


def end(parts):
    return ("end", {"parts": parts})


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr("time.time", lambda: float(NOW))


@pytest.fixture
def config_file(tmp_path, monkeypatch):
    monkeypatch.delenv("RELAY_CONFIG", raising=False)
    path = tmp_path / "relay.toml"
    path.write_text('data_dir = "data"\n')
    for name in ("run", "spool"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return path


@pytest.fixture
def queue(config_file):
    def run(*words):
        return CliRunner().invoke(main, ["queue", *words, "--config", str(config_file)])

    return run


@contextmanager
def worker(config_file, shard, *answers):
    """A delivery worker that gives the same answers to every request; yields the requests."""
    requests = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(config_file.parent / "data" / "run" / f"delivery-{shard}.sock"))
    listener.listen()

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                buffer = FrameBuffer()
                while not (messages := buffer.feed(connection.recv(65536))):
                    pass
                requests.extend(messages)
                connection.sendall(b"".join(encode(answer) for answer in answers))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_list_shows_the_entries_of_every_worker(queue, config_file):
    other = part(
        queue_id="06B00000000BB", state="active", recipients=("x@y.test",), attempts=0, text="", status="", waits_for=""
    )
    with (
        worker(config_file, 0, part(), end(1)),
        worker(config_file, 1, other, end(1)),
    ):
        result = queue("list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split() == [
        *("06A00000000AA", "deferred", "2.0KiB", "2h", "<you@source.test>", "to"),
        *("a@b.test,", "c@b.test,", "d@b.test", "and", "1", "more"),
    ]
    assert "x@y.test" in lines[2]
    assert lines[3] == "2 in the queue"


def test_text_of_a_peer_cannot_steer_the_terminal(queue, config_file):
    with worker(config_file, 0, part(), end(1)):
        for words in (("list",), ("show", ENTRY.queue_id)):
            output = queue(*words).output
            assert "\x1b" not in output
            assert r"4.4.1 connect: \x1b[31mrefused" in output


def test_list_says_why_and_when_next(queue, config_file):
    with worker(config_file, 0, part(), end(1)):
        assert queue("list").output.splitlines()[1].endswith("; 3 attempts; next in 1m")


def test_json_is_one_object_a_line(queue, config_file):
    with worker(config_file, 0, part(), part(), end(2)):
        lines = queue("list", "--json").output.splitlines()
    told = json.loads(json.dumps(ENTRY._asdict()))
    told |= {"received_at": "2023-11-14T20:13:20.000Z", "due_at": "2023-11-14T22:14:50.000Z"}
    assert [json.loads(line) for line in lines] == [told, told], "times as other programs read them (RFC 3339)"


def test_a_time_that_is_not_known_is_left_out_of_json(queue, config_file):
    with worker(config_file, 0, part(due_at=0), end(1)):
        assert "due_at" not in json.loads(queue("list", "--json").output)


@pytest.mark.parametrize("waits_for", ["release", "copy", "reply", "connection", "dns", "next hop", "retry", "turn"])
def test_list_and_show_say_what_is_waited_for_and_when_it_goes_on(queue, config_file, waits_for):
    from relay.cli.entry_text import WAITS

    with worker(config_file, 0, part(waits_for=waits_for, text="", status=""), end(1)):
        listed, shown = queue("list").output, queue("show", ENTRY.queue_id).output
    assert f"{WAITS[waits_for]}; 3 attempts; next in 1m" in listed
    assert f"waits for     {WAITS[waits_for]}" in shown
    assert "next try      2023-11-14 22:14:50 UTC" in shown


def test_the_reply_code_of_a_peer_is_shown(queue, config_file):
    with worker(config_file, 0, part(code=450, status="4.7.1"), end(1)):
        assert "450 4.7.1 connect" in queue("list").output


def test_show_tells_everything(queue, config_file):
    with worker(config_file, 0, part(), end(1)):
        output = queue("show", ENTRY.queue_id).output
    for fact in ("deferred", "2048 octets", "e@b.test", "smtp://mx.b.test:25", "2h ago", "2023-11-14"):
        assert fact in output


def test_the_selection_goes_to_the_worker(queue, config_file):
    with worker(config_file, 0, end(3)) as requests:
        result = queue("retry", "--domain", "B.test", "--older-than", "2h")
    assert requests == [("command", "queue retry", {"queue_id": "", "domain": "b.test", "older_than": 7200.0})]
    assert result.output == "3 tried again\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("operation", "done"), [("retry", "tried again"), ("hold", "held"), ("release", "released"), ("remove", "removed")]
)
def test_actions_report_how_many(queue, config_file, operation, done):
    with worker(config_file, 0, end(1)) as requests:
        result = queue(operation, "06a00000000aa", "06B00000000BB")
        as_json = queue(operation, "--all", "--json")
    assert [(name, table["queue_id"]) for _, name, table in requests] == [
        (f"queue {operation}", "06A00000000AA"),
        (f"queue {operation}", "06B00000000BB"),
        (f"queue {operation}", ""),
    ]
    assert result.output == f"2 {done}\n"
    assert json.loads(as_json.output) == {"operation": operation, "count": 1}


@pytest.mark.parametrize("operation", ["show", "retry", "hold", "release", "remove"])
def test_an_action_never_means_everything_by_accident(queue, config_file, operation):
    with worker(config_file, 0, end(1)) as requests:
        result = queue(operation)
    assert result.exit_code == 2
    assert requests == []


def test_nothing_matched_is_exit_1_but_an_empty_queue_is_not(queue, config_file):
    with worker(config_file, 0, end(0)):
        assert queue("remove", "--domain", "a.test").exit_code == 1
        assert queue("show", "06A00000000AA").exit_code == 1
        assert queue("list", "06A00000000AA").exit_code == 1
        for words in (("--domain", "nosuch.test"), ("--older-than", "1h"), ("--domain", "nosuch.test", "--json")):
            result = queue("list", *words)
            assert result.exit_code == 1
            assert result.output == "Nothing matches.\n", "an empty answer is not an empty queue"
        assert queue("list").exit_code == 0
        assert queue("list").output == "The queue is empty.\n"
        assert queue("list", "--json").output == ""


def test_ids_that_are_not_in_the_queue_are_named(queue, config_file):
    with worker(config_file, 0, part(), end(1)):
        result = queue("show", ENTRY.queue_id, "06B00000000BB")
    assert result.exit_code == 1
    assert "Not in the queue: 06B00000000BB" in result.output


def test_a_queue_that_was_never_made_is_not_an_empty_one(queue, config_file):
    (config_file.parent / "data" / "spool").rmdir()
    result = queue("list")
    assert result.exit_code == 1
    assert "there is no spool at" in result.output
    assert "--config" in result.output


@pytest.mark.parametrize("words", [("06A0",), ("--older-than", "2"), ("--domain", "a b")])
def test_a_malformed_selection_is_wrong_usage(queue, words):
    assert queue("remove", *words).exit_code == 2


def test_an_action_on_a_stopped_appliance_is_exit_4(queue):
    result = queue("retry", "--all")
    assert result.exit_code == 4
    assert "must be running" in result.output


def test_list_reads_the_disk_of_a_stopped_appliance(queue, monkeypatch):
    other = ENTRY._replace(queue_id="06B00000000BB", recipients=("x@y.test",))
    monkeypatch.setattr(stopped, "entries", lambda _config: iter([ENTRY, other]))
    result = queue("list", "--domain", "y.test")
    assert result.exit_code == 0
    assert "06B00000000BB" in result.output
    assert "06A00000000AA" not in result.output
    assert "Not running" in result.output


def test_a_running_appliance_whose_workers_are_silent_is_not_read_from_disk(queue, monkeypatch):
    monkeypatch.setattr("relay.spool.folder.is_running", lambda _path: True)
    result = queue("list")
    assert result.exit_code == 4
    assert "no delivery worker answers" in result.output


def test_one_worker_that_fails_is_named_and_the_rest_is_shown(queue, config_file):
    with (
        worker(config_file, 0, part(), end(1)),
        worker(config_file, 1, ("error", "failed", "still reading the spool")),
    ):
        result = queue("list")
    assert result.exit_code == 1
    assert "06A00000000AA" in result.output
    assert "Warning: delivery-1: still reading the spool" in result.output


@pytest.mark.parametrize(
    ("selection", "matches"),
    [
        (Selection(), True),
        (Selection("06A00000000AA"), True),
        (Selection("06A00000000AB"), False),
        (Selection(domain="b.test"), True),
        (Selection(domain="test"), False),
        (Selection(older_than=7200), True),
        (Selection(older_than=7201), False),
        (Selection("06A00000000AA", "c.test"), False),
    ],
)
def test_all_parts_of_a_selection_must_match(selection, matches):
    assert selection.matches(ENTRY, NOW) is matches
