"""A Python that every account of this machine may run, for appliances that become another one: with the tests' own
libraries, whose Python may lie below somebody's home."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

SYSTEM: Final = Path("/usr/bin/python3")
_TREE: Final = Path(__file__).parents[2]
_LIBRARIES: Final = sysconfig.get_path("purelib")


def everybodys_python() -> tuple[str, ...]:
    """The words that run it; none when there is none of this version."""
    if not all(map(_is_open, (_TREE, Path(_LIBRARIES)))):
        return ()
    if _is_open(Path(sys.base_prefix)):
        return (sys.executable,)
    if not SYSTEM.exists():
        return ()
    asked = [str(SYSTEM), "-c", "import sys; print(*sys.version_info[:2])"]
    version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    if version != [str(each) for each in sys.version_info[:2]]:
        return ()
    return ("/usr/bin/env", f"PYTHONPATH={_TREE}:{_LIBRARIES}", str(SYSTEM))


def _is_open(folder: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))
