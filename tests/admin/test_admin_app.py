"""The admin application, asked over a real socket."""

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from relay.admin.app import ConfiguredStatus, make_app
from relay.admin.facts import Listening
from relay.admin.server import AdminServer
from relay.config import demo
from relay.config.secret import Secret
from relay.telemetry import page as pages
from relay.telemetry.metrics import index
from relay.telemetry.page import CountersPage

TOKEN = "0123456789/abc-def+g="


class Status:
    def listeners(self) -> list[Listening]:
        return [Listening("mx<b>", "mx", "127.0.0.1", 40025)]


class Appliance:
    """A page as a running appliance has it, and its admin server on a port of its own."""

    def __init__(
        self,
        folder: Path,
        max_connections: int = 64,
        max_seconds: float = 15,
        sweep_seconds: float = 1,
        token: Secret | None = None,
    ) -> None:
        self.page = CountersPage(8)
        self.rows = {}
        for role in ("smtp", "delivery", "admin"):
            number = self.page.take_row(role, 0, 1)
            self.page.mark(number, pages.READY, pid=os.getpid())
            self.rows[role] = self.page.row(number)
        self.config = demo(folder)
        self.config = dataclasses.replace(self.config, admin=dataclasses.replace(self.config.admin, token=token))
        app = make_app(self.page, self.config, Status(), row=self.rows["admin"])
        self.server = AdminServer(
            app,
            row=self.rows["admin"],
            max_connections=max_connections,
            max_seconds=max_seconds,
            sweep_seconds=sweep_seconds,
        )
        self.url = ""
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Appliance"]:
        await self.server.start()
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        acceptor = await asyncio.get_running_loop().create_server(self.server.factory, sock=listening)
        try:
            yield self
        finally:
            acceptor.close()
            await self.server.close()

    async def get(self, path: str, **options) -> tuple[int, str, dict[str, str]]:
        async with (
            aiohttp.ClientSession() as client,
            client.request(options.pop("method", "GET"), self.url + path, **options) as reply,
        ):
            return reply.status, await reply.text(), dict(reply.headers)

    async def raw(self, octets: bytes) -> bytes:
        """What comes back for octets of our own making, until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(octets)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@pytest.fixture
async def appliance(tmp_path: Path) -> AsyncIterator[Appliance]:
    async with Appliance(tmp_path).running() as running:
        yield running


async def test_metrics_are_prometheus_text_by_default(appliance):
    appliance.rows["smtp"][index("relay_smtp_replies_total", 250)] = 3
    status, text, headers = await appliance.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    found = {(s.name, s.labels.get("code")): s.value for f in text_string_to_metric_families(text) for s in f.samples}
    assert found["relay_smtp_replies_total", "250"] == 3


async def test_metrics_are_openmetrics_for_who_accepts_that(appliance):
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    status, text, headers = await appliance.get("/metrics", headers={"Accept": accept})
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert "relay_smtp_replies" in {family.name for family in parse_openmetrics(text)}


async def test_metrics_can_be_asked_for_by_name(appliance):
    _, text, _ = await appliance.get("/metrics?name[]=relay_smtp_sessions_open")
    assert {family.name for family in text_string_to_metric_families(text)} == {"relay_smtp_sessions_open"}


async def test_metrics_are_compressed_for_who_accepts_that(appliance):
    octets = await appliance.raw(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n")
    assert b"Content-Encoding: gzip" in octets.split(b"\r\n\r\n")[0]
    assert len(octets) < 15_000


async def test_ready_is_200_and_unready_503_with_the_reasons(appliance):
    status, text, _ = await appliance.get("/readyz")
    assert (status, json.loads(text)) == (200, {"ready": True, "reasons": []})
    appliance.rows["smtp"][index("relay_spool_refusing_workers", "disk_low")] = 1
    status, text, headers = await appliance.get("/readyz")
    assert status == 503
    assert headers["Content-Type"].startswith("application/json")
    assert [reason["code"] for reason in json.loads(text)["reasons"]] == ["disk_low"]


async def test_unready_is_still_alive(appliance):
    appliance.page.supervisor[index("relay_supervisor_draining")] = 1
    assert (await appliance.get("/readyz"))[0] == 503
    status, text, _ = await appliance.get("/livez")
    assert (status, json.loads(text)["alive"]) == (200, True)


async def test_a_stuck_supervisor_is_not_alive(appliance):
    appliance.page.supervisor[pages.BEAT_CELL] = 1
    assert (await appliance.get("/livez"))[0] == 503


async def test_status_names_processes_generation_and_listeners(appliance):
    appliance.page.supervisor[index("relay_supervisor_generation")] = 4
    appliance.page.supervisor[index("relay_supervisor_wanted_workers", "smtp")] = 2
    _, text, _ = await appliance.get("/api/status")
    found = json.loads(text)
    assert found["generation"] == 4
    assert found["workers_wanted"]["smtp"] == 2
    assert found["listeners"] == [{"name": "mx<b>", "kind": "mx", "address": "127.0.0.1", "port": 40025}]
    assert [(each["role"], each["state"]) for each in found["processes"]][1:] == [
        ("smtp", "ready"),
        ("delivery", "ready"),
        ("admin", "ready"),
    ]
    assert found["processes"][1]["resident_bytes"] > 0
    assert found["processes"][1]["started_at"].endswith("Z")
    assert str(appliance.config.data_dir) not in text


async def test_queue_tells_what_waits(appliance):
    appliance.rows["delivery"][index("relay_queue_entries", "deferred")] = 5
    appliance.rows["delivery"][index("relay_queue_age_entries", "1h")] = 5
    appliance.rows["delivery"][index("relay_queue_oldest_seconds")] = 2_500_000
    found = json.loads((await appliance.get("/api/queue"))[1])
    assert found["states"] == {"incoming": 0, "active": 0, "deferred": 5, "hold": 0}
    assert found["ages"]["1h"] == 5
    assert found["oldest_seconds"] == 2.5


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in {"href", "src"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


async def test_the_index_names_what_is_where_and_every_link_works(appliance):
    status, text, headers = await appliance.get("/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    page = Links()
    page.feed(text)
    assert page.open == []
    assert set(page.found) == {"/metrics", "/livez", "/readyz", "/api/status", "/api/queue"}
    for link in page.found:
        assert (await appliance.get(link))[0] == 200
    assert "mx&lt;b&gt;" in text
    assert "Ready, generation" in text


async def test_the_index_says_why_we_are_not_ready(appliance):
    appliance.page.supervisor[index("relay_supervisor_throttled_workers", "smtp")] = 1
    appliance.page.supervisor[index("relay_supervisor_reload_refused")] = 1
    _, text, _ = await appliance.get("/")
    assert "Not ready: 1 smtp worker is held back" in text
    assert "The last reload was refused" in text


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/nowhere"])
async def test_every_answer_is_hardened(appliance, path):
    _, text, headers = await appliance.get(path)
    assert headers["Server"] == "relay"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Connection"] == "close"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Traceback" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(appliance, method):
    status, _, headers = await appliance.get("/api/status", method=method)
    assert status == 405
    assert set(headers["Allow"].split(",")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8025", 200),
        ("[::1]:8025", 200),
        ("localhost", 200),
        ("LOCALHOST.:1", 200),
        ("relay.localhost:8025", 200),
        ("evil.example", 421),
        ("evil.example:8025", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
    ],
)
async def test_on_loopback_only_our_own_names_are_served(appliance, host, status):
    """DNS rebinding: a web page gives its own name the address 127.0.0.1."""
    assert (await appliance.get("/api/status", headers={"Host": host}))[0] == status


async def test_away_from_loopback_any_name_is_served(tmp_path):
    appliance = Appliance(tmp_path)
    from dataclasses import replace

    config = replace(appliance.config, admin=replace(appliance.config.admin, address="0.0.0.0"))
    appliance.server = AdminServer(make_app(appliance.page, config, ConfiguredStatus(config)))
    async with appliance.running():
        status, text, _ = await appliance.get("/api/status", headers={"Host": "relay.monitoring.svc"})
    assert status == 200
    assert {each["port"] for each in json.loads(text)["listeners"]} == {each.port for each in config.listeners}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer \xff", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
    ],
)
async def test_with_a_token_only_who_sends_it_is_answered(tmp_path, sent, status):
    """RFC 6750 2.1, 3."""
    appliance = Appliance(tmp_path, token=Secret(TOKEN))
    async with appliance.running():
        for path in ("/", "/metrics", "/api/status", "/api/queue"):
            found, text, headers = await appliance.get(path, headers={} if sent is None else {"Authorization": sent})
            assert found == status
            assert (headers.get("WWW-Authenticate") == 'Bearer realm="relay"') is (status == 401)
            assert TOKEN not in text
        assert (await appliance.get("/livez"))[0] == 200, "a probe has no secret"
        assert appliance.rows["admin"][index("relay_admin_requests_total", f"{status // 100}xx")] >= 4


async def test_requests_are_counted_by_status(appliance):
    for path in ("/", "/livez", "/nowhere"):
        await appliance.get(path)
    row = appliance.rows["admin"]
    assert row[index("relay_admin_requests_total", "2xx")] == 2
    assert row[index("relay_admin_requests_total", "4xx")] == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n",
        b"EHLO client.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_garbage_and_excess_are_refused(appliance, octets):
    try:
        answer = await appliance.raw(octets)
    except ConnectionResetError:
        answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"Traceback" not in answer
    assert (await appliance.get("/livez"))[0] == 200


async def test_a_peer_that_does_not_finish_its_request_is_cut_off(tmp_path):
    """I10."""
    async with Appliance(tmp_path, max_seconds=0.2, sweep_seconds=0.05).running() as appliance:
        reader, writer = await asyncio.open_connection("127.0.0.1", appliance.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        # The octets before were no request; a connection that lasts is one that was answered.
        assert (await appliance.get("/livez"))[0] == 200


async def test_a_peer_that_drips_a_request_is_cut_off_too(tmp_path):
    async with Appliance(tmp_path, max_seconds=0.3, sweep_seconds=0.05).running() as appliance:
        reader, writer = await asyncio.open_connection("127.0.0.1", appliance.port)
        with contextlib.suppress(ConnectionError):
            for octet in b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 1000:
                writer.write(bytes([octet]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    assert await asyncio.wait_for(reader.read(1), 0.02) == b""
                    break
            else:
                raise AssertionError("it was never cut off")
        writer.close()
        assert appliance.rows["admin"][index("relay_admin_connections_refused_total", "timeout")] >= 1


async def test_connections_above_the_limit_are_closed_at_once(tmp_path):
    """I5."""
    async with Appliance(tmp_path, max_connections=3).running() as appliance:
        held = [await asyncio.open_connection("127.0.0.1", appliance.port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", appliance.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert appliance.rows["admin"][index("relay_admin_connections_refused_total", "limit")] == 1
        for _, each in held:
            each.close()
            await each.wait_closed()


async def test_the_server_closes_with_connections_open(tmp_path):
    async with Appliance(tmp_path).running() as appliance:
        reader, writer = await asyncio.open_connection("127.0.0.1", appliance.port)
        await asyncio.sleep(0)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
