"""What a store keeps in memory."""

import gc
import weakref

from relay.mailbox.store import FolderStore, Stores


def test_the_mailbox_that_was_used_last_stays_and_no_other(tmp_path):
    """Reading its log for each APPEND cost more than the message."""
    store = FolderStore(tmp_path / "anna")
    store.create("Sent")
    sent = weakref.ref(store.mailbox("Sent"))
    gc.collect()
    assert sent() is store.mailbox("Sent")
    store.open("INBOX").close()
    gc.collect()
    assert sent() is None


def test_a_store_that_nobody_uses_holds_nothing(tmp_path):
    stores = Stores()
    store = stores.of(tmp_path / "anna")
    inbox = weakref.ref(store.mailbox("INBOX"))
    del store
    gc.collect()
    assert inbox() is None
