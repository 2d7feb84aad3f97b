"""The harness: commands, counts, turns; and a small real comparison of Relay with the direct path."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks import comparison, micro
from benchmarks.comparison import Comparison, Work, latencies, resumption, rotated, suited
from benchmarks.group import Group, found
from benchmarks.results import Run, medians
from benchmarks.scenarios import tls
from benchmarks.scenarios.settings import Settings
from benchmarks.servers import SERVERS, Server, Site
from benchmarks.servers.base import ServerError
from benchmarks.syncs import SyncCount
from benchmarks.tools import Load, Sent, Sink, StalledError, missing
from tests.support.appliance import open_to_all
from tests.support.needs import need
from tests.support.waiting import pause, wait_until


class FakeGroup:
    """A group that uses a millisecond a look."""

    how = "made up"
    used = 0.0

    def cpu_seconds(self):
        self.used += 0.001
        return self.used

    def settle(self, longest=5.0):
        pass

    def pss(self):
        return {1: 1 << 20}


class FakeServer:
    opening = None
    dialogues = ("pipelined", "grouped", "lock-step")

    def __init__(self, name, rate):
        self.name, self.rate, self.group, self.port = name, rate, FakeGroup(), 25


class FakeSink(Sink):
    """Has everything at once."""

    argv: ClassVar[list[str]] = ["sink"]
    count = 10**9
    at = 0.0

    def start(self):
        pass

    def reset(self):
        pass

    def received(self):
        return self.count, self.count, self.at


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A comparison in which each server works at its own rate, after a second to get going."""
    sink = FakeSink(25)
    sent = []
    servers = [FakeServer("direct", 1000), FakeServer("relay", 100)]

    def send(load, port, count):
        server = next(server for server in servers if server.port == port)
        seconds = 0.01 + count / server.rate
        sink.at = 1000.0 + seconds
        sent.append((server.name, count))
        return Sent(["generate"], 1000.0, 1000.0 + seconds, count, 0.5)

    servers[1].port = 26
    monkeypatch.setattr(comparison, "send", send)
    made = Comparison(Run("relay", tmp_path), ["direct", "relay"], seconds=3.0)
    return made, servers, sink, sent


def test_each_server_is_given_what_it_does_in_the_time_asked_for(fake):
    made, servers, sink, _ = fake
    work = Work("w", Load())
    assert made._calibrate(work, servers[0], sink) == pytest.approx(3000, rel=0.1)
    assert made._calibrate(work, servers[1], sink) == pytest.approx(300, rel=0.1)


def test_values_are_per_message_and_from_the_last_arrival(fake):
    made, servers, sink, _ = fake
    values = made._once(Work("w", Load(recipients=2)), servers[1], sink, 100)
    assert values["per_second"] == pytest.approx(200 / 1.01)
    assert values["accept_per_second"] == pytest.approx(100 / 1.01)
    assert values["cpu_us"] == pytest.approx(10)
    assert values["generator_cpu_us"] == pytest.approx(5000)
    assert values["pss_bytes"] == 1 << 20


def test_another_server_begins_each_repetition():
    servers: list[Any] = ["a", "b", "c"]
    turns: list[Any] = [rotated(servers, number) for number in range(4)]
    assert turns == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_a_sink_that_gets_nothing_more_is_noticed():
    sink = FakeSink(25)
    sink.count, sink.at = 5, 1.0
    assert sink.wait(5) == 1.0
    with pytest.raises(StalledError, match="5 of 6"):
        sink.wait(6, longest_silence=0.05)


def test_the_command_of_each_tool_says_what_is_sent():
    words = " ".join(Load("postfix", "lock-step", 2048, 10, 3).argv(2525, 100))
    assert " -d -s 10 -m 100 -l 2048 -r 3 " in words
    assert words.endswith("127.0.0.1:2525")
    assert " -d " not in " ".join(Load("postfix", "new-connection").argv(2525, 100))
    words = " ".join(Load("own", "new-connection").argv(2525, 7, "other.test"))
    assert "--dialogue lock-step --messages-per-connection 1" in words
    assert "--messages 7 " in words
    assert "r{r}@other.test" in words


def test_a_server_that_cannot_pipeline_is_spoken_to_as_it_can():
    pipelined = Load("own", "pipelined")
    assert suited(pipelined, SERVERS["relay"]) == pipelined
    haraka, opensmtpd = (SERVERS[name] for name in ("haraka", "opensmtpd"))
    assert suited(pipelined, haraka).dialogue == "grouped"
    assert suited(Load("own", "lock-step"), haraka).dialogue == "lock-step"
    assert suited(pipelined, opensmtpd).dialogue == "lock-step"
    assert suited(pipelined, opensmtpd).more == ("--opening", "4")
    assert suited(Load("postfix", "lock-step"), opensmtpd) == Load("postfix", "lock-step")
    assert haraka.limits
    assert opensmtpd.limits


def test_latencies_are_in_milliseconds():
    assert latencies({"accept_seconds": {"count": 9, "p50": 0.001, "p99": 0.002, "mean": 1}}) == {
        "accept_p50_ms": 1.0, "accept_p99_ms": 2.0,
    }  # fmt: skip
    assert latencies({}) == {}
    assert latencies({"accept_seconds": {"count": 0, "p50": 0.0, "p99": 0.0}}) == {}, "none, not no time at all"


