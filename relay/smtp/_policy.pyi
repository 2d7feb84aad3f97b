"""What policy is asked in a session, and what follows from its answer."""

from collections.abc import Awaitable

from relay.policy.verdict import Verdict
from relay.smtp._spooling import Handover

class Verdicts(Handover):
    """Asks policy, and obeys it."""

    @property
    def question(self) -> Awaitable[Verdict | None] | None:
        """An answer of policy that is waited for; tell it with Session.answered()."""

    def policy_failed(self, fault: BaseException) -> Verdict:
        """The verdict for a policy that has failed: temporary, and an event in the log."""
