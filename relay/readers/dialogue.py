"""The transport under a reader's session: octets in, machine, octets out, TLS in between, jobs in threads.

Theory: one call per buffer and one write per read. Back-pressure works both ways: while the peer does not read what was
written, no further piece of an answer is made, so a session holds one piece (64 KiB or so) and what the transport
takes before it says stop; and a machine that has gathered enough is not given more, the peer is not read from.

A session that ends for another reason than the peer's own goodbye closes only its sending side at first: closing with
unread input makes the kernel send a reset, and the peer would never read why (RFC 1122 4.2.2.13).

A job ends with its session: when the peer is gone a job that waits for a thread is dropped, and one that runs is told
to stop (stopping.py). One that takes too long is stopped, too, and the machine says so; when it cannot be stopped the
session ends with a word, and its thread is the gate's loss (threads.py).

Invariants: a job's result comes back to its own session or is dropped, never to another; ``release`` is called once,
when the connection is gone and no job is out; nothing that came in the clear before TLS counts as if it had come under
it.

Not here: what is said (a ``Machine``), who may connect (gate.py), what TLS is (tls_machine.py).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, cast

from relay.net.client_key import client_key
from relay.net.stopping import GONE, JobStopped
from relay.net.threads import Ticket, in_time
from relay.net.tls import Accepting
from relay.net.tls_machine import HELLO, TlsError, TlsServer
from relay.net.wheel import Timer
from relay.readers.listening import Listening
from relay.readers.machine import Blocking, Job, Machine

DISCARD_LIMIT: Final = 1 << 20
"""Octets thrown away after the last word, then the connection is cut."""
HALF_CLOSED_SECONDS: Final = 30.0
"""How long a peer that has closed its side is worked for while nothing is said: whoever hangs up looks the same."""
LINGER_SECONDS: Final = 5.0
"""How long the peer may take to close after our last word."""


class Dialogue(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_began", "_cause", "_client", "_client_key", "_discarded", "_is_choked", "_is_closing", "_is_given_up",
        "_is_half_closed", "_is_lost", "_is_opened", "_is_reading", "_is_shaking", "_job", "_job_began", "_listening",
        "_loop", "_machine", "_port", "_read", "_refusal", "_session_id", "_shaking_since", "_stream", "_timer",
        "_transport", "_written",
    )  # fmt: skip

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._machine: Machine = cast("Machine", None)  # until connection_made
        self._stream: TlsServer | None = None
        self._timer: Timer | None = None
        self._job: asyncio.Future[Any] | Ticket | None = None
        self._job_began = self._began = self._shaking_since = 0
        self._cause = self._refusal = ""
        self._client: str = ""
        self._client_key: str | int = ""
        self._port = 0
        self._session_id = ""
        self._read = self._written = self._discarded = 0
        self._is_reading = True
        self._is_choked = self._is_closing = self._is_lost = self._is_opened = self._is_shaking = False
        self._is_given_up = self._is_half_closed = False

    # ---- what the loop says -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer has connected: it is greeted, unless TLS comes first."""
        self._transport = cast("asyncio.Transport", transport)
        gate = self._listening.gate
        peer = transport.get_extra_info("peername") or ("", 0)
        self._client, self._client_key = client_key(peer[0]) if isinstance(peer, tuple) else ("unix", "unix")
        self._port = peer[1] if isinstance(peer, tuple) else 0
        self._began = _now()
        self._session_id = gate.session_id()
        self._listening.meter.opened()
        self._machine = self._listening.machine(self._listening, self._client, self._session_id)
        self._timer = gate.wheel.add(time.monotonic() + self._machine.patience, self)
        self._refusal = gate.enter(self, self._client_key)
        if self._listening.is_implicit:
            self._shake_hands()
        else:
            self._open()
        self._pump()

    def data_received(self, octets: bytes) -> None:
        """What the peer says."""
        try:
            self._hear(octets)
        except Exception as fault:  # noqa: BLE001 - one session must not take the worker with it
            self._fault(fault)

    def eof_received(self) -> bool:
        """The peer will send no more: what it has asked for is answered before the connection is closed."""
        self._is_half_closed = True
        if self._is_closing:
            return False
        if self._is_shaking:
            self._shaken("closed")
            self._end("tls_failed")
        self._put_off()
        self._go_on()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; what the session holds is given back when no job is out."""
        gate = self._listening.gate
        self._is_lost = True
        if self._is_shaking:
            self._shaken("closed")
        if self._machine.report.mixup:
            self._cause = "mixup"
            gate.mixed_up(self._machine.report.mixup)
        self._cause = self._cause or ("peer_closed" if error is None else "peer_reset")
        if self._timer is not None:
            gate.wheel.cancel(self._timer)
        self._transport = None
        if self._job is None:
            self._release()
        elif isinstance(self._job, Ticket):
            gate.threads.drop(self._job, GONE)  # then it ends, now or later, and what the session holds is released
        stream = self._stream
        gate.write_line(
            (self._session_id, self._listening.protocol, self._listening.name, self._client, self._port,
             stream.summary if stream is not None and stream.is_established else None),
            self._machine.report, self._cause, self._read, self._written, _now() - self._began,
        )  # fmt: skip
        self._listening.meter.closed(_now() - self._began)
        gate.leave(self, self._client_key, self._cause)

    def pause_writing(self) -> None:
        """The peer does not read: no further piece is made."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_choked = False
        self._put_off()
        self._go_on()

    # ---- what the gate says -----------------------------------------------------------------------------------------

    def farewell(self, cause: str) -> None:
        """The session is to end between two commands."""
        if self._is_closing or self._is_lost:
            return
        self._cause = self._cause or cause
        if self._is_shaking:
            self.abort(cause)
            return
        self._machine.farewell(cause)
        self._go_on()

    def abort(self, cause: str) -> None:
        """Cuts the connection without another word."""
        self._cause = self._cause or cause
        if self._transport is not None:
            self._transport.abort()

    def expired(self) -> None:
        """Its deadline has passed."""
        if self._is_lost:
            return
        if self._is_shaking:
            self._shaken("timeout")
            self.abort("tls_failed")
        elif self._is_closing or self._is_choked:
            self.abort("peer_stalled")
        elif self._is_half_closed:
            self.abort("peer_closed")
        elif self._job is not None:
            self._move_deadline(self._machine.patience)  # the gate sees to the job's own deadline
        else:
            self._move_deadline(LINGER_SECONDS)
            self.farewell("idle_timeout")

    def wake(self) -> None:
        """From any thread: the machine wants to look at something."""
        try:
            self._loop.call_soon_threadsafe(self._woken)
        except RuntimeError:  # the loop is closed, and so is the session
            return

    # ---- input ------------------------------------------------------------------------------------------------------

    def _hear(self, octets: bytes) -> None:
        if self._is_closing:
            self._discarded += len(octets)
            if self._discarded > DISCARD_LIMIT:
                self.abort("peer_stalled")
            return
        self._put_off()
        if self._is_shaking or self._stream is not None:
            octets = self._decrypt(octets)
        elif not self._read and octets[0] == HELLO:
            self._mixed_up("tls")
            octets = b""
        if octets:
            self._read += len(octets)
            self._listening.meter.read(len(octets))
            self._machine.receive(octets, _now())
        self._pump()

    def _decrypt(self, octets: bytes) -> bytes:
        """What the peer says in ``octets`` under TLS; nothing while the handshake goes on."""
        try:
            if self._is_shaking:
                if self._stream is None:
                    if self._listening.is_implicit and octets[0] != HELLO:
                        self._shaken("protocol")
                        self._mixed_up("plain")
                        return b""
                    self._stream = cast("Accepting", self._listening.tls).accept()
                if not self._stream.handshake(octets):
                    self._flush_tls()
                    return b""
                self._shaken("")
                self._machine.secured(self._stream)
                if not self._is_opened:
                    self._open()
                octets = b""  # the stream has them; more may stand behind the end of the handshake
            stream = cast("TlsServer", self._stream)
            octets = stream.receive(octets)
        except TlsError as fault:
            if self._is_shaking:
                self._shaken(fault.kind)
            self._flush_tls()
            self._end("tls_failed")
            return b""
        if stream.is_closed:
            self._is_half_closed = True
        return octets

    def _open(self) -> None:
        self._is_opened = True
        self._machine.open(self.wake)
        if self._refusal:
            self._cause = "refused"
            self._machine.farewell(self._refusal)

    def _mixed_up(self, protocol: str) -> None:
        self._cause = "mixup"
        self._listening.gate.mixed_up(protocol)
        self._machine.mixed_up(protocol)

    def _woken(self) -> None:
        if not self._is_lost and not self._is_closing:
            try:
                self._machine.woken(_now())
            except Exception as fault:  # noqa: BLE001 - see data_received
                self._fault(fault)
                return
            self._go_on()

    # ---- TLS --------------------------------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        tls = cast("Accepting", self._listening.tls)
        if not tls.handshakes.begin():
            self._end("refused")
            return
        self._is_shaking = True
        self._shaking_since = _now()
        self._move_deadline(self._listening.gate.handshake_timeout)

    def _shaken(self, failure: str) -> None:
        """The handshake is over: done, or failed because of ``failure``."""
        self._is_shaking = False
        handshakes = cast("Accepting", self._listening.tls).handshakes
        if failure:
            handshakes.failed(failure)
            return
        handshakes.done(cast("TlsServer", self._stream), _now() - self._shaking_since)
        self._move_deadline(self._machine.patience)

    def _flush_tls(self) -> None:
        if self._stream is not None and self._transport is not None and self._stream.has_output:
            self._transport.write(self._stream.take_output())

    # ---- output and jobs --------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        try:
            self._pump()
        except Exception as fault:  # noqa: BLE001 - see data_received
            self._fault(fault)

    def _pump(self) -> None:
        """Writes what is to be written and starts what is to be done; then reading and closing follow the machine."""
        machine = self._machine
        if machine.report.finished:
            self._listening.meter.finished(machine.report)
        if self._transport is None or self._is_closing:
            return
        if self._is_opened or machine.is_over:
            self._write(machine.take_output())
        if machine.is_over:
            self._close()
            return
        if machine.wants_tls and self._stream is None and not self._is_shaking:
            machine.wants_tls = False
            self._shake_hands()
            return
        if not self._is_shaking and self._job is None and not self._is_choked:
            job = machine.take_job()
            if job is not None:
                self._start(job)
        if self._is_half_closed and self._job is None and not self._is_choked:
            self._end("peer_closed")
            return
        self._read_or_not(self._is_shaking or machine.may_read())

    def _write(self, octets: bytes) -> None:
        if octets and self._transport is not None:
            self._written += len(octets)
            self._listening.meter.written(len(octets))
            if self._stream is None:
                self._transport.write(octets)
            else:
                self._stream.send(octets)
        self._flush_tls()

    def _start(self, job: Job) -> None:
        self._job_began = _now()
        gate = self._listening.gate
        if isinstance(job, Blocking):
            key = self._machine.report.account or self._client_key
            self._job = gate.threads.submit(key, job.run, self._ended, timeout=gate.job_timeout, stuck=self._stuck)
        else:
            self._job = asyncio.ensure_future(in_time(job.ask(), gate.job_timeout))
            self._job.add_done_callback(self._answered)

    def _answered(self, job: asyncio.Future[Any]) -> None:
        fault = asyncio.CancelledError() if job.cancelled() else job.exception()
        self._ended(None if fault else job.result(), fault)

    def _ended(self, result: Any, fault: BaseException | None) -> None:
        """The job is over."""
        self._job = None
        now = _now()
        self._listening.meter.job(now - self._job_began)
        is_wanted = not self._is_given_up and not (self._is_lost and isinstance(fault, JobStopped))
        try:
            if is_wanted:
                self._machine.job_done(result, fault, now)
        except Exception as raised:  # noqa: BLE001 - see data_received
            self._fault(raised)
        if self._is_lost:
            self._release()
        elif is_wanted:
            self._put_off()
            self._go_on()

    def _stuck(self) -> None:
        """The job does not come back in time: the peer is answered, and need not wait longer."""
        if self._is_lost:
            return
        self._is_given_up = True
        self._cause = self._cause or "job_timeout"
        self._machine.given_up()
        self._go_on()

    def _read_or_not(self, may_read: bool) -> None:
        if may_read != self._is_reading and self._transport is not None:
            self._is_reading = may_read
            if may_read:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # ---- deadlines and ends -----------------------------------------------------------------------------------------

    def _put_off(self) -> None:
        """The peer has done something."""
        if not self._is_shaking and not self._is_closing:
            patience = self._machine.patience
            self._move_deadline(min(patience, HALF_CLOSED_SECONDS) if self._is_half_closed else patience)

    def _move_deadline(self, seconds: float) -> None:
        timer, deadline = self._timer, time.monotonic() + seconds
        if timer is None:
            return
        if timer.is_pending and deadline >= timer.deadline:
            timer.deadline = deadline
        else:
            self._listening.gate.wheel.move(timer, deadline)

    def _end(self, cause: str) -> None:
        """Ends without a word: there is nobody to read it."""
        self._cause = self._cause or cause
        if self._transport is not None and not self._transport.is_closing():
            self._is_closing = True
            self._transport.close()

    def _close(self) -> None:
        """Everything is said: closes our side, and all of it when the peer need not be waited for."""
        transport = self._transport
        if transport is None or self._is_closing:
            return
        self._cause = self._cause or "logout"
        if self._stream is not None and self._stream.is_established:
            self._stream.close()
            self._flush_tls()
        self._read_or_not(True)
        self._is_closing = True
        if self._machine.closes_at_once:
            transport.close()
        else:
            self._move_deadline(LINGER_SECONDS)
            transport.write_eof()

    def _release(self) -> None:
        job, gate = self._machine.release(), self._listening.gate
        if isinstance(job, Blocking):
            key = self._machine.report.account or self._client_key
            gate.threads.submit(key, job.run, self._released, timeout=gate.job_timeout, waits=True)

    def _released(self, _result: Any, fault: BaseException | None) -> None:
        if fault is not None:
            self._log_fault(fault)

    def _fault(self, fault: Exception) -> None:
        """Something of ours has failed; its cause is for the log, never for the peer."""
        self._log_fault(fault)
        self.abort("internal")

    def _log_fault(self, fault: BaseException) -> None:
        self._listening.gate.log.event(
            "error", "session failed", cause=f"{type(fault).__name__}: {fault}", session_id=self._session_id
        )


def _now() -> int:
    return time.monotonic_ns() // 1000
