"""A ManageSieve session as dialogue: octets in, octets out; a twin of the transport carries the jobs out."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Mapping
from typing import Any, cast

import pytest

from relay.auth import Check, CheckPassword, Client, Exchange, Login, Trouble
from relay.auth.exchange import make
from relay.auth.scram import ScramKeys
from relay.mailbox.scripts import Quota, ScriptRefused, Scripts
from relay.managesieve import Limits, Session
from relay.net.tls_machine import TlsServer
from relay.readers.login_policy import LoginPolicy
from relay.readers.machine import Blocking


def no_keys(name: str) -> ScramKeys:
    raise AssertionError(name)


class Logins:
    """An Authenticator with one account."""

    def __init__(self) -> None:
        self.troubles: list[Trouble] = []

    def exchange(self, mechanism: str, bindings: Mapping[str, bytes]) -> Exchange | None:
        return make(mechanism, keys_of=no_keys, bindings=bindings, nonce="n")

    async def check(self, check: Check, _client: Client) -> Login:
        assert isinstance(check, CheckPassword)
        if (check.name, check.password) == ("ann@x.org", "secret"):
            return Login("ann@x.org")
        return Login("", Trouble.CREDENTIALS)

    async def password(self, name: bytes, password: bytes, _client: Client) -> Login:
        raise AssertionError("ManageSieve knows AUTHENTICATE only")

    def not_completed(self, trouble: Trouble, _client: Client, _begun: object = None) -> None:
        self.troubles.append(trouble)


async def awaited(what: Awaitable[Any]) -> Any:
    return await what


class Stream:
    bindings: Mapping[str, bytes] = {}


class Talk:
    """One session, with its jobs carried out at once."""

    def __init__(self, tmp_path, *, offers_tls=False, allows_plaintext=True) -> None:
        self.folder = tmp_path / "ann"
        self.door = Logins()
        self.session = Session(
            Limits("mx.test", 60, 1800, 1000, 4, "IMAP: port 993 with TLS"),
            LoginPolicy(self.door, Client("192.0.2.1", "managesieve", "sieve", "1"), offers_tls, allows_plaintext),
            lambda _account: Scripts(self.folder, Quota(3, 1000)),
        )
        self.session.open(lambda: None)
        self.greeting = self.session.take_output().decode()

    def say(self, octets: bytes, piece: int = 0) -> str:
        for start in range(0, len(octets), piece or len(octets)):
            self.session.receive(octets[start : start + (piece or len(octets))], 0)
            self.carry_out()
        return self.session.take_output().decode()

    def carry_out(self) -> None:
        while (job := self.session.take_job()) is not None:
            try:
                result = job.run() if isinstance(job, Blocking) else asyncio.run(awaited(job.ask()))
            except (ScriptRefused, OSError) as fault:
                self.session.job_done(None, fault, 0)
            else:
                self.session.job_done(result, None, 0)

    def log_in(self, password: str = "secret") -> str:
        initial = base64.b64encode(b"\0ann@x.org\0" + password.encode())
        return self.say(b'AUTHENTICATE "PLAIN" "' + initial + b'"\r\n')


@pytest.fixture
def talk(tmp_path):
    talk = Talk(tmp_path)
    assert talk.log_in() == 'OK "Welcome"\r\n'
    return talk


def test_the_greeting_is_the_capabilities(tmp_path):
    """RFC 5804 1.7, 2.4."""
    greeting = Talk(tmp_path, offers_tls=True, allows_plaintext=False).greeting
    assert '"IMPLEMENTATION" "Relay"\r\n' in greeting
    assert '"SASL" ""\r\n' in greeting
    assert '"VERSION" "1.0"\r\n"' in greeting
    assert '"STARTTLS"\r\nOK "ManageSieve at mx.test"\r\n' in greeting
    assert " fileinto " in greeting


def test_a_login_in_the_clear_is_refused_unless_allowed(tmp_path):
    talk = Talk(tmp_path, offers_tls=True, allows_plaintext=False)
    assert talk.log_in() == 'NO (ENCRYPT-NEEDED) "Begin TLS before you log in"\r\n'


def test_starttls_throws_away_what_came_with_it_and_then_tells_the_capabilities(tmp_path):
    """RFC 5804 2.2."""
    talk = Talk(tmp_path, offers_tls=True, allows_plaintext=False)
    assert talk.say(b"STARTTLS\r\nNOOP\r\n") == 'OK "Begin TLS"\r\n'
    assert talk.session.wants_tls
    talk.session.secured(cast("TlsServer", Stream()))
    told = talk.session.take_output().decode()
    assert '"SASL" "SCRAM-SHA-256 PLAIN LOGIN"' in told
    assert "STARTTLS" not in told
    assert talk.log_in() == 'OK "Welcome"\r\n'


def test_a_wrong_password_and_another_try(tmp_path):
    talk = Talk(tmp_path)
    assert talk.log_in("wrong") == 'NO "The login has failed"\r\n'
    assert talk.log_in() == 'OK "Welcome"\r\n'
    assert talk.log_in() == 'NO "You have logged in already"\r\n'


def test_an_exchange_in_steps_and_one_that_is_cancelled(tmp_path):
    talk = Talk(tmp_path)
    assert talk.say(b'authenticate "PLAIN"\r\n') == '""\r\n'
    assert talk.say(b'"' + base64.b64encode(b"\0ann@x.org\0secret") + b'"\r\n') == 'OK "Welcome"\r\n'
    talk.say(b"UNAUTHENTICATE\r\n")
    assert talk.say(b'AUTHENTICATE "LOGIN"\r\n').startswith('"')
    assert talk.say(b'"*"\r\n') == 'NO "Cancelled"\r\n'
    assert talk.door.troubles == [Trouble.CANCELLED]
    assert talk.say(b"LISTSCRIPTS\r\n") == 'NO "Log in first"\r\n'


def test_a_script_is_put_listed_activated_got_renamed_and_deleted(talk):
    """RFC 5804 2.5 to 2.11."""
    assert talk.say(b'HAVESPACE "a" 500\r\n') == 'OK "There is room"\r\n'
    assert talk.say(b'PUTSCRIPT "a" {5+}\r\nkeep;\r\n') == 'OK "Stored"\r\n'
    assert talk.say(b'PUTSCRIPT "b" "discard;"\r\n') == 'OK "Stored"\r\n'
    assert talk.say(b'SETACTIVE "a"\r\n') == 'OK "Active"\r\n'
    assert talk.say(b"LISTSCRIPTS\r\n") == '"a" ACTIVE\r\n"b"\r\nOK "Done"\r\n'
    assert talk.say(b'GETSCRIPT "a"\r\n') == '{5}\r\nkeep;\r\nOK "Done"\r\n'
    assert talk.say(b'RENAMESCRIPT "a" "b"\r\n').startswith("NO (ALREADYEXISTS) ")
    assert talk.say(b'RENAMESCRIPT "a" "c"\r\n') == 'OK "Renamed"\r\n'
    assert talk.say(b'DELETESCRIPT "c"\r\n').startswith("NO (ACTIVE) ")
    assert talk.say(b'SETACTIVE ""\r\n') == 'OK "No script is active"\r\n'
    assert talk.say(b'DELETESCRIPT "c"\r\n') == 'OK "Deleted"\r\n'
    assert talk.say(b"LISTSCRIPTS\r\n") == '"b"\r\nOK "Done"\r\n'
    assert talk.say(b'GETSCRIPT "c"\r\n').startswith("NO (NONEXISTENT) ")


def test_a_broken_script_is_refused_with_all_its_errors_and_the_old_one_stays(talk):
    """RFC 5804 2.6."""
    talk.say(b'PUTSCRIPT "a" "keep;"\r\n')
    answer = talk.say(b'PUTSCRIPT "a" {19+}\r\nfoo;\r\nfileinto "x";\r\n')
    assert answer == (
        'NO {90}\r\nline 1, column 1: "foo" is no command\r\nline 2, column 1: fileinto needs require "fileinto"\r\n'
    )
    assert talk.say(b'CHECKSCRIPT "bar;"\r\n') == 'NO "line 1, column 1: \\"bar\\" is no command"\r\n'
    assert talk.say(b'GETSCRIPT "a"\r\n') == '{5}\r\nkeep;\r\nOK "Done"\r\n'


def test_quotas(talk):
    assert talk.say(b'HAVESPACE "a" 1001\r\n').startswith("NO (QUOTA/MAXSIZE) ")
    for name in b"abc":
        talk.say(b'PUTSCRIPT "%c" "keep;"\r\n' % name)
    assert talk.say(b'HAVESPACE "d" 1\r\n').startswith("NO (QUOTA/MAXSCRIPTS) ")
    assert talk.say(b'HAVESPACE "a" 1\r\n').startswith("OK")


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_a_literal_that_is_too_long_is_passed_over_and_the_session_goes_on(talk, piece):
    answer = talk.say(b'PUTSCRIPT "a" {2000+}\r\n' + b'"x\r\n' * 500 + b"\r\nNOOP\r\n", piece)
    assert answer == 'NO (QUOTA/MAXSIZE) "This is too long"\r\nOK "Done"\r\n'


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (b'NOOP "tag 1"\r\n', 'OK (TAG "tag 1") "Done"\r\n'),
        (b"noop\n", 'OK "Done"\r\n'),
        (b'"NOOP"\r\n', 'NO "This command is not known here"\r\n'),
        (b"GETSCRIPT\r\n", 'NO "The command has not the arguments that it needs"\r\n'),
        (b"GETSCRIPT a\r\n", 'NO "The command has an argument of the wrong kind"\r\n'),
        (b'GETSCRIPT "a/b"\r\n', 'NO "This cannot be the name of a script"\r\n'),
        (b'GETSCRIPT ".."\r\n', 'NO "This cannot be the name of a script"\r\n'),
        (b'GETSCRIPT "\xff"\r\n', 'NO "This cannot be the name of a script"\r\n'),
        (b'GETSCRIPT "a\r\n', 'NO "this is no command"\r\n'),
        (b'HAVESPACE "a" b\r\n', 'NO "This is no number"\r\n'),
        (b"\r\nLOGOUT\r\n", 'OK "Goodbye"\r\n'),
        (b"x" * 20_000, 'BYE "the command is too long"\r\n'),
    ],
)
def test_good_and_bad_commands(talk, said, answered):
    assert talk.say(said) == answered


def test_the_same_octets_bring_the_same_output_however_they_are_cut(tmp_path):
    said = b'NOOP "a"\r\nPUTSCRIPT "n" {12+}\r\nkeep;# {3+}\r\r\nLISTSCRIPTS\r\nFOO\r\nNOOP {3+}\r\nabc\r\n'
    whole, cut = Talk(tmp_path / "1"), Talk(tmp_path / "2")
    whole.log_in()
    cut.log_in()
    assert whole.say(said) == cut.say(said, 1)


def test_what_comes_in_during_a_job_waits_and_a_goodbye_comes_after_it(talk):
    talk.session.receive(b"LISTSCRIPTS\r\nNOOP\r\n", 0)
    assert talk.session.take_output() == b""
    talk.session.farewell("drained")
    talk.carry_out()
    assert talk.session.take_output().startswith(b'OK "Done"\r\nBYE (TRYLATER)')
    assert talk.session.is_over


def test_too_many_errors_end_the_session(talk):
    assert talk.say(b"FOO\r\n" * 60).endswith('BYE "too many errors"\r\n')
    assert talk.session.is_over


def test_a_client_that_wanted_another_port_is_told_and_counted(tmp_path):
    http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for said, protocol in ((http, "http"), (b"a1 CAPABILITY\r\n", "imap"), (b"USER a\r\n", "pop3")):
        talk = Talk(tmp_path)
        told = 'BYE "This is a ManageSieve port, for filter scripts. IMAP: port 993 with TLS"\r\n'
        assert talk.say(said) == told
        assert (talk.session.is_over, talk.session.report.mixup) == (True, protocol)
