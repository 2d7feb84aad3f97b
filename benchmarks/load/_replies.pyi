"""Replies of SMTP by stage and code."""

def stage_number(name: str) -> int:
    """ValueError for an unknown name."""

class Replies:
    def __init__(self) -> None: ...
    def clear(self) -> None: ...
    def by_stage(self) -> dict[str, dict[str, int]]:
        """``{"mail": {"250": 17}}``: what happened at all."""
