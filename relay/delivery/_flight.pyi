"""Types of the compiled module; see _flight.pyx."""

from typing_extensions import disjoint_base

from relay.delivery._transactions import Transactions

@disjoint_base
class Flight(Transactions):
    """The part of a session that has several whole transactions with the peer."""
