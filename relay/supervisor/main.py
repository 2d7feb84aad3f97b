"""``relay serve``: the parent of all processes. It turns what happens into events, and carries out the plan's actions.

Theory: one loop over a selector: signals (by a pipe), the workers' control connections, and the plan's next wake-up. No
event loop, no threads; nothing here waits for anything but the selector.

Order of the start: configuration, account (privileges.py), what the configuration needs of the machine (premises.py),
data directory, listeners, workers. What goes wrong up to then is said on stderr and in the log, and ends the program
with EXIT_CANNOT_START.

Not here: decisions (plan.py).
"""

from __future__ import annotations

import gc
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Final, Protocol

from relay.config.model import Config
from relay.net import kernel
from relay.net.listeners import Endpoint
from relay.net.notify import Notifier
from relay.net.tickets import TicketKeys
from relay.spool import DataLock, SpoolError, lock_data_dir
from relay.supervisor import privileges, vocabulary
from relay.supervisor.event_log import EventLog, say
from relay.supervisor.plan import Plan
from relay.supervisor.privileges import PrivilegeError
from relay.supervisor.processes import Processes
from relay.supervisor.signals import Signals
from relay.supervisor.sockets import ListeningSockets
from relay.supervisor.status import StatusCells
from relay.supervisor.vocabulary import EXIT_CANNOT_START, RolePlan, Spec
from relay.telemetry.page import CountersPage, NoRowLeftError
from relay.workers.process import Role, WorkerContext

LOCK_WAIT: Final = 2.0
"""Seconds: the workers of a supervisor that was killed just now still hold the data directory for a moment."""
BEAT_SECONDS: Final = 0.5
"""The supervisor's own beat, by which the admin worker sees that it is not stuck."""
FIXED: Final = ("data_dir", "user", "group", "allow_root")
"""Settings that a reload cannot change: they are used before the first fork."""

Bound = dict[str, tuple[str, int]]
"""By the listener's name: the address and port it has."""


class Premises(Protocol):
    """What keeps this process, which is the account that serves, from serving a configuration: a sentence each."""

    def of_files(self, config: Config) -> list[str]:
        """Files and folders that it cannot use."""

    def of_ports(self, config: Config, endpoints: tuple[Endpoint, ...]) -> list[str]:
        """Endpoints that it cannot open."""


class NoPremises:
    """Looks at nothing."""

    def of_files(self, _config: Config) -> list[str]:
        return []

    def of_ports(self, _config: Config, _endpoints: tuple[Endpoint, ...]) -> list[str]:
        return []


