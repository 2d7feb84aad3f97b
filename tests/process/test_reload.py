"""SIGHUP with real processes: what changes, what is refused, and what clients notice of it (nothing)."""

import signal
import threading

from tests.process.running import Running, Session, is_alive, until
from tests.support.waiting import pause


class Clients:
    """Connect one after the other, without a pause, until told to stop; remember what went wrong."""

    def __init__(self, port: int, count: int = 4) -> None:
        self.port = port
        self.greeted = 0
        self.refused = 0
        self.cut = 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                Session(self.port).close()
                self.greeted += 1
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, EOFError):
                self.cut += 1

    def are_served(self, count: int = 20) -> None:
        """Waits until so many more have been greeted."""
        wanted = self.greeted + count
        until("clients are served", lambda: self.greeted > wanted)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def test_a_reload_replaces_every_worker_and_no_client_notices(tmp_path):
    appliance = Running(tmp_path, smtp=2, delivery=2)
    with appliance.serving():
        old = appliance.pids()
        with Clients(appliance.ports["mx"]) as clients:
            for generation in (2, 3, 4):
                appliance.gets(signal.SIGHUP)
                appliance.serves(generation)
            appliance.runs({*old})
        assert (clients.refused, clients.cut) == (0, 0)
        assert clients.greeted > 10
        assert not any(is_alive(pid) for pid in old.values())
        assert appliance.ask("page")["served"] == 3
        assert appliance.stop() == 0
        assert appliance.events("worker lost") == []


def test_worker_counts_go_up_and_down_and_no_client_notices(tmp_path):
    """Fewer workers serve the sockets of the slots that are gone: their backlogs are not lost."""
    appliance = Running(tmp_path, smtp=2)
    with appliance.serving(), Clients(appliance.ports["mx"]) as clients:
        for generation, smtp in ((2, 5), (3, 1), (4, 3)):
            appliance.configure(smtp=smtp)
            appliance.gets(signal.SIGHUP)
            appliance.serves(generation)
            wanted = {f"smtp-{slot}" for slot in range(smtp)} | {"delivery-0", "admin-0"}
            appliance.runs(wanted)
            clients.are_served()
        assert (clients.refused, clients.cut) == (0, 0)


def test_listeners_come_and_go(tmp_path):
    appliance = Running(tmp_path, listeners={"mx": 0, "submission": 0})
    with appliance.serving():
        mx = appliance.ports["mx"]
        with appliance.session("submission") as old:
            appliance.configure(listeners={"mx": 0, "inside": 0})
            appliance.gets(signal.SIGHUP)
            appliance.serves(2)
            listening = appliance.sees("listening", 2)
            assert listening["mx"] == f"127.0.0.1:{mx}"
            assert "submission" not in listening
            until("refusal", lambda: appliance.refuses("submission"))
            assert old.lines.readline() == b"", "the toy hangs up when it drains"
        appliance.ports["inside"] = int(listening["inside"].rpartition(":")[2])
        with appliance.session("inside") as session:
            assert session.greeting["generation"] == 2


def test_a_bad_file_is_refused_and_the_old_generation_serves_on(tmp_path):
    """I6."""
    appliance = Running(tmp_path)
    with appliance.serving():
        pids = appliance.pids()
        appliance.file.write_text("{ this is not")
        appliance.gets(signal.SIGHUP)
        assert "Expecting property name" in appliance.sees("reload refused")["reason"]
        appliance.configure(data_dir=str(tmp_path / "elsewhere"))
        appliance.gets(signal.SIGHUP)
        assert "data_dir cannot change" in appliance.sees("reload refused", 2)["reason"]
        appliance.configure(data_dir=str(tmp_path / "data"), listeners={"mx": 0, "bad": 1, "worse": -1})
        appliance.gets(signal.SIGHUP)
        appliance.sees("reload refused", 3)
        assert appliance.pids() == pids
        assert appliance.ask("page")["refused"] == 3
        appliance.configure(listeners={"mx": 0})
        appliance.gets(signal.SIGHUP)
        appliance.serves(2)


