"""The commands of a session: which may come when, what they ask of policy, what is replied (RFC 5321 4.1)."""

from collections.abc import Awaitable

from relay.policy.verdict import Verdict
from relay.smtp._handover import Handover

class Commands(Handover):
    """Obeys one command at a time; Session feeds it."""

    @property
    def question(self) -> Awaitable[Verdict | None] | None:
        """An answer of policy that is waited for; tell it with Session.answered()."""

    def policy_failed(self, fault: BaseException) -> Verdict:
        """The verdict for a policy that has failed: temporary, and an event in the log."""
