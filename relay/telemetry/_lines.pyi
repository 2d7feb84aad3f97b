from collections.abc import Mapping, Sequence
from typing import Final, final

from relay.telemetry.lines import Value

TEXT_LIMIT: Final[int]
LIST_LIMIT: Final[int]
PLAIN: Final[int]
SECONDS: Final[int]
TIME: Final[int]
ALWAYS: Final[int]
JSON: Final[int]

@final
class Line:
    kind: str
    names: tuple[str, ...]
    def __init__(self, kind: str, fields: Sequence[tuple[str, int]]) -> None: ...
    def build(self, now_us: int, values: tuple[Value, ...]) -> bytes: ...

def event_line(now_us: int, fields: Mapping[str, Value]) -> bytes: ...
def escape(octets: bytes, limit: int = ...) -> bytes: ...
def timestamp(now_us: int) -> bytes: ...