def test_a_file_that_passes_the_check_but_does_not_work_is_given_up(tmp_path):
    """I6."""
    appliance = Running(tmp_path)
    with appliance.serving():
        pids = appliance.pids()
        for count, toy in enumerate(("cannot start", "dies at start"), 1):
            appliance.configure(toy=toy, listeners={"mx": 0, "new": 0})
            appliance.gets(signal.SIGHUP)
            appliance.sees("reload failed", count)
            until("the new generation is gone", lambda: appliance.pids() == pids)
        appliance.configure(toy="", listeners={"mx": 0})
        appliance.gets(signal.SIGHUP)
        appliance.serves(4)
        assert appliance.stop() == 0


def test_new_delivery_workers_wait_until_the_old_ones_are_gone(tmp_path):
    """The toy binds a name that only one process can have."""
    appliance = Running(tmp_path, delivery=2, toy="slow delivery")
    with appliance.serving():
        for activated in (4, 6):
            appliance.gets(signal.SIGHUP)
            appliance.sees("worker says", activated, text="activated")
        assert appliance.events("worker lost") == []
        order = [
            (event["event"], event["worker"])
            for event in appliance.events()
            if (event["event"] == "worker gone" and event["worker"].startswith("delivery"))
            or event["event"] == "worker says"
        ]
        assert [kind for kind, _ in order] == [
            *("worker says",) * 2, *("worker gone",) * 2, *("worker says",) * 2, *("worker gone",) * 2,
            *("worker says",) * 2,
        ]  # fmt: skip
        assert appliance.stop() == 0


def test_sighup_during_the_start_is_done_after_it(tmp_path):
    appliance = Running(tmp_path, toy="starts slowly")
    with appliance.begun():
        appliance.sees("starting")
        appliance.gets(signal.SIGHUP)
        appliance.is_serving()
        appliance.serves(2)
        assert appliance.stop() == 0


def test_two_sighups_at_once_end_with_one_generation(tmp_path):
    appliance = Running(tmp_path)
    with appliance.serving():
        for _ in range(20):
            appliance.gets(signal.SIGHUP)
            pause(0.002)
        last = appliance.sees("serving", 2)["generation"]

        def settled() -> bool:
            # A generation that is still starting is overtaken by the next one and never serves.
            newest = len(appliance.events("reloading")) + 1
            return len(appliance.pids()) == 4 and appliance.events("serving")[-1]["generation"] == newest

        until("one generation", settled)
        assert last >= 2
        assert appliance.ask("page")["refused"] == 0
        assert appliance.stop() == 0
        assert appliance.events("worker lost") == []


def test_workers_of_both_generations_die_during_a_reload(tmp_path):
    appliance = Running(tmp_path)
    with appliance.serving(), Clients(appliance.ports["mx"]) as clients:
        old = appliance.pids()
        appliance.configure(toy="starts slowly")
        appliance.gets(signal.SIGHUP)
        appliance.sees("reloading")
        appliance.kill(old["smtp-0"])
        until("new generation", lambda: set(appliance.every_pid()) - set(old.values()))
        appliance.kill((set(appliance.every_pid()) - set(old.values())).pop())
        appliance.serves(2)
        until("old generation gone", lambda: len(appliance.pids()) == len(appliance.every_pid()) == 4)
        assert clients.refused == 0
        assert appliance.stop() == 0


def test_sigterm_during_a_reload_ends_both_generations(tmp_path):
    appliance = Running(tmp_path)
    with appliance.serving():
        appliance.configure(toy="starts slowly")
        appliance.gets(signal.SIGHUP)
        appliance.sees("reloading")
        pids = appliance.every_pid()
        assert appliance.stop() == 0
        assert not any(is_alive(pid) for pid in pids)
        assert len(appliance.events("serving")) == 1
