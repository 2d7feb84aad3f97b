"""What comes in by APPEND, import or delivery is served octet for octet, and its size is that of what is served."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.mailbox import filename, maildir
from relay.mailbox.appending import HELD
from relay.mailbox.exporting import export_tar
from relay.mailbox.importing import import_maildir, import_tar
from relay.mailbox.maildir import Message, deliver
from relay.mailbox.restore import check, restore
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import How
from relay.pop3 import answers
from tests.mailbox.test_contract import put, read

SIGNS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\n", b"\0", b"a", b".", b"Subject: x\r\n", b"\xff"])
OCTETS = st.lists(SIGNS, max_size=12).map(b"".join)
CASES = [
    b"A: b\r\n\r\nx\r\r\n",
    b"A: b\n\nx\n",
    b"a\rb\r\n",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\r\n",
    b"a\0b\r\n",
    b"a\r\nb\nc\r\n",
]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    return tmp_path_factory.mktemp("octets") / "ann"


def served(view, index):
    """The octets, which every way of reading them must agree on."""
    with view.content(index) as content:
        octets = content.read(0, 1 << 30)
        assert content.size == len(octets)
        middle = len(octets) // 2
        assert content.read(middle, 7) == octets[middle : middle + 7]
    assert view.size(index) == view.sizes([index])[0] == len(octets)
    assert view.wholes([index])[0] in {octets, None}
    root = view.parts(index)[0]
    assert (root.header_start, root.end) == (0, len(octets))
    return octets


@given(st.lists(OCTETS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_is_appended_is_served(account, pieces):
    store = FolderStore(account)
    appending = store.begin_append("INBOX")
    appending.add()
    for piece in pieces:
        appending.write(piece)
    (uid,) = appending.commit().uids
    view = store.open("INBOX")
    assert served(view, view.index_of(uid)) == b"".join(pieces)
    again = FolderStore(account)
    again.mailbox("INBOX").rebuild()
    view = again.open("INBOX")
    assert served(view, view.index_of(uid)) == b"".join(pieces)


@given(OCTETS, OCTETS)
@settings(max_examples=40, deadline=None)
def test_a_long_message_whose_lines_are_odd_late_or_early_is_served(account, head, tail):
    """Longer than what is held: the file is there before it turns out that its lines cannot be LF."""
    filler = b"0123456789 0123456789\r\n" * (HELD // 20)
    store = FolderStore(account)
    appending = store.begin_append("INBOX")
    appending.add()
    whole = head + filler + tail + filler[:100] + tail
    for at in range(0, len(whole), 30_001):
        appending.write(whole[at : at + 30_001])
    (uid,) = appending.commit().uids
    view = store.open("INBOX")
    assert served(view, view.index_of(uid)) == whole
    assert os.listdir(account / "tmp") == []


@pytest.mark.parametrize("octets", CASES)
def test_it_stays_so_through_copies_flags_exports_and_restoring(tmp_path, octets):
    store = FolderStore(tmp_path / "ann")
    put(store, octets)
    store.create("Other")
    view = store.open("INBOX")
    view.copy([1], "Other")
    view.store_flags([1], How.ADD, ["\\Flagged"])
    view.refresh()
    assert served(view, 0) == octets
    assert served(store.open("Other"), 0) == octets
    (path,) = (tmp_path / "ann" / "cur").iterdir()
    path.rename(path.with_name(filename.split(path.name)[0] + ":2,FS"))  # as Dovecot and mutt do
    view = FolderStore(tmp_path / "ann").open("INBOX")
    assert served(view, 0) == octets
    out = io.BytesIO()
    export_tar(view, out, "INBOX")
    out.seek(0)
    other = FolderStore(tmp_path / "bob")
    assert [each.trouble for each in import_tar(other, "INBOX", out)] == [""]
    assert [each.trouble for each in import_maildir(other, "INBOX", tmp_path / "ann")] == [""]
    taken = other.open("INBOX")
    assert [served(taken, 0), served(taken, 1)] == [octets, octets]
    view.expunge([1], deleted_only=False)
    restore(store, 0)
    view = FolderStore(tmp_path / "ann").open("INBOX")
    assert served(view, 0) == octets
    assert not any(finding.is_damage for finding in check(store, deep=True))


@pytest.mark.parametrize("octets", CASES)
def test_what_is_delivered_is_served(tmp_path, monkeypatch, octets):
    monkeypatch.setattr(maildir, "PIECE", 2)
    (tmp_path / "content").write_bytes(octets)
    deliver([Message(tmp_path / "ann", (b"X: y\r\n", octets))])
    deliver([Message(tmp_path / "ann", (b"X: y\r\n",), str(tmp_path / "content"), len(octets))])
    view = FolderStore(tmp_path / "ann").open("INBOX")
    assert [served(view, 0), served(view, 1)] == [b"X: y\r\n" + octets] * 2


@pytest.mark.parametrize("lines", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ["1.a.host", "1.a.host,S={size}", "1.a.host,S={size},W={sent}"])
def test_what_other_programs_deliver_is_served_with_crlf(tmp_path, lines, name):
    octets = b"Subject: x%b%btext%b" % (lines, lines, lines)
    sent = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    FolderStore(tmp_path / "ann")
    (tmp_path / "ann" / "new" / name.format(size=len(octets), sent=len(sent))).write_bytes(octets)
    assert served(FolderStore(tmp_path / "ann").open("INBOX"), 0) == sent


def test_ordinary_messages_have_lf_lines_on_disk(tmp_path):
    """What every program that reads Maildirs expects."""
    store = FolderStore(tmp_path / "ann")
    put(store, b"Subject: x\r\n\r\na\rb\r\n")
    (path,) = (tmp_path / "ann" / "cur").iterdir()
    assert path.read_bytes() == b"Subject: x\n\na\rb\n"
    assert read(store.open("INBOX"), 0) == b"Subject: x\r\n\r\na\rb\r\n"


@pytest.mark.parametrize("octets", CASES)
def test_retr_brings_what_list_counts(tmp_path, octets):
    """RFC 1939 3: the answer's own end, and the dots that are doubled, are not counted."""
    store = FolderStore(tmp_path / "ann")
    put(store, octets)
    view = store.open("INBOX")
    said = b"".join(answers.whole(b"", view.content(0)))
    assert said == b"".join(answers.complete(b"", octets))
    sent = said.removesuffix(b".\r\n").replace(b"\n..", b"\n.")
    assert sent[: view.size(0)] == octets
    assert sent[view.size(0) :] == (b"" if octets.endswith(b"\r\n") else b"\r\n")
