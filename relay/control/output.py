"""Where answers go to: whoever asked may have stopped reading."""


class OutputClosedError(Exception):
    """Whoever reads our standard output has gone (``| head``): there is nobody to go on for."""
