"""Mailbox names are in Normalization Form C (RFC 5198 2), and what other programs wrote otherwise stays in reach."""

import unicodedata

import pytest

from relay.mailbox import names
from relay.mailbox.maildir import make_maildir
from relay.mailbox.store import FolderStore
from relay.mailbox.vocabulary import Refused

NFC = "Entw\u00fcrfe"
NFD = unicodedata.normalize("NFD", NFC)


def folder_of(name):
    """As another program may have written it."""
    return "".join("." + names.encode_utf7(level) for level in name.split("/"))


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "anna")


def listed(store):
    return [each.name for each in store.list() if each.exists]


def test_both_forms_are_one_mailbox(store):
    store.create(NFD)
    assert listed(store) == ["INBOX", NFC]
    with pytest.raises(Refused):
        store.create(NFC)
    assert store.open(NFD).name == NFC
    store.subscribe(NFD)
    assert [each.subscribed for each in store.list()] == [False, True]
    store.rename(NFC, f"x/{NFD}")
    assert listed(store) == ["INBOX", f"x/{NFC}"]
    store.delete(f"x/{NFD}")
    assert listed(store) == ["INBOX"]


@pytest.mark.parametrize("name", [NFC, NFD])
@pytest.mark.parametrize("has_listed", [True, False])
def test_a_folder_in_another_form_is_reached(store, tmp_path, name, has_listed):
    make_maildir(tmp_path / "anna" / folder_of(NFD))
    (tmp_path / "anna" / folder_of(NFD) / "cur" / "1.host:2,").write_bytes(b"Subject: x\n\n")
    if has_listed:
        assert listed(store) == ["INBOX", NFC]
    assert len(store.open(name)) == 1
    assert listed(store) == ["INBOX", NFC]
    assert (tmp_path / "anna" / folder_of(NFC)).is_dir()


def test_two_folders_of_one_name_stay_two_mailboxes(store, tmp_path):
    store.create(NFC)
    make_maildir(tmp_path / "anna" / folder_of(NFD))
    (tmp_path / "anna" / folder_of(NFD) / "cur" / "1.host:2,").write_bytes(b"Subject: x\n\n")
    assert listed(store) == ["INBOX", NFC, f"{NFC} (2)"]
    assert [len(store.open(name)) for name in (NFC, f"{NFC} (2)")] == [0, 1]


def test_levels_each_have_their_form(store, tmp_path):
    make_maildir(tmp_path / "anna" / folder_of(f"{NFC}/{NFD}"))
    assert listed(store) == ["INBOX", f"{NFC}/{NFC}"]


def test_a_special_use_goes_where_its_folder_goes(store, tmp_path):
    make_maildir(tmp_path / "anna" / folder_of(NFD))
    store.root.set_special_uses(lambda table: table.update({folder_of(NFD): ("\\Drafts",)}))
    assert [each.special_use for each in store.list()] == [(), ("\\Drafts",)]


@pytest.mark.parametrize("folder", [".INBOX", ".inbox", "..", ".", ".a..b", ".&AGE-", ".&AOQ", "x"])
def test_what_is_no_mailbox_is_none(store, tmp_path, folder):
    (tmp_path / "anna" / folder / "cur").mkdir(parents=True, exist_ok=True)
    assert names.name_of(folder) is None
    assert listed(store) == ["INBOX"]


def test_a_name_without_end_is_not_normalised():
    with pytest.raises(Refused):
        names.checked("\u0316\u0301" * 1_000_000)
