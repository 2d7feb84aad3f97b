"""The layers of docs/ARCHITECTURE.md, for the compiled modules: import-linter reads .py files only."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = [re.findall(r"relay\.\w+", layer) for layer in CONTRACTS[0]["layers"]]
RANKS = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
IMPORT = re.compile(r"^\s*(?:from\s+(relay[\w.]*)\s+c?import|c?import\s+(relay[\w.]*))", re.MULTILINE)
SOURCES = sorted([*ROOT.glob("relay/**/*.pyx"), *ROOT.glob("relay/**/*.pxd"), *ROOT.glob("relay/**/*.pyi")])


def package_of(module):
    return ".".join(module.split(".")[:2])


def forbidden(package, text):
    """What ``text``, a module of ``package``, imports and must not."""
    found = [package_of(first or second) for first, second in IMPORT.findall(text)]
    return [
        other
        for other in found
        if other not in ("relay", package, "relay.telemetry") and RANKS[other] <= RANKS[package]
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_compiled_module_imports_only_what_is_below_it(path):
    package = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert forbidden(package, path.read_text()) == []


@pytest.mark.parametrize(
    ("package", "text", "found"),
    [
        ("relay.smtp", "from relay.workers import x\n", ["relay.workers"]),
        ("relay.queue", "  cimport relay.delivery._client\n", ["relay.delivery"]),
        ("relay.queue", "from relay.telemetry.cells cimport y\nfrom relay._fastparse cimport z\n", []),
        ("relay._fastparse", "import relay.mail.reply\n", ["relay.mail"]),
        ("relay._fastparse", "from relay._mime cimport scan\n", ["relay._mime"]),
        ("relay._mime", "from relay._fastparse cimport equals\nfrom relay.mail.address import x\n", ["relay.mail"]),
    ],
)
def test_the_check_itself_finds_imports_upwards_and_sideways(package, text, found):
    assert forbidden(package, text) == found


def test_no_file_grows_beyond_what_one_can_read_at_a_sitting():
    """About 400 lines; the compiled sessions and scanners may be longer, since a machine is one table."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ROOT.glob("relay/**/*.py")
        if (lines := path.read_text().count("\n")) > 460
    }
    assert long == {}
