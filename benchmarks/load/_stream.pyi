"""A connection with buffers and TLS."""

from benchmarks.load._loop import Endpoint

class Stream(Endpoint):
    """A connection; what it says is its machine's business."""
