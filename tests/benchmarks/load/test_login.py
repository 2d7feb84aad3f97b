"""AUTH of the load generator: the machines alone, and against servers that know nothing of each other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.group import Group
from benchmarks.load.login import AskedLogin, LoginError, Plain, Scram
from benchmarks.servers.base import Site
from benchmarks.servers.dovecot import Dovecot
from benchmarks.servers.postfix import Postfix
from tests.benchmarks.load.stand import generate, sink
from tests.support.appliance import Appliance, free_port, open_to_all, wait_for
from tests.support.needs import need

MECHANISMS = ("plain", "login", "scram-sha-256")
PASSWORD = "correct horse battery"
SUBMISSION = """
[[listener]]
name = "submission"
kind = "submission"
address = "127.0.0.1"
port = {starttls}

[[listener]]
name = "submissions"
kind = "submission"
address = "127.0.0.1"
port = {implicit}
tls = "implicit"
"""
DOVECOT = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-256
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {root}/accounts
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={root}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


def test_plain_says_all_at_once():
    """RFC 4616 2."""
    login = Plain("anna", "secret")
    assert login.initial == b"\0anna\0secret"
    with pytest.raises(LoginError):
        login.answer(b"")


def test_login_answers_two_questions_and_no_third():
    login = AskedLogin("anna", "secret")
    assert login.initial is None
    assert [login.answer(b"Username:"), login.answer(b"Password:")] == [b"anna", b"secret"]
    with pytest.raises(LoginError):
        login.answer(b"And?")


def scram() -> Scram:
    return Scram("user", "pencil", "rOprNGfwEbeRWgbNEkqO")


FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def test_scram_is_that_of_the_rfc():
    """RFC 7677 3."""
    login = scram()
    assert login.initial == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert login.answer(FIRST) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert login.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""


@pytest.mark.parametrize(
    "challenge", [b"", b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", FIRST.replace(b"4096", b"0"), b"r=x,s=?,i=1"]
)
def test_a_challenge_that_cannot_be_ends_scram(challenge):
    with pytest.raises(LoginError):
        scram().answer(challenge)


def test_a_server_that_does_not_know_the_password_is_found_out():
    login = scram()
    login.answer(FIRST)
    with pytest.raises(LoginError):
        login.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Relay's submission listeners, by how TLS begins; mail goes on to a sink."""
    ports = {"starttls": free_port(), "implicit": free_port()}
    with sink() as target:
        more = SUBMISSION.format(**ports)
        appliance = Appliance(tmp_path_factory.mktemp("relay"), int(target.address.rpartition(":")[2]), more=more)
        appliance.run("account", "add", "anna@local.test", "--password-stdin", text=PASSWORD + "\n")
        with appliance:
            yield ports


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_relay_takes_mail_from_who_has_logged_in(relay, tls, mechanism):
    """With TLS sessions taken up again: eight connections at least, one after the other."""
    words = ("--tls", tls, "--account", f"anna@local.test:{PASSWORD}", "--mechanism", mechanism)
    more = ("--sender", "anna@local.test", "--messages", 10, "--sessions", 2, "--messages-per-connection", 1)
    result = generate(f"127.0.0.1:{relay[tls]}", *words, *more)
    assert result["messages"]["accepted"] == 10, result["errors"]
    assert result["replies"]["auth"]["235"] == result["connections"]["opened"] == 10
    assert result["connections"]["resumed"] >= 8


def test_relay_refuses_a_wrong_password_and_the_generator_says_so(relay):
    words = ("--tls", "starttls", "--account", "anna@local.test:wrong", "--mechanism", "scram-sha-256")
    result = generate(f"127.0.0.1:{relay['starttls']}", *words, "--messages", 1, "--sessions", 1, "--timeout", 0.5)
    assert result["messages"]["accepted"] == 0
    assert result["errors"]["auth 535"] >= 1


@pytest.fixture(scope="module")
def postfix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Postfix that asks Dovecot whether a password is right."""
    for kind in (Postfix, Dovecot):
        why = kind.missing()
        need(why is None, f"{kind.name}: {why}")
    root, auth_port = tmp_path_factory.mktemp("postfix"), free_port()
    settings = {
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": f"inet:127.0.0.1:{auth_port}",
        "smtpd_sasl_security_options": "noanonymous",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    }
    open_to_all(root)
    with sink() as target, Group("dovecot-auth") as group:
        start_dovecot(group, root / "auth", auth_port)
        site = Site(root, free_port(), {"relay.test": int(target.address.rpartition(":")[2])}, settings=settings)
        with Postfix(site) as server:
            yield server.port


def start_dovecot(group: Group, root: Path, port: int) -> None:
    """Only its service that checks passwords."""
    for folder in (root, root / "run", root / "state"):
        folder.mkdir()
    (root / "accounts").write_text(f"anna:{{PLAIN}}{PASSWORD}\n")
    (root / "dovecot.conf").write_text(DOVECOT.format(root=root, port=port))
    with (root / "output.log").open("ab") as log:
        program = shutil.which("dovecot") or "/usr/sbin/dovecot"
        group.start([program, "-F", "-c", str(root / "dovecot.conf")], output=log)
    ready = root / "run" / "master.pid"
    wait_for(ready.exists, 10, (root / "output.log").read_text)


@pytest.mark.parametrize("dialogue", ["lock-step", "grouped", "pipelined"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_postfix_takes_mail_from_who_has_logged_in(postfix, mechanism, dialogue):
    words = ("--account", f"anna:{PASSWORD}", "--mechanism", mechanism, "--dialogue", dialogue)
    result = generate(f"127.0.0.1:{postfix}", *words, "--messages", 20, "--sessions", 4)
    assert result["messages"]["accepted"] == 20, result["errors"]
    assert result["replies"]["auth"] == ({"235": 4})


def test_postfix_takes_nothing_from_who_has_not(postfix):
    result = generate(f"127.0.0.1:{postfix}", "--messages", 2, "--sessions", 1)
    assert result["messages"] == {"offered": 2, "accepted": 0, "refused": 2, "unsure": 0, "broken": 0}
    assert result["replies"]["rcpt"].keys() == {"554"}
