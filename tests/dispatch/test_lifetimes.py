"""Messages that wait: the one delay notice, the end of the lifetime, and nobody told about a DSN."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from relay.config.queue import QueueSettings
from relay.mail.outcome import Outcome, deferred
from relay.queue.entry import ACTIVE, READY
from tests.dispatch.world import DAY, HOUR, MINUTE, World, put_off, refused


def away(recipient: str) -> Outcome | None:
    return None if recipient.startswith("alice") else put_off("away")


def nobody(recipient: str) -> Outcome | None:
    return None if recipient.startswith("ok") else refused()


def action(report: EmailMessage) -> str:
    """RFC 3464 2.3.3."""
    (status,) = [part for part in report.walk() if part.get_content_type() == "message/delivery-status"]
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    of_message, of_recipient, *_ = blocks
    assert "Action" not in of_message
    assert isinstance(of_recipient, EmailMessage)
    return str(of_recipient["Action"])


async def test_a_message_that_expires_gives_one_delay_notice_and_one_bounce(tmp_path: Path) -> None:
    """RFC 5321 4.5.4.1, RFC 3461 5.2.7; the message's own retries go on in between, further and further apart."""
    async with World(tmp_path) as world:
        world.hop.answer = away
        queue_id = await world.submit(b"b@relay.test", b"c@relay.test")
        await world.until(lambda: world.outcomes("b@relay.test") == ["deferred"], "tried")
        for _ in range(5 * 24 * 2 + 1):  # deadlines are whole seconds, rounded up
            await world.pass_time(HOUR / 2)
            await world.until(lambda: not any(each.state in (READY, ACTIVE) for each in world.entries()), "tried")
        await world.until(lambda: len(world.reports()) == 2, "both reports")
        await world.idle()
        late, end = sorted(world.reports(), key=lambda each: action(each) != "delayed")
        assert (action(late), action(end)) == ("delayed", "failed")
        for report in (late, end):
            assert report["To"] == "alice@local.test"
            assert "450 4.2.0 away" in report.as_string()
            assert "Final-Recipient: rfc822;c@relay.test" in report.as_string().replace("; ", ";")
        outcomes = world.outcomes("b@relay.test")
        assert outcomes[-1] == "expired"
        assert 20 < outcomes.count("deferred") < 60, "every four hours or so, for five days"
        assert world.metric("relay_dsn_messages_total", "delay") == 1
        assert world.metric("relay_dsn_messages_total", "bounce") == 1
        assert world.metric("relay_delivery_recipients_total", "expired") == 2
        assert {line["queue_id"] for line in world.deliveries("c@relay.test")} == {queue_id}


async def test_the_delay_notice_is_sent_once_also_over_a_crash(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.hop.answer = away
        await world.submit(b"b@relay.test")
        await world.until(lambda: world.outcomes("b@relay.test"), "tried")
        await world.pass_time(4 * HOUR + MINUTE)
        await world.until(world.reports, "the delay notice")
        await world.until(lambda: len(world.entries()) == 1, "delivered")
        await world.written()
        assert world.metric("relay_dsn_messages_total", "delay") == 1
        await world.crash()
        await world.start()
        tried = len(world.deliveries("b@relay.test"))
        await world.in_time(lambda: len(world.deliveries("b@relay.test")) > tried + 3, 5 * HOUR, "a few more attempts")
        assert len(world.reports()) == 1
        assert world.metric("relay_dsn_messages_total", "delay") == 0, "none since the restart"


async def test_a_dead_next_hop_counts_towards_the_lifetime(tmp_path: Path) -> None:
    """No connection is no attempt, but time passes all the same."""
    async with World(tmp_path, queue=QueueSettings(delay_notice_after=0.0)) as world:
        world.hop.away = deferred("4.4.1", "cannot connect: Connection refused", "connect")
        await world.submit(b"b@relay.test")
        await world.until(lambda: world.events("no connection"), "tried")
        assert not world.entries()[0].attempts
        await world.pass_time(5 * DAY + HOUR)
        await world.until(world.reports, "the bounce")
        (report,) = world.reports()
        assert action(report) == "failed"
        assert "Connection refused" in report.as_string()


async def test_nobody_is_told_what_became_of_a_dsn(tmp_path: Path) -> None:
    """RFC 5321 4.5.5: a bounce that bounces is the end of it."""
    async with World(tmp_path) as world:
        world.hop.answer = nobody
        await world.submit(b"b@relay.test", sender=b"a@relay.test")
        await world.until(lambda: world.deliveries("a@relay.test"), "the bounce was tried")
        await world.idle()
        assert world.outcomes("a@relay.test") == ["failed"]
        assert world.metric("relay_dsn_messages_total", "bounce") == 1
        assert world.metric("relay_dsn_suppressed_total") == 1


@pytest.mark.parametrize("content", ["headers", "full"])
async def test_a_bounce_returns_the_header_section_or_everything(tmp_path: Path, content: str) -> None:
    """RFC 3462 2: `bounce_content`."""
    async with World(tmp_path, queue=QueueSettings(bounce_content=content)) as world:
        world.hop.answer = nobody
        await world.submit(b"b@relay.test")
        await world.until(world.stored, "the bounce")
        (bounce,) = world.stored()
        assert b"X-Kept: yes" in bounce
        assert (b"X-Kept: yes\n\nthe body\n" in bounce) == (content == "full")


@pytest.mark.parametrize("ending", ["running", "drained", "killed"])
async def test_recipients_that_fail_in_several_groups_within_a_moment_share_one_bounce(
    tmp_path: Path, ending: str
) -> None:
    """Whether it is let run, drained or killed in that moment."""
    async with World(tmp_path) as world:
        world.hops["hop.test"].answer = world.hops["other.test"].answer = nobody
        await world.submit(b"a@relay.test", b"b@other.test", b"ok@other.test")
        await world.until(lambda: world.deliveries("a@relay.test") and world.deliveries("b@other.test"), "both refused")
        assert not world.reports()
        if ending == "drained":
            await world.stop()
        if ending == "killed":
            await world.crash()
        if ending != "running":
            await world.start()
        await world.until(world.reports, "the bounce")
        await world.idle()
        (report,) = world.reports()
        text = report.as_string()
        assert "Final-Recipient: rfc822; a@relay.test" in text
        assert "Final-Recipient: rfc822; b@other.test" in text
        assert "Final-Recipient: rfc822; ok@other.test" not in text
