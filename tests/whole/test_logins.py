"""Logins that come to nothing, in every protocol of a running appliance."""

import base64
import imaplib
import socket

import pytest

from relay.auth import AccountFile
from tests.support.appliance import Appliance, free_port
from tests.support.waiting import wait_until

ADDRESS = "anna@local.test"
KINDS = {"submission": "smtp", "imap": "imap", "pop3": "pop3", "managesieve": "managesieve"}
LISTENER = """
[[listener]]
name = "{kind}"
kind = "{kind}"
address = "127.0.0.1"
port = {port}
plaintext_login = true
"""
FIRST = base64.b64encode(b"n,,n=anna@local.test,r=nonce").decode()
WORDS = {
    "submission": ("EHLO client\r\n", f"AUTH SCRAM-SHA-256 {FIRST}\r\n", "334 ", "*\r\n"),
    "imap": ("", f"a AUTHENTICATE SCRAM-SHA-256 {FIRST}\r\n", "+ ", "*\r\n"),
    "pop3": ("", f"AUTH SCRAM-SHA-256 {FIRST}\r\n", "+ ", "*\r\n"),
    "managesieve": ("", f'AUTHENTICATE "SCRAM-SHA-256" "{FIRST}"\r\n', '"', '"*"\r\n'),
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    ports = {kind: free_port() for kind in KINDS}
    more = "".join(LISTENER.format(kind=kind, port=port) for kind, port in ports.items())
    with Appliance(tmp_path_factory.mktemp("logins"), free_port(), more=more, smtp_workers=1) as appliance:
        yield appliance, ports


def test_an_account_of_an_older_version_gets_keys_that_clients_can_compute_at_its_next_login(ports):
    """Cyrus SASL refuses its 100,000 iterations."""
    appliance, listening = ports
    path = appliance.data / "accounts"
    AccountFile(path, scram_iterations=100_000).add("old@local.test", "correct horse battery")
    with imaplib.IMAP4("127.0.0.1", listening["imap"], timeout=30) as client:
        client.login("old@local.test", "correct horse battery")
    account = AccountFile(path).find("old@local.test")
    assert account is not None
    assert account.scram is not None
    assert account.scram.iterations == 65_536


@pytest.mark.parametrize("ends", ["abandoned", "cancelled"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_leaves_in_the_middle_of_a_login_is_told_in_the_log(ports, kind, ends):
    """With mechanism and stage: clients that refuse what they are offered say nothing themselves."""
    appliance, listening = ports
    hello, first, asked, never_mind = WORDS[kind]
    with socket.create_connection(("127.0.0.1", listening[kind]), timeout=30) as client, client.makefile("r") as file:
        greeting = file.readline()
        while not greeting.startswith(("220 ", "* OK", "+OK", "OK ")):
            greeting = file.readline()
        if hello:
            client.sendall(hello.encode())
            while not file.readline().startswith("250 "):
                pass
        client.sendall(first.encode())
        assert file.readline().startswith(asked)
        if ends == "cancelled":
            client.sendall(never_mind.encode())
            assert file.readline()

    def lines() -> list[dict[str, object]]:
        return [
            line
            for line in appliance.events()
            if line.get("event") == "login not completed" and (line["listener"], line["reason"]) == (kind, ends)
        ]

    found = wait_until(lines, "there is no event", every=0.02)
    told = {name: found[0][name] for name in ("protocol", "mechanism", "stage", "account", "client")}
    assert told == {
        "protocol": KINDS[kind], "mechanism": "SCRAM-SHA-256", "stage": "challenge", "account": ADDRESS,
        "client": "127.0.0.1",
    }  # fmt: skip
    assert len(found) == 1
