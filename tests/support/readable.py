"""Python and Relay where any account can read them, whatever lies above them (``/root``, say): for an appliance that
gives root up, which refuses to start from code that its account cannot read."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

TREE = Path(__file__).parents[2]
SCRIPT = """\
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
path=$2 python=$3
shift 4
exec env PYTHONPATH="$path" "$python" "$@"
"""


def for_everybody(folder: Path) -> tuple[str, ...]:
    """Words in front of a command that begins with this Python: it runs below ``folder``, in mounts of its own process
    (mount_namespaces(7)). Needs root."""
    places = {"python": sys.base_prefix, "packages": sysconfig.get_path("purelib"), "tree": str(TREE)}
    pairs = []
    for name, real in places.items():
        (folder / name).mkdir()
        pairs += [real, str(folder / name)]
    python = folder / "python" / Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
    path = f"{folder}/tree:{folder}/packages"
    return ("unshare", "--mount", "sh", "-ec", SCRIPT, "sh", *pairs, "--", path, str(python))
