"""Annotations of mailboxes and accounts (RFC 5464): what every store promises, and what the one on disk bounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relay.mailbox.interfaces import Store
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import MAX_ANNOTATIONS, Refusal, Refused
from tests.mailbox.twin import Disk, TwinStore


@pytest.fixture(params=["twin", "folders"])
def again(request, tmp_path) -> Callable[[], Store]:
    """Opens the same account, as another process would."""
    disk = Disk()
    return lambda: TwinStore(disk) if request.param == "twin" else FolderStore(tmp_path / "anna")


def refusal(attempt: Callable[[], object]) -> Refusal:
    with pytest.raises(Refused) as refused:
        attempt()
    return refused.value.why


def test_annotations_are_kept_for_others_all_or_none(again):
    """RFC 5464 4.3."""
    store, other = again(), again()
    store.annotate("", {"/shared/comment": b"of the account"})
    store.annotate("INBOX", {"/private/comment": b"a\0\r\nb", "/shared/comment": b""})
    store.annotate("INBOX", {"/shared/comment": None, "/private/x": b"x"})
    assert other.annotations("") == {"/shared/comment": b"of the account"}
    assert other.annotations("inbox") == {"/private/comment": b"a\0\r\nb", "/private/x": b"x"}
    many: dict[str, bytes | None] = {f"/private/{number}": b"x" for number in range(MAX_ANNOTATIONS - 1)}
    assert refusal(lambda: store.annotate("INBOX", {**many, "/private/x": b"another"})) is Refusal.LIMIT
    assert other.annotations("INBOX")["/private/x"] == b"x"
    assert refusal(lambda: store.annotate("Nowhere", {})) is Refusal.NONEXISTENT
    assert refusal(lambda: store.annotations("Nowhere")) is Refusal.NONEXISTENT


def test_annotations_go_where_their_mailbox_goes(again):
    """RFC 5464 4.1; of INBOX they are copied."""
    store = again()
    store.create("A")
    store.annotate("A", {"/shared/comment": b"a"})
    store.annotate("INBOX", {"/shared/comment": b"inbox"})
    store.rename("A", "B")
    store.rename("INBOX", "Old")
    assert store.annotations("B") == {"/shared/comment": b"a"}
    assert store.annotations("Old") == store.annotations("INBOX") == {"/shared/comment": b"inbox"}
    store.delete("B")
    store.create("B")
    assert store.annotations("B") == {}


def test_the_annotations_of_an_account_have_a_bound(tmp_path, monkeypatch):
    """However many mailboxes they are in; what is there may be made shorter, and removed."""
    monkeypatch.setattr("relay.mailbox.metadata.MAX_ACCOUNT", 1000)
    store = FolderStore(tmp_path / "anna")
    store.create("Box")
    store.annotate("", {"/shared/comment": b"x" * 300})
    store.annotate("Box", {"/shared/comment": b"x" * 300})
    assert refusal(lambda: store.annotate("INBOX", {"/shared/comment": b"x" * 300})) is Refusal.OVER_QUOTA
    assert store.annotations("INBOX") == {}
    store.annotate("Box", {"/shared/comment": None})
    store.annotate("INBOX", {"/shared/comment": b"x" * 300})
    assert store.annotations("INBOX") == {"/shared/comment": b"x" * 300}


def test_damaged_annotations_are_left_out(tmp_path):
    store = FolderStore(tmp_path / "anna")
    store.annotate("INBOX", {"/shared/comment": b"kept", "/shared/x": b"lost"})
    path = tmp_path / "anna" / "relay-annotations"
    path.write_bytes(path.read_bytes().replace(b"/shared/x bG", b"/shared/x b\xff"))
    assert store.annotations("INBOX") == {"/shared/comment": b"kept"}
