"""What the supervisor does next: events in, actions out. Pure: no clock, no process, no signal.

Theory: at any time at most two generations matter: the one that *serves*, and the one that *rises* to take over. A
start is a generation that rises while none serves. When every slot of the rising generation has a ready worker it
serves, and its predecessor drains; when it cannot get there, it is given up, and the one that served goes on (I6). All
other generations are *leaving*: they only wait for their processes to end.

Rules:
 1. A slot of the serving or rising generation has one worker or a time at which it gets one. It gets the next one when
 the last one has been waited for: at once, or after a back-off when its workers die again and again (throttle.py).
 2. A worker of an exclusive role stands by until no process of another generation of that role is left, and, in a
    reload, until its generation serves. So two processes never work on one shard, and queues never change hands early.
 3. A worker that is to go has a time at which it is killed. So does one that does not become ready, and one whose
    loop does not turn.
 4. What a reload replaces goes on with the sessions that it has, takes in no others, and drains when ``reload_timeout``
    is over; at most ``MOST_LEAVING`` generations do so at a time, the oldest drains first. Who keeps no sessions
    drains at once.
 5. A reload asked for while a healthy generation rises waits for its end; one asked for while it fails replaces it.

Times are seconds of one clock that does not go back.

Not here: processes and sockets (processes.py, sockets.py), what is sent to systemd and the counters (main.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from relay.supervisor.generation import STARTING_STATES, Generation, Slot, State, Worker
from relay.supervisor.vocabulary import (
    EXIT_CANNOT_START,
    EXIT_CUT,
    EXIT_DRAINED,
    Action,
    Died,
    Event,
    Exit,
    Exited,
    Failed,
    Forget,
    Hangup,
    Kill,
    Load,
    Loaded,
    Log,
    Ready,
    Refused,
    Restore,
    Serve,
    Spawn,
    SpawnFailed,
    StopListening,
    Tell,
    Terminate,
    Tick,
    meaning,
)

TICK: Final = 1.0
"""Beats are looked at so often, or four times in the shortest beat timeout if that is more."""
START_TIMEOUT: Final = 60.0
"""A worker must be ready by then."""
ABORT_GRACE: Final = 2.0
"""Between SIGABRT and SIGKILL."""
STOP_GRACE: Final = 3.0
"""Between "stop", or the drain's deadline, and SIGKILL; more than a worker takes to unwind."""
MOST_LEAVING: Final = 2
"""Replaced generations whose sessions go on: many reloads in a row must not fill the memory with processes."""
START_ATTEMPTS: Final = 3
"""Workers that may be lost while a generation rises; then it is given up."""


