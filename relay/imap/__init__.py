"""Mailboxes are read with IMAP (RFC 9051, RFC 3501): the server's side as a pure machine.

The parts, each on top of the ones before:

- ``faults``, ``endings``           how a command ends
- ``_tokens``, ``grammar``          the words of a command
- ``responses``                     the words of an answer
- ``events``, ``notices``           what a client is told without asking
- ``state``                         what a session has: the account's store, the open mailbox
- ``sections``, ``structure`` (``parameters``), ``decoding``, ``thread_ids``   what is in a message
- ``poison``                        messages that could not be made sense of
- ``account``, ``metadata``, ``listing``, ``selecting``, ``fetch`` (``columns``, ``runs``, ``_rows``), ``flags``,
  ``search`` (``search_keys``, ``returning``, ``progress``, ``ordering``, ``threads``, ``forest``), ``append``
  (``urls``), ``login``, ``compress``, ``idle``, ``notify``   the commands
- ``commands``                      their table, and what is announced
- ``reader``, ``intake``            from octets to whole commands
- ``running``                       a command that is carried out
- ``speaker``                       what a session says
- ``session``                       the machine
"""

from relay.imap.poison import Poison
from relay.imap.session import Session
from relay.imap.state import State

__all__ = ["Poison", "Session", "State"]
