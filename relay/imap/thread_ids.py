"""THREADID (RFC 8474 5.2): the same for the messages of one conversation, in all mailboxes of all accounts.

Theory: it is worked out of the message alone, so it never changes, costs no index, and is the same wherever a copy is:
the name of the message that began the conversation, which is the first in References, else in In-Reply-To, else the
message's own. A message that names itself nowhere is a conversation of its own. What that does not join: a reply to a
reply that has only In-Reply-To, and what THREAD (threads.py) joins by subject.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from relay.mailbox.interfaces import View

_ID: Final = re.compile(rb"<([^<>\s]+)>")
_FIELDS: Final = ("references", "in-reply-to", "message-id")
_SIZE: Final = 12


def thread_id(view: View, index: int) -> str:
    """Of a message. Refused EXPUNGED when it is gone."""
    fields = view.parts(index)[0].fields
    found = (_ID.search(fields.get(name, b"")) for name in _FIELDS)
    first = next((each[1] for each in found if each), b"\0" + view.email_id(index).encode())
    return "T" + blake2b(first, digest_size=_SIZE).hexdigest()