class PremisesError(Exception):
    """The machine is not as the configuration has it; ``faults`` are sentences for the operator."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def serve(
    load: Callable[[], Config],
    roles: Sequence[Role],
    *,
    on_ready: Callable[[Config, Bound], None] | None = None,
    premises: Premises | None = None,
    environ: MutableMapping[str, str] = os.environ,
) -> int:
    """Serves until asked to stop; returns the program's exit code (``EXIT_...`` of vocabulary.py).

    ``load`` reads and checks the configuration: once at the start, where what it raises goes to the caller, and with
    every reload, where it is logged and the old configuration serves on. It runs without root's rights from the second
    time on. ``on_ready`` is called once, when all workers of the first generation are ready, for what the command line
    has to print. ``premises`` are asked before each configuration is used. To be called in a process without threads,
    which it changes for good (account, signals, umask).
    """
    supervisor = Supervisor(load, roles, on_ready, premises or NoPremises(), Notifier(environ))
    return supervisor.run(load())


class Supervisor:
    """One appliance's life."""

    def __init__(
        self,
        load: Callable[[], Config],
        roles: Sequence[Role],
        on_ready: Callable[[Config, Bound], None] | None,
        premises: Premises,
        notifier: Notifier,
    ) -> None:
        self._load_config = load
        self._roles = {role.name: role for role in roles}
        self._on_ready = on_ready
        self._premises = premises
        self._notifier = notifier
        self._page = CountersPage()
        self._log = EventLog(self._page.supervisor)
        self._status = StatusCells(self._page)
        self._signals = Signals()
        self._selector = selectors.DefaultSelector()
        self._sockets = ListeningSockets()
        self._processes = Processes(self._page, self._signals, self._close_in_child)
        self._plan = Plan()
        self._tickets = TicketKeys(time.monotonic())
        self._configs: dict[int, Config] = {}
        self._last_generation = 0
        self._events: list[vocabulary.Event] = []
        self._lock: DataLock | None = None
        self._exit_code: int | None = None
        self._start_fault = ""
        self._said_watchdog = 0.0

    def run(self, config: Config) -> int:
        """From the first configuration to the end."""
        try:
            self._start(config)
        except PremisesError as found:
            for fault in found.faults:
                self._log.event("error", "start failed", reason=fault)
            self._log.flush(within=1.0)
            say("cannot start:\n  " + "\n  ".join(found.faults))
            return EXIT_CANNOT_START
        except (PrivilegeError, SpoolError, OSError) as fault:
            self._log.event("error", "start failed", reason=str(fault))
            self._log.flush(within=1.0)
            say(f"cannot start: {fault}")
            return EXIT_CANNOT_START
        while self._exit_code is None:
            self._turn()
        self._log.event("info", "stopped", code=self._exit_code)
        self._log.flush(within=1.0)
        if self._exit_code == EXIT_CANNOT_START:
            say(f"cannot start: {self._start_fault or 'stopped before it was ready'} (log: {self._log.destination})")
        return self._exit_code

    # ---- the start --------------------------------------------------------------------------------------------------

    def _start(self, config: Config) -> None:
        kernel.set_name("relay")
        os.umask(0o027)
        gc.disable()  # the parent makes no cycles worth looking for; a child turns it on again
        self._signals.install()
        warnings = privileges.apply(config)
        self._require(self._premises.of_files(config))
        privileges.make_data_dir(config.data_dir, None)
        self._log.open(config)
        for warning in warnings:
            self._log.event("warning", "privileges", reason=warning)
        self._raise_file_limit(config)
        self._lock = lock_data_dir(config.data_dir, LOCK_WAIT)
        self._require_ports(config)  # not before: those whom a killed supervisor left have gone only now
        self._sockets.ensure(self._endpoints(config))
        self._selector.register(self._signals, selectors.EVENT_READ, None)
        self._status.started()
        self._log.event("info", "starting", hostname=config.hostname, data_dir=str(config.data_dir), run=self._lock.run)
        self._take_in(config)

    def _require_ports(self, config: Config) -> None:
        new = tuple(endpoint for endpoint in self._endpoints(config) if not self._sockets.has(endpoint))
        self._require(self._premises.of_ports(config, new))

    def _require(self, faults: list[str]) -> None:
        """PremisesError when the machine is not as the configuration has it."""
        if faults:
            raise PremisesError(faults)

    def _raise_file_limit(self, config: Config) -> None:
        """Every session is a descriptor: the soft limit is raised to the hard one."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        limits = {"smtp.max_connections": config.smtp.max_connections // config.workers.smtp}
        if config.reader_listeners:
            limits["readers.max_connections"] = config.readers.max_connections // config.workers.mailbox
        setting, connections = max(limits.items(), key=lambda each: each[1])
        if hard != resource.RLIM_INFINITY and hard < connections + 256:
            self._log.event("warning", "file limit low", limit=hard, needed=connections + 256, setting=setting)

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        wakeup = min(self._plan.next_wakeup(now), now + BEAT_SECONDS)
        if self._notifier.watchdog_interval:
            wakeup = min(wakeup, self._said_watchdog + self._notifier.watchdog_interval)
        for key, _ in self._selector.select(0.0 if self._events else max(0.0, wakeup - now)):
            if key.data is None:
                self._hear_signals()
            else:
                self._hear(key.data)
        self._reap()
        self._events.append(vocabulary.Tick(self._processes.beats()))
        while self._events and self._exit_code is None:
            for action in self._plan.on(self._events.pop(0), time.monotonic()):
                self._do(action)
        self._status.show(self._plan, self._processes)
        self._status.beat()
        self._log.flush()
        if self._notifier.watchdog_interval and time.monotonic() - self._said_watchdog >= (
            self._notifier.watchdog_interval * 0.9
        ):
            self._said_watchdog = time.monotonic()
            self._notifier.watchdog()
        if self._configs:
            # So that a worker forked later has the keys of those forked before, and nothing older is kept.
            lifetime = max(config.tls.ticket_lifetime for config in self._configs.values())
            self._tickets.advance(time.monotonic(), lifetime)

    def _hear_signals(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGHUP:
                self._events.append(vocabulary.Hangup())
            elif number in {signal.SIGTERM, signal.SIGINT}:
                self._events.append(vocabulary.Terminate(signal.Signals(number).name))

    def _hear(self, worker: int) -> None:
        for message in self._processes.receive(worker):
            match message:
                case ("ready",):
                    self._events.append(vocabulary.Ready(worker))
                case ("failed", str() as reason):
                    self._events.append(vocabulary.Failed(worker, reason))
                case ("status", str() as text):
                    self._log.event("info", "worker says", worker=self._plan.workers[worker].name, text=text)
                case _:
                    self._log.event("warning", "worker says what is not understood", text=str(message)[:200])
        if not self._processes[worker].is_open:
            self._unregister(worker)

    def _unregister(self, worker: int) -> None:
        control = self._processes[worker].control
        if control in self._selector.get_map():
            self._selector.unregister(control)

    def _reap(self) -> None:
        for worker, code in self._processes.reap():
            self._hear(worker)  # its last words come before its end
            self._unregister(worker)
            self._processes.remove(worker)
            self._events.append(vocabulary.Exited(worker, code))

    # ---- actions ----------------------------------------------------------------------------------------------------

    def _do(self, action: vocabulary.Action) -> None:
        match action:
            case vocabulary.Load():
                self._reload()
            case vocabulary.Spawn():
                self._spawn(action)
            case vocabulary.Tell(worker, message):
                self._processes.send(worker, message)
            case vocabulary.Kill(worker, is_final):
                self._processes.kill(worker, signal.SIGKILL if is_final else signal.SIGABRT)
            case vocabulary.Serve(generation):
                self._serve(generation)
            case vocabulary.Restore(result):
                self._status.reloaded(result)
                self._notifier.ready(f"reload {result}; generation {self._generation()} serves on")
            case vocabulary.Forget(generation):
                del self._configs[generation]
                self._close_unwanted_sockets()
            case vocabulary.StopListening():
                self._sockets.keep_only(())
                self._notifier.stopping("draining")
            case vocabulary.Log(level, event, fields):
                if event == "start failed":
                    self._start_fault = str(fields.get("reason", ""))
                self._log.event(level, event, **fields)
            case vocabulary.Died(cause):
                self._status.died(cause)
            case vocabulary.Exit(code):
                self._exit_code = code

    def _reload(self) -> None:
        self._notifier.reloading(time.monotonic_ns() // 1000)
        self._log.event("info", "reloading")
        serving = self._configs[max(self._configs)]
        try:
            config = self._load_config()
            _check_fixed(serving, config)
            self._require(self._premises.of_files(config))
            self._require_ports(config)
            self._sockets.ensure(self._endpoints(config))
        except Exception as fault:  # noqa: BLE001 - I6: whatever is wrong with the new one, the old one serves on
            self._events.append(vocabulary.Refused(str(fault).strip().replace("\n", "; ") or type(fault).__name__))
        else:
            self._take_in(config)

    def _take_in(self, config: Config) -> None:
        self._last_generation += 1
        self._configs[self._last_generation] = config
        roles = tuple(
            RolePlan(role.name, role.slots(config), role.is_exclusive, role.keeps_sessions)
            for role in self._roles.values()
        )
        sessions_stay = max(config.reload_timeout, config.drain_timeout)
        spec = Spec(roles, config.drain_timeout, config.workers.beat_timeout, sessions_stay)
        self._events.append(vocabulary.Loaded(self._last_generation, spec))

    def _spawn(self, order: vocabulary.Spawn) -> None:
        role, config = self._roles[order.role], self._configs[order.generation]
        assert self._lock is not None
        context = WorkerContext(
            role=order.role,
            slot=order.slot,
            generation=order.generation,
            config=config,
            sockets={
                endpoint.name: self._sockets.of_slot(endpoint, order.slot, role.slots(config))
                for endpoint in role.endpoints(config)
            },
            supervisor_pid=os.getpid(),
            tickets=self._tickets,
            run=self._lock.run,
        )
        try:
            self._processes.fork(order.worker, role, context)
        except (OSError, NoRowLeftError) as fault:
            self._events.append(vocabulary.SpawnFailed(order.worker, str(fault)))
            return
        self._selector.register(self._processes[order.worker].control, selectors.EVENT_READ, order.worker)
        self._status.spawned(order.role, order.is_replacement)

    def _serve(self, generation: int) -> None:
        config = self._configs[generation]
        is_first = self._status.serving(generation, self._plan)
        self._close_unwanted_sockets()
        if not is_first:
            self._log.open(config)
        bound = {endpoint.name: self._sockets.bound(endpoint) for endpoint in self._endpoints(config)}
        listening = {name: f"{address}:{port}" for name, (address, port) in bound.items()}
        self._log.event("info", "listening", **listening)
        self._notifier.ready(f"generation {generation} serves")
        if is_first and self._on_ready is not None:
            try:
                self._on_ready(config, bound)
            except Exception as fault:  # noqa: BLE001 - what it prints is a courtesy (a closed stdout, say)
                self._log.event("warning", "nothing printed", reason=str(fault))

    # ---- what belongs to whom ---------------------------------------------------------------------------------------

    def _generation(self) -> int:
        return self._plan.serving.number if self._plan.serving else 0

    def _endpoints(self, config: Config) -> dict[Endpoint, int]:
        return {endpoint: role.slots(config) for role in self._roles.values() for endpoint in role.endpoints(config)}

    def _close_unwanted_sockets(self) -> None:
        """Keeps the sockets of the generations that serve, rise, or are about to; the others are for nobody now."""
        staying = {event.generation for event in self._events if isinstance(event, vocabulary.Loaded)}
        staying.update(generation.number for generation in (self._plan.serving, self._plan.rising) if generation)
        wanted: set[Endpoint] = set()
        for number in staying if not self._plan.is_stopping else ():
            wanted.update(self._endpoints(self._configs[number]))
        self._sockets.keep_only(wanted)

    def _close_in_child(self, context: WorkerContext) -> None:
        gc.enable()
        self._selector.close()
        self._log.close()
        self._sockets.close_others([mine for given in context.sockets.values() for mine in given])


def _check_fixed(now: Config, new: Config) -> None:
    """ValueError when ``new`` has another value of a setting that only a restart can change."""
    for name in FIXED:
        if getattr(new, name) != getattr(now, name):
            raise ValueError(f"{name} cannot change in a reload; restart for that")
