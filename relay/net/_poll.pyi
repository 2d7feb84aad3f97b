"""An epoll of our own inside the loop's: many descriptors, and one callback of the loop for all that are ready."""

class Poll:
    """Belongs to the loop's thread. Add it to the loop: ``loop.add_reader(poll.fileno, poll.turn)``."""

    def __init__(self) -> None: ...
    @property
    def fileno(self) -> int:
        """The epoll's own descriptor, readable when anything that it watches is ready; -1 once it is closed."""

    @property
    def watched(self) -> int:
        """How many descriptors are watched."""

    def turn(self) -> None:
        """Calls all that are ready now; never waits, never raises because of one of them."""

    def close(self) -> None:
        """Gives the epoll back. Nothing must be watched any more; take it out of the loop first."""

class Watched:
    """Something with a descriptor that a Poll watches."""

    @property
    def poll(self) -> Poll | None: ...
    @property
    def fd(self) -> int:
        """-1 when it is not watched (any more)."""
