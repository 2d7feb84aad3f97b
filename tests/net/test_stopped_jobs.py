"""What the machines of readers' protocols say when a job is stopped, or does not come back."""

from __future__ import annotations

from typing import Any

import pytest

from relay.net.stopping import DEADLINE, JobStopped, Mark, enter
from relay.readers.machine import Job
from tests.imap import stand as imap_stand
from tests.managesieve.test_session import Talk
from tests.pop3 import stand as pop3_stand

STOPPED = JobStopped(DEADLINE)


def begun(session: Any, octets: bytes) -> Job:
    """The job that a command makes."""
    session.receive(octets, 0)
    assert session.take_output() in (b"", b"+ Go on\r\n")
    job = session.take_job()
    assert job is not None
    return job  # type: ignore[no-any-return]


@pytest.fixture
def imap() -> imap_stand.Peer:
    world = imap_stand.World(append_limit=1_000_000)
    peer = imap_stand.Peer(world.session())
    peer.login()
    peer.send(b"p APPEND INBOX {14+}\r\nSubject: x\r\n\r\n\r\np SELECT INBOX\r\n")
    return peer


@pytest.fixture
def pop3() -> pop3_stand.Peer:
    world = pop3_stand.World()
    world.fill(b"Subject: x\r\n\r\n" + b"y" * 200_000 + b"\r\n", b"Subject: z\r\n\r\n")
    return world.connect().login()


def given_up(session: Any) -> bytes:
    session.given_up()
    assert session.is_over
    session.receive(b"a NOOP\r\nNOOP\r\n", 0)
    assert session.take_job() is None, "nothing else begins"
    said: bytes = session.take_output()
    return said


@pytest.mark.parametrize(
    "command", [b"FETCH 1 ENVELOPE", b"SEARCH SUBJECT x", b"SORT (SUBJECT) UTF-8 ALL", b"THREAD REFERENCES UTF-8 ALL",
                b"FETCH 1 BODYSTRUCTURE"]
)  # fmt: skip
def test_imap_says_no_when_a_command_is_stopped_and_goes_on(imap, command):
    """RFC 5530 3: LIMIT. The loops over messages look whether they are to stop."""
    job = begun(imap.session, b"a " + command + b"\r\n")
    mark = Mark()
    mark.cause = DEADLINE
    enter(mark)
    try:
        made = job.run()  # type: ignore[union-attr]
    finally:
        enter(Mark())
    imap.session.job_done(made, None, 0)
    assert imap.flush() == b"a NO [LIMIT] This takes longer than it may, and was stopped\r\n"
    assert imap.send(b"b NOOP\r\n").endswith(b"b OK NOOP done\r\n")


def test_imap_says_no_when_no_thread_was_free_and_goes_on(imap):
    begun(imap.session, b"a SEARCH ALL\r\n")
    imap.session.job_done(None, STOPPED, 0)
    assert imap.flush() == b"a NO [UNAVAILABLE] Too much is going on, try again later\r\n"
    assert imap.send(b"b SEARCH ALL\r\n") == b"* SEARCH 1\r\nb OK SEARCH done\r\n"


def test_imap_says_no_to_a_login_whose_mailbox_cannot_be_opened_in_time():
    peer = imap_stand.Peer(imap_stand.World().session())
    begun(peer.session, b"l LOGIN anna secret\r\n")
    peer.session.job_done(None, STOPPED, 0)
    assert peer.flush().startswith(b"l NO [UNAVAILABLE] ")
    job = begun(peer.session, b"m LOGIN anna secret\r\n")
    peer.session.job_done(imap_stand.finished(job.ask()), None, 0)  # type: ignore[union-attr]
    assert peer.session.take_job() is not None
    peer.session.job_done(None, STOPPED, 0)
    assert peer.flush().startswith(b"m NO [UNAVAILABLE] ")
    assert peer.session.report.account == ""
    assert peer.send(b"n SELECT INBOX\r\n").startswith(b"n BAD ")
    assert b"o OK " in peer.send(b"o LOGIN anna secret\r\n")


def test_imap_says_no_and_goodbye_when_a_command_does_not_come_back(imap):
    begun(imap.session, b"a FETCH 1 ENVELOPE\r\n")
    assert given_up(imap.session) == (
        b"a NO [UNAVAILABLE] This does not come to an end now\r\n* BYE This session cannot go on, come again\r\n"
    )


def test_imap_does_not_speak_in_the_middle_of_a_response(imap):
    """What follows would be taken for the content of a literal."""
    imap.send(b"p APPEND INBOX {300014+}\r\nSubject: x\r\n\r\n" + b"y" * 300_000 + b"\r\np NOOP\r\n")
    session = imap.session
    session.receive(b"a FETCH 2 BODY[]\r\n", 0)
    imap.carry_out(session.take_job())
    assert not session.take_output().endswith(b"\r\n")
    assert session.take_job() is not None
    assert given_up(session) == b""


def test_imap_ends_the_session_when_an_append_is_stopped(imap):
    """The rest of its literal is on its way, and half of it is written."""
    begun(imap.session, b"a APPEND INBOX {10+}\r\n")
    imap.session.job_done(None, STOPPED, 0)
    assert imap.flush().startswith(b"a NO [UNAVAILABLE] ")
    assert imap.session.is_over


def test_pop3_says_sys_temp_when_a_command_is_stopped(pop3):
    """RFC 3206 4."""
    for command in (b"RETR 1\r\n", b"UIDL 1\r\n", b"TOP 1 0\r\n", b"UIDL 1\r\n"):
        begun(pop3.session, command)
        pop3.session.job_done(None, STOPPED, 0)
        assert pop3.session.take_output().startswith(b"-ERR [SYS/TEMP] ")
    assert pop3.say("NOOP") == ["+OK"]


def test_pop3_does_not_open_a_maildrop_that_takes_too_long():
    peer = pop3_stand.World().connect()
    peer.session.receive(f"USER {pop3_stand.ACCOUNT}\r\nPASS secret\r\n".encode(), 0)
    job = peer.session.take_job()
    peer.session.job_done(imap_stand.finished(job.ask()), None, 0)  # type: ignore[union-attr]
    peer.session.take_output()
    assert peer.session.take_job() is not None
    peer.session.job_done(None, STOPPED, 0)
    assert peer.session.take_output().startswith(b"-ERR [SYS/TEMP] ")
    assert peer.session.release() is None


def test_pop3_says_sys_temp_and_ends_when_a_command_does_not_come_back(pop3):
    begun(pop3.session, b"RETR 1\r\n")
    assert given_up(pop3.session).startswith(b"-ERR [SYS/TEMP] ")


def test_pop3_does_not_speak_in_the_middle_of_an_answer(pop3):
    job = begun(pop3.session, b"RETR 1\r\n")
    pop3.session.job_done(job.run(), None, 0)  # type: ignore[union-attr]
    assert pop3.session.take_output().startswith(b"+OK")
    assert pop3.session.take_job() is not None
    assert given_up(pop3.session) == b""


def test_managesieve_says_trylater(tmp_path):
    """RFC 5804 1.3."""
    talk = Talk(tmp_path)
    talk.log_in()
    begun(talk.session, b"LISTSCRIPTS\r\n")
    talk.session.job_done(None, STOPPED, 0)
    assert talk.session.take_output().startswith(b"NO (TRYLATER) ")
    begun(talk.session, b"LISTSCRIPTS\r\n")
    assert given_up(talk.session).startswith(b"NO (TRYLATER) ")
