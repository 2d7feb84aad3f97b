"""A small process that appends messages one after another and prints what it was told about each (see test_strace)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from relay.spool import LogWriter, SpoolError, lock_data_dir
from tests.spool.spools import Settings, envelope

SIZE = 9000
"""Seven fit into a segment."""


class Told:
    def __init__(self) -> None:
        self.answer: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()

    def spooled(self, error: SpoolError | None) -> None:
        self.answer.set_result(error)


async def main(data_dir: Path, messages: int) -> None:
    lock = lock_data_dir(data_dir)
    loop = asyncio.get_running_loop()
    writer = LogWriter(lock.spool_dir, Settings(), loop, lambda *_: None)
    for number in range(messages):
        told = Told()
        writer.append(envelope(f"m{number:03d}"), b"x" * SIZE, told)
        error = await told.answer
        print("refused" if error is not None else "spooled", f"m{number:03d}", error or "", flush=True)
    await writer.close()
    lock.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
