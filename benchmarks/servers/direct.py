"""No server: the generator talks straight to the sink. What it reaches is the ceiling."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.servers.base import Server


class Direct(Server):
    """Its port is the sink's."""

    name: ClassVar[str] = "direct"
    durability: ClassVar[str] = "nothing is kept: the generator talks straight to the sink"

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        return "generator straight to sink"

    def start(self) -> None:
        self.port = next(iter(self.site.destinations.values()))

    def configuration(self) -> dict[str, str]:
        return {}
