"""What an account starts with."""

import pytest

from relay.config.mailbox import MailboxSettings
from relay.mailbox.defaults import KNOWN_AS, Default, provide, read_defaults
from relay.mailbox.limits import Limits
from relay.mailbox.maildir import make_maildir
from relay.mailbox.store import FolderStore

WANTED = read_defaults(MailboxSettings().defaults)


def told(store: FolderStore) -> dict[str, tuple[bool, tuple[str, ...]]]:
    return {each.name: (each.subscribed, tuple(each.special_use)) for each in store.list() if each.exists}


def test_a_new_account_has_a_mailbox_for_each_use(tmp_path):
    store = FolderStore(tmp_path / "ann")
    assert provide(store, WANTED)
    assert told(store) == {
        "INBOX": (True, ()),
        "Archive": (True, ("\\Archive",)),
        "Drafts": (True, ("\\Drafts",)),
        "Junk": (True, ("\\Junk",)),
        "Sent": (True, ("\\Sent",)),
        "Trash": (True, ("\\Trash",)),
    }


def test_what_its_owner_removes_and_renames_stays_so(tmp_path):
    store = FolderStore(tmp_path / "ann")
    provide(store, WANTED)
    store.delete("Archive")
    store.rename("Sent", "Gone out")
    store.unsubscribe("INBOX")
    again = FolderStore(tmp_path / "ann")
    assert not provide(again, WANTED)
    assert told(again) == told(store)
    assert "Archive" not in told(again)
    assert told(again)["Gone out"] == (False, ("\\Sent",))


@pytest.mark.parametrize(("use", "name"), [(use, name) for use, names in KNOWN_AS.items() for name in names])
@pytest.mark.parametrize("below", ["", "INBOX/"])
def test_a_mailbox_that_was_taken_over_gets_its_use(tmp_path, use, name, below):
    """As another server's Maildir++ folder, which says nothing of uses."""
    store = FolderStore(tmp_path / "ann")
    name = below + name.title()
    make_maildir(store.folder_of(name))
    provide(store, WANTED)
    found = {uses: each for each, (_, uses) in told(store).items() if uses}
    assert found[use,] == name
    assert len(told(store)) == 6, "no second one beside it"


def test_the_wanted_name_comes_before_others_and_a_use_that_is_given_stays(tmp_path):
    store = FolderStore(tmp_path / "ann")
    for name in ("Sent Items", "Sent", "Spam"):
        store.create(name)
    store.create("Bin", ["\\Trash"])
    provide(store, WANTED)
    uses = {name: uses for name, (_, uses) in told(store).items() if uses}
    assert uses["Sent"] == ("\\Sent",)
    assert uses["Spam"] == ("\\Junk",)
    assert uses["Bin"] == ("\\Trash",)
    assert "Trash" not in uses
    assert "Sent Items" not in uses


def test_who_has_chosen_what_to_subscribe_to_is_not_subscribed_to_more_than_what_is_new(tmp_path):
    store = FolderStore(tmp_path / "ann")
    store.create("Work")
    store.create("Sent")
    store.subscribe("Work")
    provide(store, WANTED)
    assert {name for name, (is_subscribed, _) in told(store).items() if is_subscribed} == {
        "Work", "Archive", "Drafts", "Junk", "Trash"
    }  # fmt: skip


def test_what_cannot_be_made_does_not_stop_the_rest(tmp_path):
    store = FolderStore(tmp_path / "ann", Limits(mailboxes=3))
    assert provide(store, (Default("a//b", ""), *WANTED))
    assert list(told(store)) == ["INBOX", "Drafts", "Sent"]


def test_two_sessions_at_once_make_them_once(tmp_path, monkeypatch):
    one, other = FolderStore(tmp_path / "ann"), FolderStore(tmp_path / "ann")
    before = one.root.notes()
    provide(other, WANTED)
    seen = [before]  # this one looked before the other one began
    monkeypatch.setattr(one.root, "notes", lambda: seen.pop() if seen else other.root.notes())
    provide(one, WANTED)
    assert told(other) == told(FolderStore(tmp_path / "ann"))
    assert len(told(other)) == 6


def test_without_any_nothing_is_made_and_nothing_noted(tmp_path):
    store = FolderStore(tmp_path / "ann")
    assert not provide(store, ())
    assert list(told(store)) == ["INBOX"]
    assert provide(store, read_defaults(["Lists", "My Sent \\Sent"]))
    assert told(store)["Lists"] == (True, ())
    assert told(store)["My Sent"] == (True, ("\\Sent",))
