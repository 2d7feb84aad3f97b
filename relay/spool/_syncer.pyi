"""Types of the compiled module; see _syncer.pyx."""

from collections.abc import Sequence

class Syncer:
    """A thread outside of the interpreter that writes and syncs one job at a time; ``fileno`` says when it is done."""

    fileno: int
    is_busy: bool
    def submit(self, fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> None:
        """Begins to write ``buffers`` (at most 1024) at ``offset`` of ``fd``, and to sync them."""

    def result(self) -> tuple[int, float]:
        """(octets written and synced or minus the error number, seconds it took). BlockingIOError when not done."""

    def close(self) -> None:
        """Ends the thread, after a job that it has; blocks for as long as that takes."""
