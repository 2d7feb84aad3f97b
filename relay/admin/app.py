"""The admin application: GET only, no state, nothing that can be changed.

It shows counts, states and addresses of listeners; no message, no address of a correspondent, no path. It is bound to
loopback unless the configuration says otherwise. A page in a browser on the same machine must not read it by pointing
a name of its own at 127.0.0.1 (DNS rebinding), so on loopback only requests for an IP address, ``localhost`` or our
hostname are answered.

With ``admin.token`` everything but the probes asks for it (RFC 6750 2.1), so that the port can be open to a network.

Not here: the process around it (relay/workers/admin.py) and the connections under it (server.py).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from aiohttp import hdrs, web
from prometheus_client.exposition import choose_encoder

from relay import __version__
from relay.admin import index
from relay.admin.facts import Facts, Listening, look, queue_counts
from relay.admin.readiness import Reason, not_alive, not_ready
from relay.config.model import Config
from relay.telemetry import metrics
from relay.telemetry.collector import registry, resident_bytes
from relay.telemetry.lines import timestamp
from relay.telemetry.page import CountersPage

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBES: Final = frozenset({"/livez", "/readyz"})
"""What everybody may ask who can connect: probes of a container's runtime have no secret to send."""
MAX_BODY: Final = 1024
"""Octets of a request's body; no request here needs one."""


class StatusSource(Protocol):
    """What the shared page does not know."""

    def listeners(self) -> Sequence[Listening]:
        """The listeners of this generation, with the ports they got."""


class ConfiguredStatus:
    """The listeners as the configuration names them; good wherever no port is 0."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def listeners(self) -> Sequence[Listening]:
        """The configured listeners."""
        return [Listening(each.name, each.kind, each.address, each.port) for each in self._config.listeners]


def make_app(
    page: CountersPage, config: Config, status: StatusSource, *, row: memoryview[int] | None = None
) -> web.Application:
    """The application; ``row`` (of the admin worker) counts its requests."""
    app = web.Application(middlewares=[_hosts(config), _counts(row), _token(config)], client_max_size=MAX_BODY)
    views = _Views(page, config, status)
    app.router.add_get("/", views.index)
    app.router.add_get("/metrics", views.metrics)
    app.router.add_get("/livez", views.livez)
    app.router.add_get("/readyz", views.readyz)
    app.router.add_get("/api/status", views.status)
    app.router.add_get("/api/queue", views.queue)
    app.on_response_prepare.append(_harden)
    return app


class _Views:
    def __init__(self, page: CountersPage, config: Config, status: StatusSource) -> None:
        self._page = page
        self._config = config
        self._status = status
        self._registry = registry(page)

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text or OpenMetrics, as the Accept field asks; only some names with ``?name[]=``."""
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        names = request.query.getall("name[]", [])
        # The limited view of a registry answers what a registry answers, but is not declared to be one.
        chosen: Any = self._registry.restricted_registry(names) if names else self._registry
        response = web.Response(body=encode(chosen), headers={hdrs.CONTENT_TYPE: content_type})
        response.enable_compression()
        return response

    async def livez(self, _request: web.Request) -> web.Response:
        """200 while the appliance should go on running."""
        reasons = not_alive(self._look(), self._config.workers.beat_timeout)
        return _judged("alive", reasons)

    async def readyz(self, _request: web.Request) -> web.Response:
        """200 when mail may be sent here, 503 with the reasons when not."""
        return _judged("ready", self._reasons(self._look()))

    async def status(self, _request: web.Request) -> web.Response:
        """Who runs, in which state, listening where."""
        facts = self._look()
        return _json(
            {
                "version": __version__,
                "hostname": self._config.hostname,
                "generation": facts.generation,
                "started_at": _time(facts.started_at),
                "ready": not (reasons := self._reasons(facts)),
                "reasons": [reason._asdict() for reason in reasons],
                "reload_refused": facts.is_reload_refused,
                "workers_wanted": dict(facts.wanted),
                "processes": [
                    {
                        "role": process.role,
                        "slot": process.slot,
                        "generation": process.generation,
                        "state": process.state,
                        "pid": process.pid,
                        "started_at": _time(process.started_at),
                        "beat_age_seconds": max(0, facts.now - process.beat) / 1_000_000 if process.beat else None,
                        "resident_bytes": resident_bytes(process.pid),
                    }
                    for process in facts.processes
                ],
                "listeners": [each._asdict() for each in self._status.listeners()],
            }
        )

    async def queue(self, _request: web.Request) -> web.Response:
        """How much waits, by state and by age."""
        return _json(queue_counts(self._page)._asdict())

    async def index(self, _request: web.Request) -> web.Response:
        """What is where, for people."""
        facts = self._look()
        text = index.page(
            hostname=self._config.hostname,
            facts=facts,
            reasons=self._reasons(facts),
            listeners=self._status.listeners(),
            queue=queue_counts(self._page),
        )
        return web.Response(text=text, content_type="text/html")

    def _look(self) -> Facts:
        return look(self._page)

    def _reasons(self, facts: Facts) -> tuple[Reason, ...]:
        return not_ready(facts, self._config.workers.beat_timeout, self._config.spool)


def _judged(name: str, reasons: tuple[Reason, ...]) -> web.Response:
    answer = {name: not reasons, "reasons": [reason._asdict() for reason in reasons]}
    return _json(answer, status=503 if reasons else 200)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        text=json.dumps(value, ensure_ascii=True, indent=1) + "\n", status=status, content_type="application/json"
    )


def _time(microseconds: int) -> str | None:
    return timestamp(microseconds).decode() if microseconds else None


# ---- what holds for every answer ------------------------------------------------------------------------------------

_EVERYWHERE: Final = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": f"default-src 'none'; style-src '{index.STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "relay",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_EVERYWHERE)
    # One request a connection: a scrape every few seconds does not need more, and no idle connection stays.
    response.force_close()


def _hosts(config: Config) -> Any:
    """Middleware: on loopback, only requests that name us (see the head of this file)."""
    ours = {"localhost", config.hostname.lower().rstrip(".")}
    is_loopback = ipaddress.ip_address(config.admin.address).is_loopback

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_loopback and not _is_ours(request.headers.get(hdrs.HOST, ""), ours):
            raise web.HTTPMisdirectedRequest(text="421: this name is not served here; use an IP address or localhost\n")
        return await handler(request)

    return middleware


def _is_ours(host: str, ours: set[str]) -> bool:
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    name = bare.lower().rstrip(".")
    if name in ours or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return not host  # HTTP/1.0 without a Host field: no browser sends that
    return True


def _token(config: Config) -> Any:
    """Middleware: only requests with the token, where there is one; the probes need none."""
    token = config.admin.token
    unauthorized = "401: this page needs admin.token, sent as Authorization: Bearer TOKEN\n"

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if token is not None and request.path not in PROBES:
            scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
            if scheme.lower() != "bearer" or not token.matches(given.strip().encode("utf-8", "surrogateescape")):
                headers = {hdrs.WWW_AUTHENTICATE: 'Bearer realm="relay"'}
                raise web.HTTPUnauthorized(text=unauthorized, headers=headers)
        return await handler(request)

    return middleware


def _counts(row: memoryview[int] | None) -> Any:
    """Middleware: counts answers by status class."""
    cells = {digit: metrics.index("relay_admin_requests_total", f"{digit}xx") for digit in (2, 3, 4, 5)}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as answer:
            status = answer.status
            raise
        finally:
            if row is not None:
                row[cells[status // 100]] += 1
        return response

    return middleware
