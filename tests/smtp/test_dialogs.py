"""Every dialog script, in memory however it is cut, and over a real socket with the real spool."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop

from relay.smtp import read_clocks
from relay.spool import LogReader, LogWriter, Tail, lock_data_dir
from tests.smtp.dialogs import Dialog, load_all, matches
from tests.smtp.serving import serving
from tests.smtp.stand import Peer, Stand
from tests.support.explained import bare
from tests.support.waiting import reached

DIALOGS = load_all()
every_dialog = pytest.mark.parametrize("dialog", DIALOGS, ids=lambda dialog: dialog.name)


def stand_for(dialog: Dialog, **more: Any) -> Stand:
    return Stand(kind=dialog.kind, **{**dialog.settings, **more})


def connect(stand: Stand, dialog: Dialog) -> tuple[Peer, str]:
    peer = stand.connect()
    return peer, peer.greeting.decode()


@every_dialog
def test_each_turn_brings_its_replies(dialog: Dialog) -> None:
    stand = stand_for(dialog)
    peer, greeting = connect(stand, dialog)
    for number, (octets, expected) in enumerate(dialog.turns):
        said = (greeting if number == 0 else "") + peer.send(octets).decode()
        assert matches(said.splitlines(), expected), f"{octets!r} brought {said!r}, not {expected}"
    assert peer.session.is_over == dialog.is_closed
    if dialog.stored is not None:
        assert len(stand.spool.records) == dialog.stored


@every_dialog
def test_all_in_one_buffer_brings_the_same(dialog: Dialog) -> None:
    stand = stand_for(dialog, early_talk="everybody")
    peer, greeting = connect(stand, dialog)
    assert matches((greeting + peer.send(dialog.sent).decode()).splitlines(), dialog.said)


@every_dialog
def test_cut_in_two_at_every_octet_brings_the_same(dialog: Dialog) -> None:
    for cut in range(1, len(dialog.sent)):
        stand = stand_for(dialog, early_talk="everybody")
        peer, said = connect(stand, dialog)
        said += (peer.send(dialog.sent[:cut]) + peer.send(dialog.sent[cut:])).decode()
        assert matches(said.splitlines(), dialog.said), f"cut at {cut}: {said}"


@every_dialog
def test_one_octet_at_a_time_brings_the_same(dialog: Dialog) -> None:
    stand = stand_for(dialog)
    peer, said = connect(stand, dialog)
    for at in range(len(dialog.sent)):
        said += peer.send(dialog.sent[at : at + 1]).decode()
    assert matches(said.splitlines(), dialog.said)
    assert stand.context.buffered <= 1 or not peer.session.is_over


@every_dialog
def test_nothing_is_held_when_the_peer_has_gone(dialog: Dialog) -> None:
    for cut in range(0, len(dialog.sent), 7):
        stand = stand_for(dialog)
        peer, _ = connect(stand, dialog)
        peer.send(dialog.sent[:cut])
        peer.session.lost()
        assert stand.context.buffered == 0
        assert stand.context.open_sessions == 0
        assert len(stand.wheel) == 0
        assert stand.count("relay_smtp_sessions_open", dialog.kind) == 0


class SpoolValues:
    """A small spool that does not mind a full disk."""

    segment_size = 1 << 20
    spare_segments = 0
    min_free_bytes = 0
    min_free_inodes = 0


# ---- over a socket --------------------------------------------------------------------------------------------------


async def read_lines(reader: asyncio.StreamReader, count: int) -> list[str]:
    return [bare(await asyncio.wait_for(reader.readline(), 10)).decode().rstrip("\r\n") for _ in range(count)]


@every_dialog
def test_over_a_socket_with_the_real_spool(dialog: Dialog, tmp_path: Path) -> None:
    uvloop.run(run_over_a_socket(dialog, tmp_path))


async def run_over_a_socket(dialog: Dialog, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    lock = lock_data_dir(tmp_path)
    spool = LogWriter(lock.spool_dir, SpoolValues(), loop, lambda *_: None)
    stand = stand_for(dialog, spool=spool)
    stand.wheel.expire(time.monotonic())
    stand.context.tick(*read_clocks())
    with serving(stand.service) as address:
        reader, writer = await asyncio.open_connection(*address)
        for octets, expected in dialog.turns:
            with contextlib.suppress(ConnectionError):
                writer.write(octets)
                await writer.drain()
            lines = await read_lines(reader, len(expected))
            assert matches(lines, expected), f"{octets!r} brought {lines}, not {expected}"
        if dialog.is_closed:
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await reached(lambda: not stand.context.open_sessions)
    await spool.close()
    if dialog.stored is not None:
        damage: list[object] = []
        with contextlib.closing(Tail(lock.spool_dir, spool.number, damage.append)) as tail:
            records = [record for batch in tail.rest() for record in batch]
        assert len(records) == dialog.stored
        assert not damage
        with contextlib.closing(LogReader(lock.spool_dir)) as log:
            for record in records:
                content = bytes(log.load(record.log, record.segment, record.offset).content)
                assert content.startswith(b"Received: from client.example ([127.0.0.1])\r\n")
                assert len(content) == record.envelope.size
    lock.close()
