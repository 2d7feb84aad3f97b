"""Which account a recipient is, asked at delivery.

RCPT has asked the same directory when the message was accepted, and put into the envelope what an address stands for.
What has changed since, and mail that is made here (DSNs, redirects), is decided here.
"""

from __future__ import annotations

from relay.directory.directory import Directory
from relay.directory.resolution import AtAccount, Becomes, NotKnownNow, Resolution
from relay.mail.outcome import Outcome, deferred, failed


async def account_of(directory: Directory, recipient: bytes) -> bytes | Outcome:
    """The account into whose mailbox mail for ``recipient`` goes, or the outcome when there is none."""
    found = await _resolved(directory, recipient)
    if isinstance(found, Becomes) and len(found.addresses) == 1:  # postmaster
        found = await _resolved(directory, found.addresses[0])
    match found:
        case AtAccount():
            return found.account
        case NotKnownNow():
            return deferred(found.reply.status, found.reply.text, "store")
        case Becomes():  # only RCPT can put several into the envelope
            return deferred("4.3.5", "the address has come to stand for others", "store")
    return failed("5.1.1", "no such mailbox here", "store", code=550)


async def _resolved(directory: Directory, address: bytes) -> Resolution:
    answer = directory.resolve(address)
    return answer if isinstance(answer, Resolution) else await answer
