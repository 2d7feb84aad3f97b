"""Policy: one question per stage of a session, answered with a value or, when it must wait, an awaitable.

- ``verdict``  what can be answered, and what a policy may know of the session
- ``policy``   who may send where, from tables in memory
"""

from relay.policy.policy import Policy
from relay.policy.verdict import ANNOTATE, DEFER, REJECT, Answer, SessionView, Verdict, defer, reject

__all__ = [
    "ANNOTATE",
    "DEFER",
    "REJECT",
    "Answer",
    "Policy",
    "SessionView",
    "Verdict",
    "defer",
    "reject",
]
