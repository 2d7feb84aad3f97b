"""A generator's run, whatever its protocol."""

from benchmarks.load._ledger import Ledger
from benchmarks.load._loop import Endpoint, Loop
from benchmarks.load._stream import Stream
from benchmarks.load.plan import GeneratePlan

class Client(Stream):
    """A session of a generator."""

class Drive(Endpoint):
    def __init__(self, loop: Loop, plan: GeneratePlan, ledger: Ledger | None) -> None: ...
    def start(self, clients: list[Client]) -> None:
        """The clients open their connections, or wait for their first message."""
    def stop(self, why: str = "signal") -> None:
        """No further message is begun; those under way may still finish. The second time, the run ends at once."""
    def totals(self) -> dict[str, object]:
        """The result so far, without what only the protocol knows."""
