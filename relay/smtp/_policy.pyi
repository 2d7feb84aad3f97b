"""What policy is asked in a session, and what follows from its answer."""

from relay.policy.verdict import Verdict
from relay.smtp._spooling import SpoolingSession

class PolicySession(SpoolingSession):
    """Asks policy, and obeys it."""

    def policy_failed(self, fault: BaseException) -> Verdict:
        """The verdict for a policy that has failed: temporary, and an event in the log."""
