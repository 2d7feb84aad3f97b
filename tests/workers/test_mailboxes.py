"""Which mailboxes there are, for a delivery worker."""

import argon2

from relay.auth import AccountFile
from relay.workers.mailboxes import Mailboxes

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Sink:
    def event(self, level, event, /, **fields):
        raise AssertionError(event)


def test_an_account_that_was_made_a_moment_ago_is_there(tmp_path):
    """Or mail that an smtp worker has accepted for it would bounce."""
    mailboxes = Mailboxes(AccountFile(tmp_path / "accounts", QUICK, 4096), Sink())  # type: ignore[arg-type]
    assert b"a@local.test" not in mailboxes
    AccountFile(tmp_path / "accounts", QUICK, 4096).add("a@local.test", "x")
    assert b"a@local.test" in mailboxes
    assert b"b@local.test" not in mailboxes
    assert b"postmaster@local.test" not in mailboxes
    assert mailboxes.first() == b"a@local.test"