class Plan:
    """The decisions of one appliance's life. ``on`` takes every event in the order of its happening."""

    def __init__(self) -> None:
        self.serving: Generation | None = None
        self.rising: Generation | None = None
        self.is_stopping = False
        self._leaving: dict[int, Generation] = {}
        self._workers: dict[int, Worker] = {}
        self._next_worker = 1
        self._reload_waits = False
        self._is_forced = False
        self._exit_code = EXIT_DRAINED
        self._ticked_at: float | None = None
        self._beats_count_from = 0.0
        self._out: list[Action] = []

    # ---- what can be asked ------------------------------------------------------------------------------------------

    @property
    def workers(self) -> dict[int, Worker]:
        """Every living process, by number."""
        return self._workers

    def throttled(self, role: str) -> int:
        """How many slots of ``role`` are in a crash loop."""
        return sum(slot.throttle.is_looping for slot in self._slots() if slot.role.name == role)

    def next_wakeup(self, now: float) -> float:
        """When the next Tick is due at the latest."""
        times = [now + self._tick_interval()]
        times += [slot.spawn_at for slot in self._slots() if slot.spawn_at is not None]
        times += [worker.kill_at for worker in self._workers.values() if worker.kill_at is not None]
        times += [worker.drain_at for worker in self._workers.values() if worker.drain_at is not None]
        return min(times)

    # ---- events -----------------------------------------------------------------------------------------------------

    def on(self, event: Event, now: float) -> list[Action]:
        """What is to be done about ``event`` at ``now``, in this order."""
        self._out = []
        match event:
            case Loaded():
                self._loaded(event, now)
            case Refused(reason):
                self._reload_failed("refused", reason)
            case Hangup():
                self._hangup()
            case Terminate(signal_name):
                self._terminate(signal_name, now)
            case Ready(worker):
                self._ready(worker)
            case Failed(worker, reason):
                self._failed(worker, reason, now)
            case Exited(worker, code):
                self._exited(worker, code, now)
            case SpawnFailed(worker, reason):
                self._log("error", "worker not forked", reason=reason, **self._names(worker))
                self._exited(worker, EXIT_CANNOT_START, now)
            case Tick(beats):
                self._tick(beats, now)
        self._advance(now)
        return self._out

    def _loaded(self, event: Loaded, now: float) -> None:
        generation = Generation(event.generation, event.spec)
        if self.is_stopping:
            self._out.append(Forget(generation.number))
            return
        if self.rising is not None:
            self._leave(self.rising, now)
        self.rising = generation
        for slot in generation.slots:
            slot.spawn_at = now

    def _hangup(self) -> None:
        if self.is_stopping:
            self._log("warning", "reload ignored", reason="stopping")
        elif self.rising is not None and not self.rising.lost:
            self._reload_waits = True
        else:
            self._out.append(Load())

    def _terminate(self, signal_name: str, now: float) -> None:
        if not self.is_stopping:
            self._log("info", "stopping", signal=signal_name)
            self._stop(now)
        elif not self._is_forced:
            self._log("warning", "stopping now", signal=signal_name)
            self._is_forced = True
            if self._workers:
                self._exit_code = self._exit_code or EXIT_CUT
            for worker in self._workers.values():
                self._tell_to_go(worker, now, is_forced=True)

    def _ready(self, number: int) -> None:
        worker = self._workers.get(number)
        if worker is None or worker.state is not State.STARTING:
            return
        worker.state = State.STANDBY if worker.slot.role.is_exclusive else State.READY
        worker.kill_at = None
        self._log("info", "worker ready", **self._names(number))

    def _failed(self, number: int, reason: str, now: float) -> None:
        worker = self._workers.get(number)
        if worker is None:
            return
        self._log("error", "worker cannot start", reason=reason, **self._names(number))
        generation = worker.slot.generation
        if generation is self.rising and worker.state is State.STARTING:
            self._give_up(f"{worker.name} cannot start: {reason}", now)

    def _exited(self, number: int, code: int, now: float) -> None:
        worker = self._workers.pop(number, None)
        if worker is None:
            return
        slot = worker.slot
        slot.worker = None
        names = {"worker": worker.name, "generation": slot.generation.number, "code": code, "meaning": meaning(code)}
        if worker.state in {State.LEAVING, State.GOING} or self.is_stopping or slot.generation.number in self._leaving:
            # One that was asked to stop had nothing begun; of any other only 0 says that it finished what it had.
            is_cut = code != 0 and (worker.was_draining or worker.state is not State.GOING)
            if is_cut and self.is_stopping:
                self._exit_code = self._exit_code or EXIT_CUT
            self._log("warning" if is_cut else "info", "worker gone", **names)
            return
        cause = worker.killed_for or ("signal" if code < 0 else "exit")
        self._out.append(Died(cause))
        delay = slot.throttle.died(now - worker.started_at)
        self._log("error", "worker lost", cause=cause, restart_in=delay, **names)
        slot.spawn_at = now + delay
        generation = slot.generation
        if generation is self.rising:
            generation.lost += 1
            if generation.lost >= START_ATTEMPTS or worker.killed_for == "not_ready":
                self._give_up(f"{worker.name} was lost {generation.lost} times before all were ready", now)

    def _tick(self, beats: dict[int, float], now: float) -> None:
        if self._ticked_at is not None and now - self._ticked_at > 3 * self._tick_interval():
            # We were not running ourselves (a frozen container, a suspended machine): nobody's beat means anything.
            self._beats_count_from = now
        self._ticked_at = now
        for number, worker in self._workers.items():
            if worker.kill_at is not None and worker.kill_at <= now:
                self._kill(number, worker, now)
            elif worker.drain_at is not None and worker.drain_at <= now:
                self._tell_to_go(worker, now)
            elif worker.killed_for is None and (beat := beats.get(number, 0.0)):
                silent = now - max(beat, self._beats_count_from)
                if silent > worker.slot.generation.spec.beat_timeout:
                    self._log("error", "worker hung", silent_seconds=round(silent, 3), **self._names(number))
                    worker.killed_for = "hung"
                    self._abort(number, worker, now)
            if worker.slot.worker is worker:
                worker.slot.throttle.lives(now - worker.started_at)

    # ---- what follows from the state --------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Everything that the new state allows: promotion, forks, activation, forgetting, the end."""
        if self.rising is not None and self.rising.is_ready:
            self._promote(self.rising, now)
        if self._reload_waits and (self.rising is None or self.rising.lost) and not self.is_stopping:
            self._reload_waits = False
            self._out.append(Load())
        for slot in self._slots():
            if slot.spawn_at is not None and slot.spawn_at <= now:
                self._spawn(slot, now)
        self._activate()
        for generation in [*self._leaving.values()]:
            if not any(worker.slot.generation is generation for worker in self._workers.values()):
                del self._leaving[generation.number]
                self._out.append(Forget(generation.number))
        if self.is_stopping and not self._workers:
            self._out.append(Exit(self._exit_code))

    def _promote(self, generation: Generation, now: float) -> None:
        last, self.serving, self.rising = self.serving, generation, None
        self._log("info", "serving", generation=generation.number)
        self._out.append(Serve(generation.number))
        if last is not None:
            self._leave(last, now, goes_on=True)
            self._drain_oldest(now)

    def _drain_oldest(self, now: float) -> None:
        """Rule 4: those that are too many."""
        leaving = [worker for worker in self._workers.values() if worker.state is State.LEAVING]
        numbers = sorted({worker.slot.generation.number for worker in leaving})
        for worker in leaving:
            if worker.slot.generation.number in numbers[:-MOST_LEAVING]:
                self._tell_to_go(worker, now)

    def _activate(self) -> None:
        """Rule 2."""
        for number, worker in self._workers.items():
            generation = worker.slot.generation
            if worker.state is not State.STANDBY or not (generation is self.serving or self.serving is None):
                continue
            if any(
                other.slot.generation is not generation and other.slot.role.name == worker.slot.role.name
                for other in self._workers.values()
            ):
                continue
            worker.state = State.READY
            self._out.append(Tell(number, ("activate",)))

    def _spawn(self, slot: Slot, now: float) -> None:
        slot.spawn_at = None
        number, self._next_worker = self._next_worker, self._next_worker + 1
        slot.worker = self._workers[number] = Worker(slot, now, kill_at=now + START_TIMEOUT)
        self._out.append(Spawn(number, slot.role.name, slot.number, slot.generation.number, slot.was_filled))
        slot.was_filled = True

    def _leave(self, generation: Generation, now: float, *, goes_on: bool = False) -> None:
        """Its workers finish what they have begun; there will be no more of them. ``goes_on``: so do their sessions."""
        self._leaving[generation.number] = generation
        for slot in generation.slots:
            slot.spawn_at = None
            if slot.worker is None:
                continue
            if goes_on and slot.role.keeps_sessions and self.serving is not None:
                self._tell_to_leave(slot.worker, now + self.serving.spec.reload_timeout)
            else:
                self._tell_to_go(slot.worker, now)

    def _give_up(self, reason: str, now: float) -> None:
        """The rising generation will not make it."""
        assert self.rising is not None
        if self.serving is None:
            self._log("error", "start failed", reason=reason)
            self._exit_code = EXIT_CANNOT_START
            self._stop(now)
            return
        generation, self.rising = self.rising, None
        self._leave(generation, now)
        self._reload_failed("failed", reason)

    def _reload_failed(self, how: str, reason: str) -> None:
        going_on = self.serving or self.rising
        self._log("error", f"reload {how}", reason=reason, generation=going_on.number if going_on else 0)
        self._out.append(Restore(how))

    def _stop(self, now: float) -> None:
        self.is_stopping = True
        self._reload_waits = False
        self._out.append(StopListening())
        for generation in (self.serving, self.rising, *self._leaving.values()):
            if generation is not None:
                self._leave(generation, now)
        self.rising = None

    # ---- one worker -------------------------------------------------------------------------------------------------

    def _number(self, worker: Worker) -> int:
        return next(number for number, other in self._workers.items() if other is worker)

    def _tell_to_leave(self, worker: Worker, drain_at: float) -> None:
        if worker.state is State.READY and worker.killed_for is None:
            self._out.append(Tell(self._number(worker), ("leave",)))
            worker.state = State.LEAVING
            worker.drain_at = drain_at

    def _tell_to_go(self, worker: Worker, now: float, *, is_forced: bool = False) -> None:
        """In order when it serves; at once when it does not yet, or is forced. One that is being killed is left to
        that."""
        if worker.killed_for is not None or (worker.state is State.GOING and not is_forced):
            return
        number = self._number(worker)
        worker.drain_at = None
        if is_forced or worker.state in STARTING_STATES:
            self._out.append(Tell(number, ("stop",)))
            worker.kill_at = now + STOP_GRACE
        else:
            seconds = worker.slot.generation.spec.drain_timeout
            self._out.append(Tell(number, ("drain", seconds)))
            worker.kill_at = now + seconds + STOP_GRACE
            worker.was_draining = True
        worker.state = State.GOING

    def _kill(self, number: int, worker: Worker, now: float) -> None:
        if worker.state is State.STARTING and worker.killed_for is None:
            self._log("error", "worker not ready", seconds=START_TIMEOUT, **self._names(number))
            worker.killed_for = "not_ready"
            self._abort(number, worker, now)
            return
        if worker.state is State.GOING:
            self._log("warning", "worker killed", reason="did not go in time", **self._names(number))
        self._out.append(Kill(number, is_final=True))
        worker.kill_at = now + STOP_GRACE  # again, should it be stuck in the kernel

    def _abort(self, number: int, worker: Worker, now: float) -> None:
        self._out.append(Kill(number, is_final=False))
        worker.kill_at = now + ABORT_GRACE

    def _tick_interval(self) -> float:
        generations = (self.serving, self.rising, *self._leaving.values())
        return min([TICK, *[generation.spec.beat_timeout / 4 for generation in generations if generation]])

    def _slots(self) -> Iterator[Slot]:
        """All slots that have or get a worker."""
        for generation in (self.serving, self.rising):
            if generation is not None and not self.is_stopping:
                yield from generation.slots

    def _names(self, number: int) -> dict[str, Any]:
        worker = self._workers[number]
        return {"worker": worker.name, "generation": worker.slot.generation.number}

    def _log(self, level: str, event: str, **fields: Any) -> None:
        self._out.append(Log(level, event, fields))
