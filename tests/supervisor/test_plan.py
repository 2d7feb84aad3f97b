"""The plan, told what happens and asked what it wants; no process is made."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from relay.supervisor import vocabulary as v
from relay.supervisor.generation import LONGEST_DELAY, SETTLED, Throttle
from relay.supervisor.plan import ABORT_GRACE, START_ATTEMPTS, START_TIMEOUT, STOP_GRACE
from tests.supervisor.world import BEAT, DRAIN, World, serving, spec

# ---- start ----------------------------------------------------------------------------------------------------------


def test_a_start_forks_every_slot_and_serves_when_all_are_ready():
    world = World()
    world.load(spec(smtp=2, delivery=1, admin=1))
    assert [(s.role, s.slot, s.is_replacement) for s in world.alive.values()] == [
        ("smtp", 0, False), ("smtp", 1, False), ("delivery", 0, False), ("admin", 0, False)
    ]  # fmt: skip
    world.ready(1, 2, 3)
    assert world.served == []
    world.ready(4)
    assert world.served == [1]


def test_at_the_start_a_delivery_worker_is_activated_as_soon_as_it_is_ready():
    world = World()
    world.load()
    (delivery,) = world.of(1, "delivery")
    assert not world.is_active(delivery)
    world.ready(delivery)
    assert world.is_active(delivery)


def test_a_worker_that_cannot_start_ends_the_first_start():
    world = World()
    world.load()
    world.happens(v.Failed(1, "accounts: permission denied"))
    assert "start failed" in world.logged
    assert all(world.told[worker] == [("stop",)] for worker in world.alive)
    world.dies(1, 78)
    world.goes(2, 3)
    assert world.exit_code == v.EXIT_CANNOT_START


def test_workers_lost_again_and_again_end_the_first_start():
    world = World()
    world.load(spec(smtp=1))
    for _ in range(START_ATTEMPTS):
        world.dies(world.of(1, "smtp")[0])
    world.goes(*world.of(1))
    assert world.exit_code == v.EXIT_CANNOT_START


def test_a_worker_that_does_not_become_ready_is_killed():
    world = serving()
    world.dies(1)
    (new,) = set(world.of(1, "smtp")) - {2}
    world.passes(START_TIMEOUT - 1)
    assert new not in world.killed
    world.passes(2)
    assert world.killed[new] == [False]
    world.passes(ABORT_GRACE + 1)
    assert world.killed[new] == [False, True]
    world.dies(new)
    assert world.deaths == ["signal", "not_ready"]
    assert len(world.of(1, "smtp")) == 2


# ---- replacement ----------------------------------------------------------------------------------------------------


def test_a_dead_worker_is_replaced_at_once_in_its_slot():
    world = serving()
    world.passes(60)
    world.dies(2)
    (new,) = set(world.of(1, "smtp")) - {1}
    assert world.alive[new] == v.Spawn(new, "smtp", 1, 1, is_replacement=True)
    assert world.deaths == ["signal"]
    assert world.served == [1]


def test_a_replaced_delivery_worker_is_activated_when_it_is_ready():
    world = serving()
    world.dies(world.of(1, "delivery")[0])
    (new,) = world.of(1, "delivery")
    assert not world.is_active(new)
    world.ready(new)
    assert world.is_active(new)


def test_a_slot_in_a_crash_loop_is_held_back_and_a_settled_worker_ends_it():
    world = serving(spec(smtp=1))
    delays = []
    for _ in range(9):
        world.dies(world.of(1, "smtp")[0])
        before = world.now
        while not world.of(1, "smtp"):
            world.passes(0.1)
        delays.append(round(world.now - before, 1))
        world.all_ready()
    assert delays == [0, 0, 0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
    assert world.plan.throttled("smtp") == 1
    assert world.plan.throttled("delivery") == 0
    world.passes(SETTLED + 1)
    assert world.plan.throttled("smtp") == 0
    world.dies(world.of(1, "smtp")[0])
    assert world.of(1, "smtp")


def test_the_back_off_has_an_end():
    throttle = Throttle()
    delays = [throttle.died(0.1) for _ in range(2000)]
    assert delays[-1] == LONGEST_DELAY
    assert throttle.died(SETTLED) == 0.0


def test_a_process_that_cannot_be_forked_is_tried_again_with_back_off():
    world = serving(spec(smtp=1))
    world.dies(1)
    for _ in range(3):
        (worker,) = world.of(1, "smtp")
        del world.alive[worker]
        world.happens(v.SpawnFailed(worker, "Resource temporarily unavailable"))
    assert world.of(1, "smtp") == []
    world.passes(2)
    assert len(world.of(1, "smtp")) == 1


# ---- hung loops -----------------------------------------------------------------------------------------------------


def test_a_hung_loop_is_aborted_then_killed_then_replaced():
    world = serving(spec(smtp=1))
    world.passes(2)
    hung = world.of(1, "smtp")[0]
    stopped_at = world.now
    while hung not in world.killed:
        world.beats = dict.fromkeys(world.alive, world.now) | {hung: stopped_at}
        world.passes(0.5, beating=False)
        assert world.now < stopped_at + BEAT + 2
    assert world.now > stopped_at + BEAT
    assert world.killed == {hung: [False]}
    world.passes(ABORT_GRACE + 0.1)
    assert world.killed == {hung: [False, True]}
    world.dies(hung)
    assert world.deaths == ["hung"]
    assert len(world.of(1, "smtp")) == 1


def test_a_pause_of_the_supervisor_itself_is_no_hang_of_its_workers():
    """A frozen container: on thawing all beats look old."""
    world = serving()
    world.passes(2)
    world.now += 1000
    world.happens(v.Tick(dict(world.beats)))
    assert world.killed == {}
    world.passes(BEAT + 2, beating=False)
    assert len(world.killed) == 3


def test_a_worker_that_hangs_while_it_drains_is_killed_without_waiting_for_the_deadline():
    world = serving(spec(smtp=1))
    world.passes(2)
    world.happens(v.Terminate("SIGTERM"))
    world.goes(*world.of(1, "delivery"))
    world.passes(BEAT + 1.5, beating=False)
    assert world.killed == {1: [False]}
    world.dies(1, -6)
    assert world.exit_code == v.EXIT_CUT


def test_a_stop_does_not_give_a_hung_worker_more_time():
    world = serving(spec(smtp=1, delivery=0))
    world.passes(2)
    world.passes(BEAT + 1, beating=False)
    assert world.killed == {1: [False]}
    world.happens(v.Terminate("SIGTERM"))
    world.passes(ABORT_GRACE + 0.1, beating=False)
    assert world.killed == {1: [False, True]}
    world.dies(1, -6)
    assert world.exit_code == v.EXIT_CUT


# ---- reload ---------------------------------------------------------------------------------------------------------


def test_a_reload_serves_with_the_new_generation_and_drains_the_old_one():
    world = serving()
    world.happens(v.Hangup())
    assert world.loads == 1
    world.load(spec(smtp=3, delivery=2))
    assert len(world.of(2)) == 5
    assert not any(world.has_to_go(worker) for worker in world.of(1))
    world.all_ready()
    assert world.served == [1, 2]
    assert all(world.told[worker][-1] == ("drain", DRAIN) for worker in world.of(1))
    world.goes(*world.of(1))
    assert world.forgotten == [1]


def test_new_delivery_workers_stand_by_until_all_old_ones_are_gone():
    world = serving(spec(smtp=1, delivery=2))
    world.load(spec(smtp=1, delivery=3))
    world.all_ready()
    old, new = world.of(1, "delivery"), world.of(2, "delivery")
    world.goes(old[0])
    assert not any(world.is_active(worker) for worker in new)
    world.goes(old[1])
    assert all(world.is_active(worker) for worker in new)
    assert world.of(1, "smtp"), "an old smtp worker that still drains is in nobody's way"


def test_a_new_delivery_worker_is_not_activated_before_its_generation_serves():
    """Even where no old one lives just now: that slot waits out its back-off, and the reload may yet be given up."""
    world = serving(spec(smtp=1))
    for _ in range(4):
        world.dies(world.of(1, "delivery")[0])
        world.all_ready()
    assert world.of(1, "delivery") == []
    world.load(spec(smtp=1))
    world.ready(*world.of(2, "delivery"))
    assert not world.is_active(world.of(2, "delivery")[0])
    world.all_ready()
    assert world.is_active(world.of(2, "delivery")[0])


STAY = 600.0


def staying(smtp: int = 2) -> v.Spec:
    """As ``spec``, where sessions go on after a reload."""
    roles = (
        v.RolePlan("smtp", smtp, is_exclusive=False, keeps_sessions=True),
        v.RolePlan("delivery", 1, is_exclusive=True),
    )
    return v.Spec(roles, DRAIN, BEAT, STAY)


def reloaded(times: int = 1) -> World:
    world = serving(staying())
    for _ in range(times):
        world.load(staying())
        world.all_ready()
    return world


def test_sessions_go_on_after_a_reload_until_their_time_is_over():
    world = reloaded()
    old = world.of(1, "smtp")
    assert [world.told[worker] for worker in old] == [[("leave",)]] * 2
    assert world.told[world.of(1, "delivery")[0]][-1] == ("drain", DRAIN)
    world.goes(*world.of(1, "delivery"))
    assert world.is_active(world.of(2, "delivery")[0]), "delivery does not wait for them"
    world.passes(STAY - 1)
    assert world.of(1, "smtp") == old
    assert not any(worker in world.killed for worker in old)
    world.passes(2)
    assert all(world.told[worker][-1] == ("drain", DRAIN) for worker in old)
    world.passes(DRAIN + 10)
    assert all(world.killed[worker] for worker in old)


def test_a_worker_whose_sessions_have_ended_goes_by_itself_and_is_not_replaced():
    world = reloaded()
    world.goes(*world.of(1))
    assert world.forgotten == [1]
    assert world.deaths == []
    assert len(world.of(2)) == 3


def test_a_worker_that_dies_while_its_sessions_go_on_is_not_replaced():
    world = reloaded()
    world.dies(world.of(1, "smtp")[0])
    assert len(world.of(1, "smtp")) == 1
    assert world.deaths == []


def test_many_reloads_in_a_row_leave_no_more_than_two_generations_behind():
    world = reloaded(times=5)
    for generation, order in ((1, "drain"), (2, "drain"), (3, "drain"), (4, "leave"), (5, "leave")):
        assert all(world.told[worker][-1][0] == order for worker in world.of(generation, "smtp")), generation


def test_a_stop_drains_also_those_whose_sessions_went_on():
    world = reloaded(times=2)
    world.happens(v.Terminate("SIGTERM"))
    for generation in (1, 2, 3):
        assert all(world.told[worker][-1] == ("drain", DRAIN) for worker in world.of(generation, "smtp"))
    world.goes(*world.alive)
    assert world.exit_code == 0


def test_a_generation_that_is_given_up_keeps_nobody():
    world = serving(staying())
    world.load(staying())
    world.ready(world.of(2, "smtp")[0])
    world.happens(v.Failed(world.of(2, "smtp")[1], "no"))
    assert world.told[world.of(2, "smtp")[0]] == [("drain", DRAIN)]
    assert all(worker not in world.told or world.told[worker] == [("activate",)] for worker in world.of(1))


def test_a_refused_configuration_changes_nothing():
    """I6."""
    world = serving()
    world.happens(v.Hangup())
    world.happens(v.Refused("relay.toml:3: no such key"))
    assert world.restored == ["refused"]
    assert len(world.of(1)) == 3
    assert not any(world.has_to_go(worker) for worker in world.alive)


@pytest.mark.parametrize("how", ["says so", "dies", "is silent"])
def test_a_generation_that_cannot_become_ready_is_given_up_and_the_old_one_serves_on(how):
    """I6."""
    world = serving()
    world.passes(60)
    world.load()
    match how:
        case "says so":
            world.happens(v.Failed(world.of(2)[0], "address in use"))
        case "dies":
            for _ in range(START_ATTEMPTS):
                world.dies(world.of(2, "smtp")[0])
        case "is silent":
            world.passes(START_TIMEOUT + 1)
            world.dies(world.of(2)[0])
    assert world.restored == ["failed"]
    assert world.served == [1]
    world.passes(ABORT_GRACE)
    world.goes(*world.of(2))
    assert world.forgotten == [2]
    assert len(world.of(1)) == 3
    assert not any(world.has_to_go(worker) for worker in world.of(1))


def test_a_worker_that_dies_during_a_reload_is_replaced_in_its_own_generation():
    world = serving()
    world.load()
    world.dies(world.of(1, "smtp")[0])
    assert len(world.of(1, "smtp")) == 2
    world.dies(world.of(2, "smtp")[0])
    assert len(world.of(2, "smtp")) == 2
    world.all_ready()
    assert world.served == [1, 2]


def test_an_old_delivery_worker_that_dies_while_it_drains_is_not_replaced():
    world = serving()
    world.load()
    world.all_ready()
    world.dies(world.of(1, "delivery")[0])
    assert world.of(1, "delivery") == []
    assert world.is_active(world.of(2, "delivery")[0])


def test_two_hangups_at_once_load_once_more_when_the_first_reload_is_done():
    world = serving()
    world.happens(v.Hangup())
    world.load()
    world.happens(v.Hangup())
    world.happens(v.Hangup())
    assert world.loads == 1
    world.all_ready()
    assert world.served == [1, 2]
    assert world.loads == 2


def test_a_hangup_during_a_healthy_start_waits_for_its_end():
    world = World()
    world.load()
    world.happens(v.Hangup())
    assert world.loads == 0
    world.all_ready()
    assert world.loads == 1


def test_a_hangup_during_a_failing_start_replaces_it():
    world = World()
    world.load()
    world.dies(1)
    world.happens(v.Hangup())
    assert world.loads == 1
    world.load()
    assert all(world.told[worker] == [("stop",)] for worker in world.of(1))
    world.goes(*world.of(1))
    world.all_ready()
    assert world.served == [2]
    assert world.is_active(world.of(2, "delivery")[0])


def test_an_old_generation_that_does_not_go_is_killed_after_the_drain():
    world = serving()
    world.load()
    world.all_ready()
    old = world.of(1)
    world.passes(DRAIN + STOP_GRACE - 0.5)
    assert world.killed == {}
    world.passes(1)
    assert list(world.killed.items()) == [(worker, [True]) for worker in old]


# ---- the end --------------------------------------------------------------------------------------------------------


def test_terminate_closes_the_listeners_drains_and_exits_with_0():
    world = serving()
    world.happens(v.Terminate("SIGTERM"))
    assert not world.is_listening
    assert all(world.told[worker][-1] == ("drain", DRAIN) for worker in world.alive)
    world.goes(*world.alive)
    assert world.exit_code == v.EXIT_DRAINED


def test_a_worker_that_dies_in_the_drain_is_not_replaced_and_tells_in_the_exit_code():
    world = serving()
    world.happens(v.Terminate("SIGTERM"))
    world.dies(1, -9)
    world.goes(*world.alive)
    assert world.exit_code == v.EXIT_CUT


def test_a_second_terminate_stops_now():
    world = serving()
    world.happens(v.Terminate("SIGTERM"))
    world.happens(v.Terminate("SIGINT"))
    assert all(world.told[worker][-1] == ("stop",) for worker in world.alive)
    world.happens(v.Terminate("SIGTERM"))
    world.passes(STOP_GRACE + 0.1)
    assert world.killed == {1: [True], 2: [True], 3: [True]}
    for worker in list(world.alive):
        world.dies(worker)
    assert world.exit_code == v.EXIT_CUT


def test_terminate_during_a_reload_ends_both_generations():
    world = serving()
    world.load()
    world.ready(world.of(2, "smtp")[0])
    world.happens(v.Terminate("SIGTERM"))
    ready, *starting = world.of(2)
    assert world.told[ready] == [("drain", DRAIN)]
    assert all(world.told[worker] == [("stop",)] for worker in starting)
    assert all(world.told[worker][-1] == ("drain", DRAIN) for worker in world.of(1))
    world.goes(*world.alive)
    assert world.exit_code == v.EXIT_DRAINED


def test_terminate_while_the_configuration_is_loaded_forgets_it():
    world = serving()
    world.happens(v.Hangup())
    world.happens(v.Terminate("SIGTERM"))
    world.load()
    assert world.forgotten == [2]
    world.happens(v.Hangup())
    assert world.loads == 1
    world.goes(*world.alive)
    assert world.exit_code == v.EXIT_DRAINED


def test_terminate_during_the_start_ends_it():
    world = World()
    world.load()
    world.happens(v.Terminate("SIGINT"))
    world.goes(*world.alive)
    assert world.exit_code == v.EXIT_DRAINED


def test_terminate_while_a_slot_waits_for_its_next_worker_starts_no_other():
    world = serving(spec(smtp=1, delivery=0))
    for _ in range(4):
        world.dies(world.of(1)[0])
    assert not world.alive
    world.happens(v.Terminate("SIGTERM"))
    assert world.exit_code == v.EXIT_DRAINED


def test_what_a_dead_worker_had_still_to_say_is_ignored():
    world = serving()
    world.dies(1)
    world.ready(1)
    world.happens(v.Failed(1, "late"))
    assert world.served == [1]


# ---- anything in any order ------------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: the World's checks hold, and the end comes when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.load()

    @precondition(lambda self: self.world.exit_code is not None)
    @rule()
    def begins_again(self):
        self.world = World()
        self.world.load()

    def some(self, number: int) -> int | None:
        alive = list(self.world.alive)
        return alive[number % len(alive)] if alive else None

    @precondition(lambda self: self.world.exit_code is None)
    @rule(number=st.integers(0, 20))
    def ready(self, number):
        if (worker := self.some(number)) is not None:
            self.world.ready(worker)

    @precondition(lambda self: self.world.exit_code is None)
    @rule(number=st.integers(0, 20), code=st.sampled_from([0, 70, 75, 78, -6, -9]))
    def dies(self, number, code):
        if (worker := self.some(number)) is not None:
            self.world.dies(worker, code)

    @precondition(lambda self: self.world.exit_code is None)
    @rule(number=st.integers(0, 20))
    def failed(self, number):
        if (worker := self.some(number)) is not None:
            self.world.happens(v.Failed(worker, "no"))

    @precondition(lambda self: self.world.exit_code is None)
    @rule()
    def all_ready(self):
        self.world.all_ready()

    @precondition(lambda self: self.world.exit_code is None)
    @rule()
    def hangup(self):
        self.world.happens(v.Hangup())

    @precondition(lambda self: self.world.exit_code is None and self.world.loads)
    @rule(smtp=st.integers(1, 3), delivery=st.integers(1, 3), is_good=st.booleans())
    def loaded(self, smtp, delivery, is_good):
        self.world.loads -= 1
        if is_good:
            self.world.load(spec(smtp, delivery))
        else:
            self.world.happens(v.Refused("bad"))

    @precondition(lambda self: self.world.exit_code is None)
    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 70.0]), beating=st.booleans())
    def passes(self, seconds, beating):
        self.world.passes(seconds, beating=beating)

    @precondition(lambda self: self.world.exit_code is None)
    @rule()
    def terminate(self):
        self.world.happens(v.Terminate("SIGTERM"))

    def teardown(self):
        """Left alone with workers that do as they are told, it serves whole; asked to end, it ends."""
        world = self.world
        for _ in range(200):
            if world.is_over():
                return
            world.goes(*[worker for worker in list(world.alive) if world.has_to_go(worker) or worker in world.killed])
            if world.is_over():
                return
            world.all_ready()
            world.passes(1.0)
        if not world.plan.is_stopping:
            self.serves_whole()
            world.happens(v.Terminate("SIGTERM"))
        self.ends()

    def serves_whole(self):
        world = self.world
        assert world.plan.serving is not None
        assert world.plan.rising is None
        assert {spawn.generation for spawn in world.alive.values()} == {world.plan.serving.number}
        assert len(world.alive) == sum(role.slots for role in world.plan.serving.spec.roles)
        assert all(world.is_active(worker) for worker in world.of(world.plan.serving.number, "delivery"))
        assert world.plan.throttled("smtp") == world.plan.throttled("delivery") == 0

    def ends(self):
        """Also when no worker does as it is told."""
        world = self.world
        world.passes(DRAIN + STOP_GRACE + 1)
        for worker in list(world.alive):
            assert world.killed[worker]
            world.dies(worker)
        assert world.exit_code is not None


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
