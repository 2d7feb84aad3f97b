"""Settings for mail programs: what is told, to whom, and what is not."""

import dataclasses
import plistlib
from xml.etree import ElementTree as ET

import pytest
from aiohttp.test_utils import TestClient, TestServer

from relay.admin.autoconfig import services
from relay.admin.public import make_public_app
from relay.config import Config
from relay.config.model import DomainSettings, Listener

CONFIG = Config(
    hostname="mail.example.org",
    domains=DomainSettings(local=("example.org",)),
    listeners=(
        Listener("mx", "mx", "0.0.0.0", 25),
        Listener("submission", "submission", "0.0.0.0", 587),
        Listener("submissions", "submission", "0.0.0.0", 465, tls="implicit"),
        Listener("imap", "imap", "0.0.0.0", 143),
        Listener("imaps", "imap", "0.0.0.0", 993, tls="implicit"),
        Listener("clear", "pop3", "127.0.0.1", 110, tls="none"),
    ),
)
OUTLOOK = (
    b'<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/'
    b'requestschema/2006"><Request><EMailAddress>alice@Example.org</EMailAddress></Request></Autodiscover>'
)


@pytest.fixture
async def client():
    async with TestClient(TestServer(make_public_app(CONFIG))) as client:
        yield client


def test_ports_that_begin_with_tls_come_first_and_those_nobody_can_log_in_at_do_not_come():
    assert [(each.kind, each.port) for each in services(CONFIG)] == [
        ("imap", 993), ("imap", 143), ("submission", 465), ("submission", 587),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/mail/config-v1.1.xml?emailaddress=alice@example.org",
     "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=alice@EXAMPLE.org"],
)  # fmt: skip
async def test_thunderbird_is_told_the_ports(client, path):
    answer = await client.get(path)
    assert answer.status == 200
    root = ET.fromstring(await answer.text())
    first = root.find("emailProvider/incomingServer")
    assert first is not None
    assert {each.tag: each.text for each in first} == {
        "hostname": "mail.example.org", "port": "993", "socketType": "SSL", "authentication": "password-cleartext",
        "username": "%EMAILADDRESS%",
    }  # fmt: skip
    assert [each.findtext("port") for each in root.iter("outgoingServer")] == ["465", "587"]


async def test_thunderbird_may_name_the_domain_by_the_host_alone(client):
    answer = await client.get("/mail/config-v1.1.xml", headers={"Host": "autoconfig.example.org"})
    assert answer.status == 200


async def test_outlook_is_told_the_best_of_each(client):
    answer = await client.post("/autodiscover/autodiscover.xml", data=OUTLOOK)
    assert answer.status == 200
    root = ET.fromstring(await answer.text())
    space = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
    found = [(each.findtext(f"{space}Type"), each.findtext(f"{space}Port"), each.findtext(f"{space}LoginName"))
             for each in root.iter(f"{space}Protocol")]  # fmt: skip
    assert found == [("IMAP", "993", "alice@example.org"), ("SMTP", "465", "alice@example.org")]


async def test_apple_gets_a_profile_that_is_the_same_each_time(client):
    profiles = [await (await client.get("/email.mobileconfig?emailaddress=a%2Bb@example.org")).read() for _ in range(2)]
    assert profiles[0] == profiles[1]
    (mail,) = plistlib.loads(profiles[0])["PayloadContent"]
    assert (mail["IncomingMailServerPortNumber"], mail["EmailAddress"]) == (993, "a+b@example.org")


async def test_every_address_of_a_domain_gets_the_same(client):
    one, other = [
        await (await client.get(f"/mail/config-v1.1.xml?emailaddress={name}@example.org")).read() for name in ("a", "b")
    ]
    assert one == other


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 404), ("/metrics", 404), ("/api/queue", 404), ("/readyz", 404), ("/email.mobileconfig", 400),
     ("/email.mobileconfig?emailaddress=x@other.example", 404), ("/mail/config-v1.1.xml?emailaddress=a@b.test", 404),
     ("/email.mobileconfig?emailaddress=%3Cscript%3E@example.org", 400)],
)  # fmt: skip
async def test_nothing_else_is_served_here(client, path, status):
    answer = await client.get(path)
    assert answer.status == status
    assert "<" not in await answer.text()


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"<EMailAddress>x</EMailAddress>", 400), (b"x" * 9000, 413),
     (b'<!DOCTYPE a [<!ENTITY x "alice@example.org">]><EMailAddress>&x;</EMailAddress>', 400)],
)  # fmt: skip
async def test_outlook_requests_that_cannot_be(client, body, status):
    assert (await client.post("/autodiscover/autodiscover.xml", data=body)).status == status


async def test_without_a_way_in_there_is_no_profile():
    config = dataclasses.replace(CONFIG, listeners=CONFIG.listeners[:1])
    async with TestClient(TestServer(make_public_app(config))) as client:
        assert (await client.get("/email.mobileconfig?emailaddress=a@example.org")).status == 404
