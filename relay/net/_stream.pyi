"""A connected socket on a Poll, for compiled protocols: see the .pxd for what a subclass is called for and may call."""

from relay.net._poll import Watched

class Stream(Watched):
    """A connected socket; to be subclassed in Cython."""

    @property
    def is_connecting(self) -> bool:
        """The peer has not accepted yet."""

    @property
    def has_ended(self) -> bool:
        """The peer sends no more."""

    @property
    def is_shut(self) -> bool:
        """We send no more, once what was written is sent."""

    @property
    def is_closing(self) -> bool:
        """It will be closed once what was written is sent."""