def test_resumed_is_a_share_of_the_handshakes_and_missing_without_tls():
    assert resumption({"connections": {"handshakes": 10, "resumed": 4}}) == {"resumed": 0.4}
    assert resumption({"connections": {"handshakes": 0, "resumed": 0}}) == {}
    assert resumption({}) == {}


class SilentServer(Server):
    """Says what is wrong and ends."""

    name = "silent"
    durability = "none"
    version = missing = configuration = classmethod(lambda _: None)  # type: ignore[assignment]  # not asked

    def start(self):
        with self.log.open("ab") as log:
            self.group.start(["/bin/sh", "-c", "echo no such option; exit 3"], output=log)
        self.wait_greeting()


def test_a_server_that_does_not_greet_is_shown_with_what_it_said_and_how_it_ended(tmp_path):
    with (
        pytest.raises(ServerError, match=r"(?s)does not greet.*ended with 3, .*no such option"),
        SilentServer(Site(tmp_path, 2525, {"one.test": 2526})),
    ):
        pass


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "direct"])
@pytest.mark.parametrize("delivers", [True, False])
def test_every_configuration_has_its_port_and_its_next_hops(name, delivers, tmp_path):
    server = SERVERS[name](Site(tmp_path, 2525, {"one.test": 2526, "two.test": 2527}, delivers))
    try:
        text = "\n".join(server.configuration().values())
    finally:
        server.group.end()
    assert "2525" in text
    assert "one.test" in text
    assert "two.test" in text
    # Relay that is not to deliver is given a next hop that refuses.
    assert ("2527" in text) is (delivers or name != "relay")
    assert server.durability


def test_a_small_comparison_of_relay_with_the_direct_path(tmp_path):
    need(missing("own") is None, "benchmarks.load is not compiled")
    open_to_all(tmp_path)
    with Run("relay", tmp_path, results=tmp_path / "results") as run:
        made = Comparison(run, ["direct", "relay"], repetitions=2, seconds=0.1, greatest=500)
        made.measure([Work("pipelined", Load("own", "pipelined", sessions=5))])
    got = medians(run.measurements)["pipelined"]
    assert got["direct"]["per_second"] > got["relay"]["per_second"] > 0
    assert got["relay"]["cpu_us"] > 0
    assert got["relay"]["pss_bytes"] > 1 << 20
    document = json.loads(run.save().read_text())
    assert any("benchmarks.load generate" in command for command in document["commands"])
    assert not (tmp_path / "relay").exists()
    if "syncs" in got["relay"]:
        assert 0 < got["relay"]["syncs"] < 5


def test_a_small_tls_run_resumes_with_each_server_and_only_where_asked():
    """Through the real servers: the direct path, Relay, and Postfix where it can be started."""
    need(missing("own") is None, "benchmarks.load is not compiled")
    names = ["direct", "relay", *(["postfix"] if SERVERS["postfix"].missing() is None else [])]
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to servers that give root up
        Path(folder).chmod(0o755)
        with Run("tls", Path(folder)) as run:
            tls.run(run, Settings(servers=names, repetitions=1, seconds=0.2))
    got = medians(run.measurements)
    assert [list(servers) for servers in got.values()] == [names, names], run.notes
    resumed, full = got.values()
    assert all(resumed[name]["resumed"] > 0 for name in names)
    assert all(full[name]["resumed"] == 0 for name in names)
    assert all(servers[name]["accept_per_second"] > 0 for servers in got.values() for name in names)


def test_syncs_of_a_process_are_counted(tmp_path):
    need(found("perf") is not None or found("strace") is not None, "neither perf nor strace")
    script = (
        "import os, time\n"
        f"fd = os.open({str(tmp_path / 'f')!r}, os.O_CREAT | os.O_WRONLY)\n"
        f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)\n"
        "for _ in range(5): os.write(fd, b'x'); os.fdatasync(fd)\n"
        "for flags in (os.RWF_DSYNC, 0): os.pwritev(fd, [b'y'], 0, flags)\n"
        "time.sleep(60)\n"
    )
    with Group("syncs") as group:
        group.start([sys.executable, "-c", script])
        with SyncCount(group) as syncs:
            pause(1.0)  # perf and strace do not say when they watch
            (tmp_path / "go").touch()
            wait_until(lambda: (tmp_path / "f").exists() and (tmp_path / "f").stat().st_size == 5)
            pause(0.2)  # nor when they have seen all
    if syncs.count is None:
        pytest.skip(syncs.how)
    assert syncs.count == 6


def test_every_case_of_the_micro_benchmarks_runs_on_this_tree():
    assert {name: case for name, case in micro.prepared(()).items() if isinstance(case, str)} == {}


def test_a_change_of_two_per_cent_is_named():
    shown = micro.table({"a": 103.0, "b": 100.5, "c": "ImportError: x"}, {"a": 100.0, "b": 100.0, "c": 5.0}, "time")
    assert list(shown.columns[3].cells) == ["+3.0 % slower", "+0.5 %", ""]
    assert list(shown.columns[2].cells) == ["103", "100", "ImportError: x"]
