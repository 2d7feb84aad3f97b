"""A world for the plan without processes: it does what it is told, and nothing by itself."""

from __future__ import annotations

from typing import Any

from relay.supervisor import vocabulary as v
from relay.supervisor.plan import Plan

DRAIN = 10.0
BEAT = 5.0


def spec(smtp: int = 2, delivery: int = 1, admin: int = 0) -> v.Spec:
    roles = (
        v.RolePlan("smtp", smtp, is_exclusive=False),
        v.RolePlan("delivery", delivery, is_exclusive=True),
        v.RolePlan("admin", admin, is_exclusive=False),
    )
    return v.Spec(roles, DRAIN, BEAT)


class World:
    """Carries out actions on processes that are rows in a table, and checks on the way what must never happen."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.now = 1000.0
        self.alive: dict[int, v.Spawn] = {}
        self.told: dict[int, list[tuple[Any, ...]]] = {}
        self.killed: dict[int, list[bool]] = {}
        self.logged: list[str] = []
        self.served: list[int] = []
        self.forgotten: list[int] = []
        self.restored: list[str] = []
        self.deaths: list[str] = []
        self.loads = 0
        self.is_listening = True
        self.exit_code: int | None = None
        self.beats: dict[int, float] = {}
        self.generations = 0

    # ---- what happens ----

    def happens(self, event: v.Event) -> None:
        assert self.exit_code is None, "nothing happens after the end"
        for action in self.plan.on(event, self.now):
            self.do(action)
        self.check()

    def load(self, loaded: v.Spec | None = None) -> int:
        self.generations += 1
        self.happens(v.Loaded(self.generations, loaded or spec()))
        return self.generations

    def ready(self, *workers: int) -> None:
        for worker in workers:
            self.happens(v.Ready(worker))

    def all_ready(self) -> None:
        self.ready(*[worker for worker in self.alive if not self.has_to_go(worker)])

    def dies(self, worker: int, code: int = -9) -> None:
        del self.alive[worker]
        self.beats.pop(worker, None)
        self.happens(v.Exited(worker, code))

    def goes(self, *workers: int) -> None:
        """They end as they were told."""
        for worker in workers:
            self.dies(worker, 0)

    def passes(self, seconds: float, *, beating: bool = True) -> None:
        """Time passes, with ticks when the plan wants them."""
        end = self.now + seconds
        while self.now < end and self.exit_code is None:
            self.now = max(self.now, min(self.plan.next_wakeup(self.now), end))
            if beating:
                self.beats = dict.fromkeys(self.alive, self.now)
            self.happens(v.Tick(dict(self.beats)))

    def do(self, action: v.Action) -> None:
        match action:
            case v.Load():
                self.loads += 1
            case v.Spawn():
                self.alive[action.worker] = action
            case v.Tell(worker, message):
                assert worker in self.alive
                self.told.setdefault(worker, []).append(message)
            case v.Kill(worker, is_final):
                assert worker in self.alive
                self.killed.setdefault(worker, []).append(is_final)
            case v.Serve(generation):
                self.served.append(generation)
            case v.Restore(result):
                self.restored.append(result)
            case v.Forget(generation):
                assert not self.of(generation)
                self.forgotten.append(generation)
            case v.StopListening():
                self.is_listening = False
            case v.Log(_, event, _):
                self.logged.append(event)
            case v.Died(cause):
                self.deaths.append(cause)
            case v.Exit(code):
                assert not self.alive
                self.exit_code = code

    # ---- what there is ----

    def of(self, generation: int, role: str | None = None) -> list[int]:
        return [
            worker
            for worker, spawn in self.alive.items()
            if spawn.generation == generation and role in {None, spawn.role}
        ]

    def is_over(self) -> bool:
        return self.exit_code is not None

    def has_to_go(self, worker: int) -> bool:
        return any(message[0] in {"drain", "stop"} for message in self.told.get(worker, ()))

    def is_active(self, worker: int) -> bool:
        return ("activate",) in self.told.get(worker, ())

    def check(self) -> None:
        """The rules of plan.py that can be seen from outside."""
        places = [(spawn.generation, spawn.role, spawn.slot) for spawn in self.alive.values()]
        assert len(places) == len(set(places)), "two processes in one slot"
        active = [self.alive[worker] for worker in self.alive if self.is_active(worker)]
        assert len({spawn.generation for spawn in active}) <= 1, "two generations at the queue"
        assert set(self.alive) == set(self.plan.workers)
        if self.served and not self.plan.is_stopping:
            assert self.plan.serving is not None
            assert self.plan.serving.number == self.served[-1]


def serving(loaded: v.Spec | None = None) -> World:
    """A world in which generation 1 serves."""
    world = World()
    world.load(loaded)
    world.all_ready()
    assert world.served == [1]
    return world
